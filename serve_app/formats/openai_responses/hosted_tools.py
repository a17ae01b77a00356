"""Tools of a Responses request that the vendor runs itself: how often the request lets it use them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.formats.chat_request import HostedTools
from serve_app.formats.openai_chat.hosted_tools import DEFAULT_USES
from serve_app.formats.openai_chat.hosted_tools import hosted_tools as hosted_in_chat
from serve_app.formats.openai_chat.hosted_tools import limit_uses as limit_uses_in_chat

_SEARCH = re.compile(r"web_search(_preview)?(_\d{4}_\d{2}_\d{2})?")
# What it runs is what its members are, which are in the list as well.
_HOLDS_TOOLS = "namespace"


def hosted_tools(body: Mapping[str, Any], tools: Sequence[dict[str, Any]]) -> HostedTools:
    """
    Return what a request lets the vendor run.

    A search is charged by the use, and `max_tool_calls` bounds it. Of other tools nobody knows what a use
    costs.

    Args:
        body: the request, whose fields are checked.
        tools: every tool in it, with the members of namespaces.
    """
    others = [tool for tool in tools if not _SEARCH.fullmatch(tool["type"]) and tool["type"] != _HOLDS_TOOLS]
    found = hosted_in_chat({**body, "tools": others})
    for tool in others:
        environment = tool.get("environment")
        kind = environment.get("type") if isinstance(environment, dict) else None
        if isinstance(kind, str) and kind.startswith("container"):  # a shell of the vendor's
            found = found._replace(unbounded=found.unbounded or tool["type"][:100])
    if any(_SEARCH.fullmatch(tool["type"]) for tool in tools):
        most = body.get("max_tool_calls")
        uses = DEFAULT_USES if most is None else int(most)
        found = found._replace(searches=found.searches + uses, lacks_uses=found.lacks_uses or most is None)
    if body.get("context_management"):  # the vendor may read the conversation once more, to shorten it
        found = found._replace(unbounded=found.unbounded or "compaction")
    return found


def limit_uses(fields: dict[str, Any]) -> None:
    """Write the default bound of hosted tools into a request that has none."""
    limit_uses_in_chat(fields)
    if fields.get("max_tool_calls") is None:
        fields["max_tool_calls"] = DEFAULT_USES
