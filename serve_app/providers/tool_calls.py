"""Indexes of tool calls in a stream, by which OpenAI's clients assemble the pieces of a call."""

from typing import Any

MOST_CALLS = 1024  # ids that are remembered in one answer


class Numbering:
    """
    The indexes of one stream's tool calls, added where the upstream sends none; counted in each choice.

    Pieces of one call have its id, or no id and follow its first piece.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, str], int] = {}  # by choice and id
        self._last: dict[int, int] = {}  # the number of the latest call, by choice

    def number(self, chunk: dict[str, Any]) -> bool:
        """Add the missing indexes to a chunk, in place; return whether any was missing."""
        changed = False
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            calls = delta.get("tool_calls") if isinstance(delta, dict) else None
            for call in calls if isinstance(calls, list) else ():
                if isinstance(call, dict):
                    of = choice.get("index")
                    changed = self._number_one(call, of if isinstance(of, int) else 0) or changed
        return changed

    def _number_one(self, call: dict[str, Any], of: int) -> bool:
        index, id_ = call.get("index"), call.get("id")
        if type(index) is int:
            self._note(of, id_, index)
            return False
        if isinstance(id_, str) and id_:
            number = self._numbers.get((of, id_))
            if number is None:
                number = self._last.get(of, -1) + 1
        else:
            function = call.get("function")
            begins = isinstance(function, dict) and bool(function.get("name"))
            number = self._last.get(of, -1) + 1 if begins else self._last.get(of, 0)
        self._note(of, id_, number)
        call["index"] = number
        return True

    def _note(self, of: int, id_: Any, number: int) -> None:
        if isinstance(id_, str) and id_ and len(self._numbers) < MOST_CALLS:
            self._numbers[of, id_] = number
        self._last[of] = max(number, self._last.get(of, 0))
