"""
The text, thoughts and calls of a chat as blocks that follow one another.

In a chat's stream calls may overlap: pieces of their arguments are told apart by a number. Blocks of a
message cannot. So while the arguments of a call are incomplete, whatever else comes waits until the end.
"""

from typing import Any

import orjson

from serve_app.formats.messages_writer import MessageWriter
from serve_app.formats.tool_arguments import arguments_text
from serve_app.formats.translated_ids import ToolNames, made_call_id, safe_call_id


class _Call:
    """One call of a tool, as far as it has come."""

    __slots__ = ("call_id", "is_closed", "is_waiting", "name", "pieces")

    def __init__(self) -> None:
        self.call_id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.is_waiting = False
        self.is_closed = False

    def is_complete(self) -> bool:
        """Return whether the arguments are a JSON object by now."""
        try:
            return isinstance(orjson.loads("".join(self.pieces).encode("utf-8", "surrogatepass")), dict)
        except orjson.JSONDecodeError:
            return False


class _Said:
    """Text or thoughts that wait."""

    __slots__ = ("is_thought", "pieces")

    def __init__(self, is_thought: bool) -> None:
        self.is_thought = is_thought
        self.pieces: list[str] = []


class BlockSequence:
    """
    The blocks of one message.

    Attributes:
        has_calls: whether there was the call of a tool.
    """

    def __init__(self, writer: MessageWriter, answer_id: str, names: ToolNames) -> None:
        """
        Begin without a block.

        Args:
            writer: gets the blocks.
            answer_id: what ids of calls are made from, where the upstream gives none.
            names: the tools' names of the request.
        """
        self.has_calls = False
        self._writer = writer
        self._answer_id = answer_id
        self._names = names
        self._current: _Call | None = None
        self._last: _Call | None = None
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._given_ids: set[str] = set()
        self._later: list[_Call | _Said] = []

    def say(self, text: str, is_thought: bool = False) -> None:
        """Add a piece of the text, or of the thoughts."""
        if self._is_free():
            self._write(text, is_thought)
        else:
            last = self._later[-1] if self._later else None
            if not isinstance(last, _Said) or last.is_thought is not is_thought:
                last = _Said(is_thought)
                self._later.append(last)
            last.pieces.append(text)

    def sign(self, signature: str) -> None:
        """Sign the thoughts before. Thoughts that wait stay without: nobody has signed them so."""
        if self._is_free():
            self._writer.signature(signature)

    def redacted(self, data: str) -> None:
        """Add thoughts that only their vendor can read."""
        if self._is_free():
            self._writer.redacted(data)

    def call_piece(self, piece: dict[str, Any]) -> None:
        """Add a piece of a call, as a delta has it; of any form at all."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        call = self._call_of(piece, function)
        if call.is_closed:
            return
        call.call_id = call.call_id or _text(piece.get("id"))
        call.name = call.name or _text(function.get("name"))
        arguments = function.get("arguments")
        text = "" if arguments is None else arguments_text(arguments)
        if text:
            call.pieces.append(text)
        if call is self._current:
            if text:
                self._writer.arguments(text)
        elif call.is_waiting:
            if call.name and self._current is None and self._later[0] is call:
                del self._later[0]
                self._open(call)
        elif call.name and self._is_free():
            self._open(call)
        else:
            call.is_waiting = True
            self._later.append(call)

    def flush(self) -> None:
        """Write everything that waits: nothing more is to come of the calls so far."""
        if self._current is not None:
            self._current.is_closed = True
            self._current = None
        for item in self._later:
            if isinstance(item, _Said):
                self._write("".join(item.pieces), item.is_thought)
            elif item.name:
                self._open(item)
                self._current = None
            if isinstance(item, _Call):
                item.is_closed = True
        self._later = []

    def _is_free(self) -> bool:
        """Return whether another block may begin; what was complete is closed for it."""
        if self._later:
            return False
        if self._current is not None:
            if not self._current.is_complete():
                return False
            self._current.is_closed = True
            self._current = None
        return True

    def _write(self, text: str, is_thought: bool) -> None:
        if is_thought:
            self._writer.thinking(text)
        else:
            self._writer.text(text)

    def _open(self, call: _Call) -> None:
        self.has_calls = True
        self._current = call
        call.is_waiting = False
        call_id = safe_call_id(call.call_id) if call.call_id else ""
        if not call_id or call_id in self._given_ids:
            call_id = made_call_id(self._answer_id, len(self._given_ids))
        self._given_ids.add(call_id)
        self._writer.call(call_id, self._names.original(call.name))
        for text in call.pieces:
            self._writer.arguments(text)

    def _call_of(self, piece: dict[str, Any], function: dict[str, Any]) -> _Call:
        """Return the call that a piece belongs to: a new one where it begins one."""
        index, call_id, name = piece.get("index"), _text(piece.get("id")), _text(function.get("name"))
        if type(index) is int:
            call = self._by_index.get(index)
            is_another = call is not None and call_id and call.call_id and call_id != call.call_id and name
            if call is None or is_another:
                call = self._by_index[index] = _Call()
        else:
            known = self._by_id.get(call_id) if call_id else (None if name else self._last)
            call = known if known is not None else _Call()
        if call_id:
            self._by_id.setdefault(call_id, call)
        self._last = call
        return call


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
