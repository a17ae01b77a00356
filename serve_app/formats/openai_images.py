"""`POST /v1/images/generations`, as far as the gateway must understand it."""

import re
from typing import Any

from serve_app.config.model import ModelTask
from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import (
    BOM,
    InvalidField,
    cost_limit,
    flag,
    parameters_of,
    parse_body,
    text,
    whole_number,
)
from serve_app.formats.links import links_in
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.task_format import TaskFormat
from serve_app.formats.task_request import TaskRequest
from serve_app.pricing.prompt import FRAME, Prompt
from serve_app.pricing.usage import Usage, estimate_tokens
from serve_app.providers.catalogue.wire_format import WireFormat

MOST_IMAGES = 128  # of one request
MEGAPIXEL = 1024 * 1024
# The most tokens of a picture for each megapixel: above what OpenAI states for its models (272, 1,056, 4,160
# for gpt-image-1.5).
TOKENS = {"low": 512, "medium": 2048, "high": 8192}
LARGEST = 3840 * 2160  # pixels of the largest picture that OpenAI's models make
MOST_PIXELS = 2**30

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def read_image_generation(raw: bytes) -> TaskRequest:
    """Parse and check; InvalidRequest (400, 413) and InvalidField (422) say what is wrong."""
    raw = raw.removeprefix(BOM)
    body = parse_body(raw)
    prompt = text(body, "prompt")
    if prompt is None:
        raise InvalidField("prompt", "Field required", "missing")
    if flag(body, "stream") or whole_number(body, "partial_images", 0):
        param = "stream" if body.get("stream") else "partial_images"
        message = f"{param}: images are not streamed; leave it out, and the answer has them all"
        raise InvalidRequest(message, param=param, code="unsupported_parameter")
    n = whole_number(body, "n", 1, MOST_IMAGES) or 1
    size, quality = text(body, "size"), text(body, "quality")
    for name in ("background", "moderation", "output_format", "response_format", "style", "user"):
        text(body, name)
    return TaskRequest(
        raw=raw,
        task=ModelTask.IMAGE_GENERATION,
        model=text(body, "model"),
        input_tokens=estimate_tokens(len(prompt)),
        prompt=Prompt(len(raw) + FRAME),
        pieces=Usage(images=n, image_output=n * most_tokens_of(size, quality)),
        preferred_model=text(body, "preferred_model"),
        max_cost=cost_limit(body),
        links=links_in([[_but_prompt(body)]]),
        wishes=read_wishes(body),
        parameters=_but_prompt(parameters_of(body)),
    )


OPENAI_IMAGES = TaskFormat(WireFormat.OPENAI_IMAGES, read_image_generation)


def most_tokens_of(size: str | None, quality: str | None) -> int:
    """
    Return the most tokens of one picture.

    A size or a quality that the vendor chooses, or that has another name, counts as the largest and the best.
    """
    found = _SIZE.fullmatch(size or "")
    pixels = min(int(found[1]) * int(found[2]), MOST_PIXELS) if found else LARGEST
    per_megapixel = TOKENS.get(quality or "", TOKENS["high"])
    return max(per_megapixel, -(-pixels * per_megapixel // MEGAPIXEL))


def _but_prompt(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "prompt"}
