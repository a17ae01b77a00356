"""`POST /v1/images/edits`, as far as the gateway must understand it."""

import re
from typing import Any

import orjson

from serve_app.config.model import ModelTask
from serve_app.errors import InvalidRequest
from serve_app.formats.form import Form, Upload
from serve_app.formats.form_fields import form_body
from serve_app.formats.json_body import InvalidField, cost_limit, parameters_of, text
from serve_app.formats.links import links_in
from serve_app.formats.openai_images import MOST_IMAGES, most_tokens_of
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.task_format import TaskFormat
from serve_app.formats.task_request import TaskRequest
from serve_app.pricing.prompt import FRAME, Prompt
from serve_app.pricing.usage import Usage, estimate_tokens
from serve_app.providers.catalogue.wire_format import WireFormat

IMAGE = "image"
IMAGES = "image[]"
MASK = "mask"
MOST_SHOWN = 16  # images to be changed, the mask aside, as OpenAI has it
# The most tokens of one image that is shown. OpenAI counts, at low fidelity, 65 and 129 for each of up to 4
# tiles (gpt-image-1, 1.5) or up to 1,536 patches (gpt-image-2, which has one fidelity); at high fidelity up
# to 6,240 more. A fidelity that is missing is the vendor's to choose.
SHOWN_LOW = 2048
SHOWN = 8192

_STEM = re.compile(r"[^\[.]*")
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
# Fields with which images would come in another way than as files; as a link, the vendor would fetch them.
_NO_TEXT = frozenset({IMAGE, "images", MASK, "image_url", "image_urls", "mask_url", "url"})


def _refuse_body(body: bytes) -> TaskRequest:
    raise InvalidField(IMAGE, "Field required: send a form with the images as files", "missing")


class ImageEditFormat(TaskFormat):
    """The format of the endpoint: a form with images in, OpenAI's images out."""

    def __init__(self) -> None:
        super().__init__(WireFormat.OPENAI_IMAGE_EDITS, _refuse_body)

    def parse_form(self, form: Form) -> TaskRequest:
        """
        Read the fields, and the first bytes of each file.

        Raises:
            InvalidRequest: 400, the form cannot be handled.
            InvalidField: 422, a field is missing or of the wrong kind.
        """
        return read_image_edit(form)


OPENAI_IMAGE_EDITS = ImageEditFormat()


def read_image_edit(form: Form) -> TaskRequest:
    """Return the request in a form; see `ImageEditFormat.parse_form`."""
    body = form_body(form, ())
    files = _files_of(form)
    prompt = text(body, "prompt")
    if prompt is None:
        raise InvalidField("prompt", "Field required", "missing")
    _refuse_streams(body)
    n = _whole(body, "n", 1, MOST_IMAGES) or 1
    _whole(body, "output_compression", 0, 100)
    raw = orjson.dumps(body)
    made = most_tokens_of(text(body, "size"), text(body, "quality"))
    shown = SHOWN_LOW if body.get("input_fidelity") == "low" else SHOWN
    return TaskRequest(
        raw=raw,
        task=ModelTask.IMAGE_GENERATION,
        model=text(body, "model"),
        input_tokens=estimate_tokens(len(prompt)),
        # Each image that is made is charged like a request of its own, with everything that was read for it.
        prompt=Prompt(n * (len(raw) + FRAME)),
        pieces=Usage(images=n, image_input=n * len(files) * shown, image_output=n * made),
        preferred_model=text(body, "preferred_model"),
        max_cost=cost_limit(body),
        links=links_in([[_unpacked(body)]]),
        wishes=read_wishes(body),
        parameters={name: value for name, value in parameters_of(body).items() if name != "prompt"},
        files=files,
    )


def _files_of(form: Form) -> tuple[Upload, ...]:
    """
    Return the files, each under its true type; several images are named as OpenAI's clients do.

    Raises InvalidField or InvalidRequest if there are too few, too many, or others.
    """
    for name, _ in form.fields:
        stem = (_STEM.match(name) or [name])[0]
        if stem.casefold() in _NO_TEXT:
            param = IMAGE if stem == IMAGE else name[:40]
            message = (
                f"'{name[:40]}' is not supported as text: send images as files, in '{IMAGE}' or '{MASK}'"
            )
            raise InvalidRequest(message, param, "invalid_form")
    images = [file for file in form.files if file.field in (IMAGE, IMAGES)]
    masks = [file for file in form.files if file.field == MASK]
    others = [file for file in form.files if file.field not in (IMAGE, IMAGES, MASK)]
    if others:
        name = others[0].field[:40]
        message = f"There is a file called '{name}': send images in '{IMAGE}' or '{MASK}'"
        raise InvalidRequest(message, name, "invalid_form")
    if not images:
        raise InvalidField(IMAGE, "Field required: the image to be changed, as a file", "missing")
    if len(images) > MOST_SHOWN:
        message = f"{IMAGE}: came {len(images)} times; send at most {MOST_SHOWN} images"
        raise InvalidRequest(message, IMAGE, "too_many_images")
    if len(masks) > 1:
        raise InvalidRequest(f"{MASK}: came {len(masks)} times; send it once", MASK, "invalid_form")
    if len(images) > 1:
        images = [file._replace(field=IMAGES) for file in images]
    return tuple(_typed(file) for file in (*images, *masks))


def _typed(upload: Upload) -> Upload:
    """Return the file under the type that its first bytes tell, which OpenAI insists on."""
    with upload.file.open() as file:
        head = file.read(12)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return upload._replace(content_type="image/png")
    if head.startswith(b"\xff\xd8\xff"):
        return upload._replace(content_type="image/jpeg")
    if head.startswith(b"RIFF") and head[8:] == b"WEBP":
        return upload._replace(content_type="image/webp")
    param = MASK if upload.field == MASK else IMAGE
    raise InvalidRequest(
        f"{param}: the file '{upload.filename[:40]}' is not an image in PNG, JPEG or WEBP",
        param,
        "invalid_image",
    )


def _refuse_streams(body: dict[str, Any]) -> None:
    """Raise InvalidRequest if images are to be streamed, and take out fields that say that they are not."""
    partial = _whole(body, "partial_images", 0, MOST_IMAGES)
    streamed = str(body.get("stream", "false")).lower() not in ("false", "0", "")
    if streamed or partial:
        param = "stream" if streamed else "partial_images"
        message = f"{param}: images are not streamed; leave it out, and the answer has them all"
        raise InvalidRequest(message, param, "unsupported_parameter")
    for name in ("stream", "partial_images"):
        body.pop(name, None)


def _whole(body: dict[str, Any], name: str, least: int, most: int) -> int | None:
    """Return a whole number that a field has as text, and keep it as the number; None: there is no field."""
    given = body.get(name)
    if given is None:
        return None
    if not isinstance(given, str) or not _WHOLE.fullmatch(given) or not least <= int(given) <= most:
        raise InvalidField(name, f"Input should be a whole number from {least} to {most}", "int_type")
    body[name] = int(given)
    return int(given)


def _unpacked(body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields without the prompt, and those that hold JSON as what it says."""
    return {name: _json_in(value) for name, value in body.items() if name != "prompt"}


def _json_in(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value  # a text that begins with a bracket
