"""What a chat request names of the operator's account at the vendor."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serve_app.formats.vendor_objects import VendorObject, first_of, object_in

# Fields that vendors or LiteLLM read, although OpenAI's API does not have them.
_FIELDS = ("container", "conversation", "thread", "user_profile_id")


def reaching_tools(body: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the tools that may name something at a vendor, each with its path: all but plain functions."""
    for place, tool in enumerate(body.get("tools") or ()):
        if len(tool) != 2 or tool.get("type") != "function":
            yield tool, f"tools[{place}]"


def vendor_object(body: Mapping[str, Any], in_parts: Sequence[Mapping[str, Any]]) -> VendorObject | None:
    """
    Return what a request names of the operator's account at the vendor; None: nothing.

    Args:
        body: the request.
        in_parts: its messages with a list of parts.
    """
    for name in _FIELDS:
        if body.get(name):
            return VendorObject(name)
    found = first_of(object_in(tool, path) for tool, path in reaching_tools(body))
    return found or first_of(
        object_in(part, f"messages[{place}].content[{number}]")
        for place, message in enumerate(body["messages"] if in_parts else ())
        if isinstance(message.get("content"), list)
        for number, part in enumerate(message["content"])
        if part["type"] != "text"
    )
