"""`POST /v1/messages`, as far as the gateway must understand it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from serve_app.formats.anthropic_messages.account_objects import refuse_other_models, vendor_object
from serve_app.formats.anthropic_messages.blocks import byte_length, image_data, link_scheme, text_length
from serve_app.formats.anthropic_messages.fields import check_fields
from serve_app.formats.anthropic_messages.messages import checked_blocks, contents_of, messages_of, system_of
from serve_app.formats.chat_request import CACHE_MARKS, ChatRequest, HostedTools
from serve_app.formats.exact_json import dumps, has_member
from serve_app.formats.json_body import BOM, cost_limit, parameters_of, parse_body, whole
from serve_app.formats.links import links_in
from serve_app.formats.openai_chat.hosted_tools import hosted_tools
from serve_app.formats.openai_chat.images import images_in_text
from serve_app.formats.openai_chat.request import LEFT_TO_US
from serve_app.formats.openai_chat.thinking import asks_to_think
from serve_app.formats.routing_fields import read_wishes
from serve_app.formats.vendor_objects import mcp_servers
from serve_app.pricing.prompt import Prompt, prompt_of
from serve_app.pricing.usage import anthropic_tier, estimate_tokens


class Content(NamedTuple):
    """
    The content of a request.

    Fields:
        system: the instructions.
        messages: the messages.
        blocks: the blocks of both, at every depth.
        tools: the tools that the request begins with.
        added_tools: those that are defined within messages.
    """

    system: str | list[dict[str, Any]]
    messages: list[dict[str, Any]]
    blocks: list[Mapping[str, Any]]
    tools: list[dict[str, Any]]
    added_tools: list[dict[str, Any]]

    @property
    def all_tools(self) -> list[dict[str, Any]]:
        """Return the tools that the request begins with and those that are defined within messages."""
        return [*self.tools, *self.added_tools]


def read_messages(raw: bytes) -> ChatRequest:
    """Parse and check; InvalidRequest (400, 413) and InvalidField (422) say what is wrong."""
    raw = raw.removeprefix(BOM)
    return _read(raw, parse_body(raw))


def read_prompt(raw: bytes) -> ChatRequest:
    """Parse and check a request that asks how long its prompt is, and needs no `max_tokens`."""
    raw = raw.removeprefix(BOM)
    return _read(raw, {"max_tokens": 0, **parse_body(raw)})


def _read(raw: bytes, body: dict[str, Any]) -> ChatRequest:
    content = _content_of(body)
    limit = whole(body, "max_tokens") or 0
    stream = bool(body.get("stream"))
    return ChatRequest(
        raw=raw,
        model=body.get("model"),
        stream=stream,
        wants_usage=stream,
        images=sum(block.get("type") == "image" for block in content.blocks),
        input_tokens=estimate_tokens(_text_length(body, content)),
        output_tokens=limit,
        prompt=_prompt_of(len(raw), content),
        output_limit=limit,
        thinking=_thinking_in(body, limit),
        tools=_hosted_tools(body, content),
        service_tier=_tier(body),
        writes_cache=has_member(raw, body, CACHE_MARKS),
        thinks=asks_to_think(body) or bool((body.get("output_config") or {}).get("effort")),
        preferred_model=body.get("preferred_model"),
        require_vision=bool(body.get("require_vision")),
        require_audio=bool(body.get("require_audio")),
        max_cost=cost_limit(body),
        context_size=whole(body, "context_size"),
        written_images=images_in_text(content.messages) if body.get("model") in LEFT_TO_US else 0,
        image_links=frozenset(scheme for block in content.blocks if (scheme := link_scheme(block))),
        links=links_in(contents_of(body)),
        vendor_object=vendor_object(body, content.blocks, content.all_tools),
        mcp_servers=mcp_servers(body, ((tool, "tools") for tool in content.all_tools)),
        wishes=read_wishes(body),
        parameters=parameters_of(body),
    )


def _content_of(body: dict[str, Any]) -> Content:
    messages, system = messages_of(body), system_of(body)
    check_fields(body)
    blocks = checked_blocks(body)
    content = Content(system, messages, blocks, body.get("tools") or [], _added_tools(blocks))
    refuse_other_models(body, content.all_tools)
    return content


def _added_tools(blocks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the definitions of tools that a conversation adds on its way."""
    changes = (block["tool"] for block in blocks if isinstance(block.get("tool"), dict))
    definitions = (change.get("definition") for change in changes)
    return [definition for definition in definitions if isinstance(definition, dict)]


def _prompt_of(size: int, content: Content) -> Prompt:
    """Return what bounds the prompt; the data of a picture is no text, and the picture has a figure."""
    holders = [message for message in content.messages if isinstance(message.get("content"), list)]
    if isinstance(content.system, list):
        holders.append({"content": content.system})
    size -= sum(map(image_data, content.blocks))
    return prompt_of(size, holders, bool(content.tools or content.added_tools))


def _thinking_in(body: Mapping[str, Any], limit: int) -> int:
    """Return how many tokens are asked for to think: a part of the limit, whatever the budget is."""
    thinking = body.get("thinking") or {}
    budget = whole(thinking, "budget_tokens") if thinking.get("type") == "enabled" else None
    return max(0, min(budget or 0, limit - 1))


def _hosted_tools(body: Mapping[str, Any], content: Content) -> HostedTools:
    """
    Return what the vendor may run itself.

    A bound is written into the tools that a request begins with, but not into those within messages: a tool
    without one there is unbounded.
    """
    found = hosted_tools(body)
    if _may_compact(body):
        found = found._replace(unbounded=found.unbounded or "compaction")
    if not content.added_tools:
        return found
    added = hosted_tools({"tools": content.added_tools})
    without_bound = str(content.added_tools[0].get("type"))[:100] if added.lacks_uses else None
    return found._replace(
        searches=found.searches + added.searches,
        fetched=found.fetched + added.fetched,
        unbounded=found.unbounded or added.unbounded or without_bound,
    )


def _may_compact(body: Mapping[str, Any]) -> bool:
    """Return whether the vendor may read the conversation once more, to write a shorter one."""
    management = body.get("context_management")
    edits = management.get("edits") if isinstance(management, dict) else None
    kinds = (edit.get("type") for edit in edits if isinstance(edit, dict)) if isinstance(edits, list) else ()
    return bool(body.get("compaction")) or any(isinstance(k, str) and k.startswith("compact") for k in kinds)


def _tier(body: Mapping[str, Any]) -> str | None:
    tier = anthropic_tier(body.get("speed"), body.get("inference_geo"), body.get("service_tier"))
    return tier if isinstance(tier, str) else None


def _text_length(body: Mapping[str, Any], content: Content) -> int:
    """Return the bytes of all that is read as text; tools and formats are read by the model as well."""
    length = sum(map(text_length, content.blocks))
    texts = (content.system, *(message.get("content") for message in content.messages))
    length += sum(byte_length(text) for text in texts if isinstance(text, str))
    if content.tools:
        length += len(dumps(content.tools))
    output_format = (body.get("output_config") or {}).get("format")
    return length + (len(dumps(output_format)) if output_format else 0)
