"""`POST /v1/moderations`, as far as the gateway must understand it."""

from typing import Any

from serve_app.config.model import ModelTask
from serve_app.formats.json_body import BOM, InvalidField, cost_limit, parameters_of, parse_body, text
from serve_app.formats.links import links_in
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.task_format import TaskFormat
from serve_app.formats.task_request import TaskRequest
from serve_app.pricing.prompt import prompt_of
from serve_app.pricing.usage import estimate_tokens
from serve_app.providers.catalogue.wire_format import WireFormat

MOST_INPUTS = 10_000


def read_moderation(raw: bytes) -> TaskRequest:
    """Parse and check; InvalidRequest (400, 413) and InvalidField (422) say what is wrong."""
    raw = raw.removeprefix(BOM)
    body = parse_body(raw)
    if "input" not in body:
        raise InvalidField("input", "Field required", "missing")
    parts = _parts(body["input"])
    return TaskRequest(
        raw=raw,
        task=ModelTask.MODERATION,
        model=text(body, "model"),
        input_tokens=sum(estimate_tokens(len(part["text"])) for part in parts if "text" in part),
        prompt=prompt_of(len(raw), [{"content": parts}]),
        preferred_model=text(body, "preferred_model"),
        max_cost=cost_limit(body),
        links=links_in([parts]),
        wishes=read_wishes(body),
        parameters=parameters_of(body),
    )


OPENAI_MODERATIONS = TaskFormat(WireFormat.OPENAI_MODERATIONS, read_moderation)


def results_for(given: object) -> int:
    """Return how many results an input has: one for a text or for parts, else one for each text."""
    return len(given) if isinstance(given, list) and isinstance(given[0], str) else 1


def _parts(given: Any) -> list[dict[str, Any]]:
    """Return the input as parts of a message: a text, a list of texts, or a list of texts and images."""
    if isinstance(given, str):
        return [{"type": "text", "text": given}]
    if not isinstance(given, list) or not given:
        message = "Input should be a text, or a list of texts or of parts, and not empty"
        raise InvalidField("input", message, "input_type")
    if len(given) > MOST_INPUTS:
        message = f"Input should have at most {MOST_INPUTS} items, not {len(given)}"
        raise InvalidField("input", message, "too_long")
    if all(isinstance(item, str) for item in given):
        return [{"type": "text", "text": item} for item in given]
    for place, part in enumerate(given):
        if not _is_part(part):
            message = "Input should be a part with a 'text', or of type image_url with an 'image_url.url'"
            raise InvalidField(f"input[{place}]", message, "input_type")
    return list(given)


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    if part.get("type") == "text":
        return isinstance(part.get("text"), str)
    image = part.get("image_url")
    return part.get("type") == "image_url" and isinstance(image, dict) and isinstance(image.get("url"), str)
