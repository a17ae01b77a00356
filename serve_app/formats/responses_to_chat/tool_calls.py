"""
The calls of tools in a chat's stream, put together from their pieces.

A piece belongs to the call with its index. Some upstreams send no index, and some always the first: then a
piece with another id and a name begins another call.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from serve_app.formats.tool_arguments import arguments_text

_LEGACY = -1  # the index of the one call that a delta of the older kind has


class CallPiece(NamedTuple):
    """
    A piece of a call.

    Fields:
        number: which of the answer's calls it belongs to.
        call_id: the call's id; empty without one.
        name: the function's name.
        arguments: a piece of the arguments.
    """

    number: int
    call_id: str
    name: str
    arguments: str


class _Call:
    """A call by its pieces so far; `waiting` are arguments that came before the name."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = ""
        self.name = ""
        self.waiting: list[str] = []


class CallPieces:
    """Sorts the pieces of one stream."""

    def __init__(self) -> None:
        self._at: dict[int, _Call] = {}
        self._with_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._count = 0

    def read(self, delta: Mapping[str, Any]) -> Iterator[CallPiece]:
        """Yield the pieces in a delta, or in a whole message; a call is told once its name is known."""
        pieces = delta.get("tool_calls")
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                yield from self._read(piece, piece.get("function"))
        if isinstance(function := delta.get("function_call"), dict):
            yield from self._read({"index": _LEGACY}, function)

    def _read(self, piece: Mapping[str, Any], function: object) -> Iterator[CallPiece]:
        about = function if isinstance(function, dict) else {}
        given, name = _text(piece.get("id")), _text(about.get("name"))
        call = self._call(piece.get("index"), given, name)
        call.id = call.id or given
        if call.id:
            self._with_id[call.id] = call
        given_arguments = about.get("arguments")
        arguments = "" if given_arguments is None else arguments_text(given_arguments)
        if call.name:
            if arguments:
                yield CallPiece(call.number, call.id, call.name, arguments)
            return
        call.waiting.append(arguments)
        if name:
            call.name = name
            yield CallPiece(call.number, call.id, name, "".join(call.waiting))

    def _call(self, index: object, given: str, name: str) -> _Call:
        """Return the call that a piece belongs to: one that is known, or a new one."""
        if type(index) is int:
            known = self._at.get(index)
            if known is not None and given and name and known.id and known.id != given:
                known = None
        elif given:
            known = self._with_id.get(given)
        else:
            known = None if name else self._last
        if known is None:
            known = _Call(self._count)
            self._count += 1
        if type(index) is int:
            self._at[index] = known
        self._last = known
        return known


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
