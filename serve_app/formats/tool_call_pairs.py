"""
Which result answers which call of a tool.

Callers leave out results, repeat them, or send them late; upstreams refuse all three. So results are
collected for the message that made the calls, in the order of the calls.
"""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from serve_app.formats.translated_ids import made_call_id, safe_call_id

NO_RESULT = "Error: no result was recorded for this call."

Result = TypeVar("Result")


class Answered(NamedTuple, Generic[Result]):
    """
    One call of a tool.

    Fields:
        call_id: its id as the upstream takes it, unique in the request.
        result: what answers it; None where nothing does.
    """

    call_id: str
    result: Result | None


class ToolCallPairs(Generic[Result]):
    """
    The calls of one request and their results.

    Add the messages in their order: calls with `add_calls`, results with `add_result`.
    """

    def __init__(self) -> None:
        self._calls: dict[int, list[str]] = {}  # by the place of the message: the ids as upstreams take them
        self._latest: dict[str, str] = {}  # by the caller's id: the latest call with it
        self._results: dict[str, Result] = {}

    def add_calls(self, place: int, call_ids: Sequence[str]) -> None:
        """Add the calls of the message at a place; an id that was used before is replaced."""
        unique = []
        for number, call_id in enumerate(call_ids):
            safe = safe_call_id(call_id) if call_id else ""
            if not safe or call_id in self._latest:
                safe = made_call_id(f"{place} {call_id}", number)
            self._latest[call_id] = safe
            unique.append(safe)
        self._calls[place] = unique

    def add_result(self, call_id: str, result: Result) -> bool:
        """
        Add a result; of several for one call the last one counts.

        Returns:
            Whether there is a call with this id before it.
        """
        if (safe := self._latest.get(call_id)) is None:
            return False
        self._results[safe] = result
        return True

    def of(self, place: int) -> list[Answered[Result]]:
        """Return the calls of the message at a place, in their order."""
        return [Answered(call, self._results.get(call)) for call in self._calls.get(place, ())]
