"""What a form with images says, as far as the gateway has to understand it."""

from typing import Any

import orjson
import pytest

from serve_app.config.model import ModelTask
from serve_app.errors import InvalidRequest
from serve_app.formats.form import Form, SpooledFile, Upload
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_image_edits import MOST_SHOWN, OPENAI_IMAGE_EDITS, SHOWN, SHOWN_LOW
from serve_app.formats.openai_images import most_tokens_of
from serve_app.formats.task_request import TaskRequest
from serve_app.pricing.prompt import FRAME
from tests.support.images import JPEG, PNG, WEBP

ONE = [("image", PNG)]
# Tokens of one image that is shown to gpt-image-1, at low and at high fidelity: four tiles, not a square.
STATED = (65 + 4 * 129, 65 + 4 * 129 + 6240)
GPT_IMAGE_2 = 1536  # patches


def read(files: list[tuple[str, bytes]] = ONE, **fields: str | None) -> TaskRequest:
    given = {"prompt": "a hat", **fields}
    uploads = tuple(Upload(name, "a.bin", None, SpooledFile.holding(content)) for name, content in files)
    sent = tuple((name, value) for name, value in given.items() if value is not None)
    return OPENAI_IMAGE_EDITS.parse_form(Form(sent, uploads))


def test_what_routing_needs_is_read_and_the_rest_passes() -> None:
    request = read(model="m", n="3", size="1024x1024", quality="low", background="opaque", user="u")

    assert (request.task, request.model, request.pieces.images) == (ModelTask.IMAGE_GENERATION, "m", 3)
    assert orjson.loads(request.raw) == {
        "prompt": "a hat", "model": "m", "n": 3, "size": "1024x1024", "quality": "low",
        "background": "opaque", "user": "u",
    }  # fmt: skip
    assert "prompt" not in request.parameters


def test_each_image_has_the_type_that_its_bytes_tell() -> None:
    request = read([("image[]", PNG), ("image[]", JPEG), ("image[]", WEBP), ("mask", PNG)])

    types = [(file.field, file.content_type) for file in request.files]
    assert types == [
        ("image[]", "image/png"), ("image[]", "image/jpeg"), ("image[]", "image/webp"), ("mask", "image/png"),
    ]  # fmt: skip


def test_one_image_keeps_its_name_and_several_get_the_one_of_a_list() -> None:
    assert [file.field for file in read().files] == ["image"]
    assert [file.field for file in read([("image", PNG), ("image", PNG)]).files] == ["image[]"] * 2


def test_reserved_is_more_than_the_vendor_states_for_everything_shown() -> None:
    assert max(STATED[0], GPT_IMAGE_2) <= SHOWN_LOW
    assert STATED[1] <= SHOWN
    shown = [("image[]", PNG)] * 2 + [("mask", PNG)]
    assert read(shown, input_fidelity="low").pieces.image_input == 3 * SHOWN_LOW
    assert read(shown, input_fidelity="high").pieces.image_input == 3 * SHOWN
    assert read(shown).pieces.image_input == 3 * SHOWN


def test_every_image_that_is_made_reads_everything_again() -> None:
    one, four = read(n="1"), read(n="4")

    assert four.pieces.image_input == 4 * one.pieces.image_input == 4 * SHOWN
    assert four.pieces.image_output == 4 * most_tokens_of(None, None)
    assert four.prompt is not None
    assert four.prompt.size == 4 * (len(four.raw) + FRAME)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"), ({"n": "0"}, "n"), ({"n": "129"}, "n"), ({"n": "1.5"}, "n"),
        ({"n": "two"}, "n"), ({"n": ""}, "n"), ({"n": "9" * 5000}, "n"), ({"n": "²"}, "n"),
        ({"partial_images": "-1"}, "partial_images"), ({"output_compression": "101"}, "output_compression"),
        ({"max_cost": "much"}, "max_cost"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_field_of_the_wrong_kind_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as wrong:
        read(**fields)

    assert wrong.value.param == param


@pytest.mark.parametrize(
    ("files", "param", "code"),
    [
        ([], "image", "invalid_value"),
        ([("mask", PNG)], "image", "invalid_value"),
        ([("image", PNG), ("mask", PNG), ("mask", PNG)], "mask", "invalid_form"),
        ([("image[]", PNG)] * (MOST_SHOWN + 1), "image", "too_many_images"),
        ([("image", PNG), ("picture", PNG)], "picture", "invalid_form"),
        ([("image", b"")], "image", "invalid_image"),
        ([("image", b"GIF89a" + b"\0" * 100)], "image", "invalid_image"),
        ([("image", PNG), ("mask", b"<svg/>")], "mask", "invalid_image"),
        ([("image", b"RIFF\x64\0\0\0WAVE")], "image", "invalid_image"),
    ],
)
def test_files_that_cannot_be_are_refused(files: list[tuple[str, bytes]], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        read(files)

    assert (wrong.value.param, wrong.value.code) == (param, code)


def test_as_many_images_as_the_vendor_takes_pass_with_a_mask() -> None:
    assert len(read([("image[]", PNG)] * MOST_SHOWN + [("mask", PNG)]).files) == MOST_SHOWN + 1


@pytest.mark.parametrize(
    "name", ["image", "image[]", "images", "image[url]", "mask", "image_url", "images[0][image_url]", "url"]
)
def test_an_image_that_is_no_file_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="send images as files"):
        read(**{name: "http://10.0.0.1/x.png"})


def test_links_within_other_fields_are_told() -> None:
    assert read(reference='[{"image_url": "http://10.0.0.1/x.png"}]').links == {"http://10.0.0.1"}


@pytest.mark.parametrize(("name", "value"), [("stream", "true"), ("stream", "True"), ("partial_images", "2")])
def test_a_stream_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match="images are not streamed") as wrong:
        read(**{name: value})

    assert wrong.value.param == name


def test_fields_that_say_that_there_is_no_stream_are_left_out() -> None:
    assert orjson.loads(read(stream="false", partial_images="0").raw) == {"prompt": "a hat"}


def test_a_body_that_is_no_form_is_refused() -> None:
    with pytest.raises(InvalidField, match="send a form"):
        OPENAI_IMAGE_EDITS.parse(b"{}")
