"""A stream of Responses under an id of the gateway's own, and the response that it makes up."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from serve_app.formats.exact_json import has_long_digits, with_every_digit
from serve_app.formats.json_objects import parsed
from serve_app.formats.openai_responses.events import TERMINAL, event_of, response_in, type_in
from serve_app.formats.sse import Frame, frames_in
from serve_app.formats.upstream_json import is_too_deep

# A quote inside a JSON string is escaped, so this matches members only, never what a model says.
_LOOKED_AT = re.compile(rb'"response"\s*:|"response\.output_item\.done"')


class Passed(NamedTuple):
    """
    A block on its way to the caller.

    Fields:
        before: what comes before the last event.
        last: the last event, which ends the response; None: it is not in this block.
        after: what comes after it.
    """

    before: bytes
    last: dict[str, Any] | None = None
    after: bytes = b""


class KeptStream:
    """
    Writes members of the response anew in every event that has it, and gathers its items.

    Attributes:
        is_too_large: the items are more than were to be gathered.

    Args:
        members: the members, as `id`.
        most: bytes of items that are gathered.
    """

    def __init__(self, members: Mapping[str, Any], most: int) -> None:
        self._members = members
        self._room = most
        self._done: dict[int, Any] = {}
        self.is_too_large = False

    def feed(self, block: bytes) -> Passed:
        """Return a block with the members in it. Nearly every block has none, and goes on as it is."""
        if _LOOKED_AT.search(block) is None:
            return Passed(block)
        last: dict[str, Any] | None = None
        before: list[bytes] = []
        after: list[bytes] = []
        for frame in frames_in(block):
            payload = _payload(frame)
            side = before if last is None else after
            if payload is None or not response_in(payload):
                side.append(frame.raw + b"\n\n")
                if payload is not None:
                    self._gather(payload, len(frame.data))
            elif type_in(payload) in TERMINAL and last is None:
                last = payload
            else:
                side.append(event_of(self.renamed(payload)))
        return Passed(b"".join(before), last, b"".join(after))

    def renamed(self, payload: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Return an event with the members in its response, and more of them."""
        return {**payload, "response": {**response_in(payload), **self._members, **more}}

    def whole(self, last: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the response of the last event.

        Where its output is empty, as some servers leave it, the output is what the events before have said.
        """
        response = response_in(last)
        if response.get("output") or not self._done:
            return response
        return {**response, "output": [item for _, item in sorted(self._done.items())]}

    def _gather(self, payload: Mapping[str, Any], size: int) -> None:
        index, item = payload.get("output_index"), payload.get("item")
        if type_in(payload) != "response.output_item.done" or not isinstance(item, dict):
            return
        self._room -= size
        self.is_too_large = self._room < 0
        if not self.is_too_large:
            self._done[index if type(index) is int else len(self._done)] = item


def _payload(frame: Frame) -> dict[str, Any] | None:
    """Return the object of a frame; None for one without, and for one that could not be written again."""
    data = frame.json
    payload = parsed(data) if data else None
    if payload is None or is_too_deep(payload):
        return None
    return with_every_digit(data, payload) if has_long_digits(data) else payload
