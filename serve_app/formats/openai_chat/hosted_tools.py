"""Tools that the vendor runs itself, and charges for by the use: how often a request lets it use them."""

import re
from collections.abc import Mapping
from typing import Any

from serve_app.formats.chat_request import NO_HOSTED_TOOLS, HostedTools
from serve_app.formats.json_body import MOST_TOKENS, InvalidField, whole_number

DEFAULT_USES = 5  # of a tool that takes `max_uses`, where the caller sets none and a budget applies
FETCHED = 100_000  # tokens of one fetched document, where the caller sets no `max_content_tokens`
MOST_USES = 1000

# What LiteLLM makes of the size for Anthropic; OpenAI's search models search once.
_SEARCHES = {"low": 1, "medium": 5, "high": 10}
_COUNTED = re.compile(r"web_(search|fetch)_\d{8}")  # Anthropic's: they take `max_uses`
_RUN_BY_CALLERS = re.compile(
    r"function|custom|(computer|computer_use|browser|bash|text_editor|str_replace_editor|str_replace_based_edit_tool"
    r"|memory|local_shell|shell|apply_patch|tool_search)(_.*)?"
)
# Google's tools, by the member that holds their options: it counts whatever else the tool says of itself.
_BY_MEMBER = frozenset({
    "googlesearch", "googlesearchretrieval", "enterprisewebsearch", "urlcontext", "googlemaps",
    "codeexecution", "filesearch", "computeruse",
})  # fmt: skip
# Fields that have a vendor search, and say nothing of how often.
_UNBOUNDED = ("plugins", "search_parameters", "enable_search", "mcp_servers")
_FIELDS = frozenset({"tools", "web_search_options", *_UNBOUNDED})


def hosted_tools(body: Mapping[str, Any]) -> HostedTools:
    """Return what the body lets the vendor run; `tools`, if there, is a list of objects."""
    found = NO_HOSTED_TOOLS
    if _FIELDS.isdisjoint(body):
        return found
    for tool in body.get("tools") or ():
        kind = tool.get("type")
        if isinstance(kind, str) and _COUNTED.fullmatch(kind):
            found = _with_counted(found, tool, kind)
        elif not _is_the_callers(tool):
            shown = kind if isinstance(kind, str) else next(iter(tool), "")
            found = found._replace(unbounded=found.unbounded or str(shown)[:100])
    if (options := body.get("web_search_options")) is not None:
        if not isinstance(options, Mapping):
            raise InvalidField("web_search_options", "Input should be an object", "dict_type")
        searches = _searches(options)
        found = found._replace(
            searches=found.searches + (searches or DEFAULT_USES),
            lacks_uses=found.lacks_uses or searches is None,
        )
    named = next((name for name in _UNBOUNDED if body.get(name)), None)
    return found if named is None else found._replace(unbounded=found.unbounded or named)


def limit_uses(fields: dict[str, Any]) -> None:
    """Write the default bound into every tool that takes one and has none."""
    tools = fields.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and _COUNTED.fullmatch(kind) and tool.get("max_uses") is None:
            tool["max_uses"] = DEFAULT_USES
    options = fields.get("web_search_options")
    if isinstance(options, dict) and _searches(options) is None:
        options["search_context_size"] = "medium"


def _searches(options: Mapping[str, Any]) -> int | None:
    """Return how many searches these options allow; None where they give no size that is known."""
    size = options.get("search_context_size")
    return _SEARCHES.get(size) if isinstance(size, str) else None


def _with_counted(found: HostedTools, tool: dict[str, Any], kind: str) -> HostedTools:
    uses = whole_number(tool, "max_uses", 1, MOST_USES)
    found = found._replace(lacks_uses=found.lacks_uses or uses is None)
    uses = uses or DEFAULT_USES
    if kind.startswith("web_search"):
        return found._replace(searches=found.searches + uses)
    each = whole_number(tool, "max_content_tokens", 1, MOST_TOKENS) or FETCHED
    return found._replace(fetched=found.fetched + uses * each)


def _is_the_callers(tool: Mapping[str, Any]) -> bool:
    """Return whether the caller runs the tool, and the vendor only asks for it."""
    kind = tool.get("type")
    if any(key.replace("_", "").casefold() in _BY_MEMBER for key in tool):
        return False
    if isinstance(kind, str):
        return _RUN_BY_CALLERS.fullmatch(kind) is not None
    return "function" in tool or "name" in tool
