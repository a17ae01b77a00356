"""A chat's stream as a stream of Responses events; a whole answer is a stream of one chunk."""

from collections.abc import Mapping
from typing import Any

from serve_app.formats.json_objects import as_json, parsed
from serve_app.formats.openai_chat.chunks import choices_in, index_of
from serve_app.formats.openai_responses.events import TEXT_DELTA, event_of
from serve_app.formats.responses_to_chat.open_items import (
    COMPLETED,
    Event,
    OpenCall,
    OpenItem,
    OpenMessage,
    OpenReasoning,
)
from serve_app.formats.responses_to_chat.reasoning import blocks_in, reasoning_in
from serve_app.formats.responses_to_chat.response import (
    annotations_in,
    begun,
    logprobs_in,
    reason_of,
    seed_of,
    usage_in,
)
from serve_app.formats.responses_to_chat.tool_calls import CallPiece, CallPieces
from serve_app.formats.responses_to_chat.tools import ToolTable
from serve_app.formats.sse import data_in

_PREFIXES = {"custom": "ctc", "function": "fc"}


class ResponseStream:
    """
    The response to one request, as a chat's stream tells it.

    A thought or a text is closed when something else begins. Calls stay open until the end, because an
    upstream may send pieces of several in turn.

    Attributes:
        response: the response as it is by now; empty before the first chunk.
    """

    def __init__(self, body: bytes, asked: Mapping[str, Any], table: ToolTable, created: int = 0) -> None:
        """
        Args:
            body: the caller's request.
            asked: the same, read.
            table: what the functions of the chat stand for.
            created: when the request came, in seconds since 1970, where the upstream does not tell it.
        """
        self.response: dict[str, Any] = {}
        self._body = body
        self._asked = asked
        self._table = table
        self._created = created
        self._seed = ""
        self._number = 0
        self._count = 0  # items that have begun
        self._events: list[Event] = []  # that are not written yet
        self._said: OpenReasoning | OpenMessage | None = None
        self._calls: dict[int, OpenCall] = {}
        self._pieces = CallPieces()
        self._output: dict[int, dict[str, Any]] = {}
        self._finish: object = None
        self._has_refused = False
        self._fast: tuple[OpenMessage, bytes] | None = None  # the text that is open, a delta's frame up to it

    def feed(self, block: bytes) -> bytes:
        """Return the events that a block of the chat's stream makes."""
        frames = []
        for data in data_in(block):
            chunk = parsed(data)
            if chunk is None:
                continue
            if self._fast is not None and (text := _only_text(chunk)):
                frames.append(self._more_text(text, *self._fast))
            else:
                self.take(chunk)
                frames.append(self._frames())
        return b"".join(frames)

    def end(self) -> bytes:
        """Return the events that end the response."""
        self.close()
        return self._frames()

    def take(self, chunk: dict[str, Any]) -> None:
        """Take a chunk."""
        if not self.response:
            self._begin(chunk)
        if (usage := usage_in(chunk)) is not None:
            self.response["usage"] = usage
        for choice in choices_in(chunk):
            if index_of(choice) == 0:
                delta = choice.get("delta")
                self._take_delta(delta if isinstance(delta, dict) else {}, choice)
                self._finish = choice.get("finish_reason") or self._finish

    def close(self) -> None:
        """Close what is open, and the response."""
        if not self.response:
            self._begin({})
        items: list[OpenItem] = [*self._calls.values(), *([self._said] if self._said else [])]
        items.sort(key=lambda item: item.index)
        for item in items:
            is_cut = item is items[-1] and self._finish == "length"
            self._close(item, "incomplete" if is_cut else COMPLETED)
        reason = reason_of(self._finish, self._has_refused)
        self.response |= {
            "status": COMPLETED if reason is None else "incomplete",
            "incomplete_details": None if reason is None else {"reason": reason},
            "output": [item for _, item in sorted(self._output.items())],
        }
        self._events.append({"type": f"response.{self.response['status']}", "response": self.response})

    def _begin(self, chunk: Mapping[str, Any]) -> None:
        if type(chunk.get("created")) is not int:
            chunk = {**chunk, "created": self._created}
        self._seed = seed_of(self._body, chunk)
        self.response = begun(self._asked, self._seed, chunk)
        for name in ("response.created", "response.in_progress"):
            self._events.append({"type": name, "response": dict(self.response)})

    def _take_delta(self, delta: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        text, blocks = reasoning_in(delta), blocks_in(delta)
        if text or blocks:
            reasoning = self._reasoning()
            reasoning.keep(blocks)
            if text:
                self._events += reasoning.grown(text)
        for member, kind in (("content", "output_text"), ("refusal", "refusal")):
            said = delta.get(member)
            if isinstance(said, str) and said:
                self._say(kind, said, logprobs_in(choice) if kind == "output_text" else [])
        if isinstance(self._said, OpenMessage) and self._said.kind == "output_text":
            self._events += self._said.annotated(annotations_in(delta))
        for piece in self._pieces.read(delta):
            self._call(piece)

    def _reasoning(self) -> OpenReasoning:
        """Return the thought that is open; if there is none, begin one."""
        if not isinstance(self._said, OpenReasoning):
            self._close_said()
            self._said = item = OpenReasoning(*self._place("rs"))
            self._events += item.begun()
        return self._said

    def _say(self, kind: str, text: str, logprobs: list[dict[str, Any]]) -> None:
        if not isinstance(self._said, OpenMessage):
            self._close_said()
            self._said = item = OpenMessage(*self._place("msg"))
            self._events += item.begun()
        self._events += self._said.grown(kind, text, logprobs)
        self._has_refused = self._has_refused or kind == "refusal"
        is_plain = kind == "output_text" and not logprobs
        self._fast = (self._said, _head_of_delta(self._said.place)) if is_plain else None

    def _more_text(self, text: str, message: OpenMessage, head: bytes) -> bytes:
        """Return the event of a text that goes on: nearly all events are this one."""
        message.hold(text)
        number = self._number
        self._number = number + 1
        return b'%b%b,"logprobs":[],"sequence_number":%d}\n\n' % (head, as_json(text), number)

    def _call(self, piece: CallPiece) -> None:
        call = self._calls.get(piece.number)
        if call is None:
            self._close_said()
            kind = self._table.meant_by(piece.name).type
            id_, index = self._place(_PREFIXES.get(kind, "tc"))
            call_id = piece.call_id or f"call_{self._seed}{index:x}"
            call = OpenCall(self._table, id_, index, call_id, piece.name)
            self._calls[piece.number] = call
            self._events += call.begun()
        if piece.arguments:
            self._events += call.grown(piece.arguments)

    def _place(self, prefix: str) -> tuple[str, int]:
        """Return the id and the place of an item that begins now."""
        index = self._count
        self._count += 1
        return f"{prefix}_{self._seed}{index:x}", index

    def _close_said(self) -> None:
        if self._said is not None:
            self._close(self._said, COMPLETED)
        self._said = self._fast = None

    def _close(self, item: OpenItem, status: str) -> None:
        self._events += item.closed(status)
        self._output[item.index] = item.item

    def _frames(self) -> bytes:
        """Write the events that there are by now, and number them."""
        events, self._events = self._events, []
        first = self._number
        self._number += len(events)
        return b"".join(
            event_of({**event, "sequence_number": number}) for number, event in enumerate(events, first)
        )


def _head_of_delta(place: Event) -> bytes:
    """Return the frame of a text's delta up to the text."""
    frame = event_of({"type": TEXT_DELTA, **place, "delta": ""})
    return frame[: frame.rindex(b'""')]


def _only_text(chunk: dict[str, Any]) -> str:
    """Return the text of a chunk that holds nothing else; empty for any other chunk."""
    choices = chunk.get("choices")
    if type(choices) is not list or len(choices) != 1 or chunk.get("usage"):
        return ""
    choice = choices[0]
    if type(choice) is not dict or any(choice.get(name) for name in _SAYS_MORE):
        return ""
    delta = choice.get("delta")
    if type(delta) is not dict or type(text := delta.get("content")) is not str:
        return ""
    return text if all(name in _SAYS_NOTHING or not value for name, value in delta.items()) else ""


_SAYS_MORE = ("finish_reason", "logprobs", "index")
_SAYS_NOTHING = frozenset({"content", "role"})
