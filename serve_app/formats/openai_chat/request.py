"""`POST /v1/chat/completions`, as far as the gateway must understand it."""

from typing import Any

from serve_app.formats.chat_request import CACHE_MARKS, ChatRequest
from serve_app.formats.exact_json import dumps, has_member
from serve_app.formats.json_body import BOM, cost_limit, parameters_of, parse_body, whole
from serve_app.formats.links import links_in
from serve_app.formats.openai_chat.account_objects import reaching_tools, vendor_object
from serve_app.formats.openai_chat.fields import check_fields
from serve_app.formats.openai_chat.hosted_tools import hosted_tools
from serve_app.formats.openai_chat.images import check_images, images_in_text, link_schemes
from serve_app.formats.openai_chat.messages import messages_of
from serve_app.formats.openai_chat.output import read_output
from serve_app.formats.openai_chat.thinking import asks_to_think
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.vendor_objects import mcp_servers, refuse_other_models
from serve_app.pricing.prompt import prompt_of
from serve_app.pricing.usage import estimate_tokens

DEFAULT_OUTPUT_TOKENS = 500  # the estimate for an answer without a limit

LEFT_TO_US = (None, "", "auto")  # a model that is chosen here


_READ_AS_WELL = ("tools", "functions", "response_format")


def read_chat(raw: bytes) -> ChatRequest:
    """Parse and check; InvalidRequest (400, 413) and InvalidField (422) say what is wrong."""
    raw = raw.removeprefix(BOM)
    body = parse_body(raw)
    messages = messages_of(body)
    check_fields(body)
    tools = [(tool, f"tools[{place}]") for place, tool in enumerate(body.get("tools") or ())]
    refuse_other_models(tools)
    output = read_output(body)
    stream = bool(body.get("stream"))
    in_parts = [message for message in messages if isinstance(message.get("content"), list)]
    return ChatRequest(
        raw=raw,
        model=body.get("model"),
        stream=stream,
        wants_usage=stream and bool((body.get("stream_options") or {}).get("include_usage")),
        images=check_images(in_parts),
        input_tokens=estimate_tokens(_text_length(messages) + _length_of_tools(body)),
        output_tokens=(output.limit or DEFAULT_OUTPUT_TOKENS + output.thinking) * output.answers,
        prompt=prompt_of(len(raw), in_parts, bool(body.get("tools") or body.get("functions"))),
        output_limit=output.limit,
        thinking=output.thinking,
        answers=output.answers,
        predicted=len(dumps(body["prediction"])) if body.get("prediction") else 0,
        tools=hosted_tools(body),
        speaks=_speaks(body),
        service_tier=_tier(body),
        writes_cache=has_member(raw, body, CACHE_MARKS),
        thinks=asks_to_think(body),
        preferred_model=body.get("preferred_model"),
        require_vision=bool(body.get("require_vision")),
        require_audio=bool(body.get("require_audio")),
        max_cost=cost_limit(body),
        context_size=whole(body, "context_size"),
        written_images=images_in_text(messages) if body.get("model") in LEFT_TO_US else 0,
        image_links=link_schemes(in_parts),
        links=links_in(message["content"] for message in in_parts),
        vendor_object=vendor_object(body, in_parts),
        mcp_servers=mcp_servers(body, reaching_tools(body)),
        wishes=read_wishes(body),
        parameters=parameters_of(body),
    )


def _tier(body: dict[str, Any]) -> str | None:
    """Some vendors let it be other than a text, and then it changes no price that we know of."""
    tier = body.get("service_tier")
    return tier if isinstance(tier, str) else None


def _speaks(body: dict[str, Any]) -> bool:
    """Return whether the answer may be more than text."""
    modalities = body.get("modalities")
    if not modalities:
        return False
    return any(modality != "text" for modality in modalities)


def _length_of_tools(body: dict[str, Any]) -> int:
    """Tools and response formats are read by the model as well, and paid for."""
    length = 0
    for name in _READ_AS_WELL:
        if name in body:
            length += len(dumps(body[name]))
    return length


def _text_length(messages: list[dict[str, Any]]) -> int:
    """Bytes of all text in the messages; pictures, sound and files are no text."""
    length = 0
    for message in messages:
        for name, value in message.items():
            if name == "role":
                continue
            if isinstance(value, str):
                length += _bytes(value)
            elif name == "content" and value:
                length += sum(_bytes(part["text"]) for part in value if part["type"] == "text")
            elif isinstance(value, dict | list) and value and name != "audio":
                length += len(dumps(value))
    return length


def _bytes(written: str) -> int:
    """Of its UTF-8, which is longer than its characters where it is not English."""
    return len(written) if written.isascii() else len(written.encode("utf-8", "surrogatepass"))
