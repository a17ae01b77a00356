"""
Which models of an upstream may be asked to tell the usage of a stream.

Some servers refuse a request with `stream_options.include_usage`. Nobody but they know it, so it is learned:
a refusal is answered by the same request without it, once, and what came of that is remembered.
"""

from enum import Enum

from serve_app.errors import FailureKind, UpstreamError

MOST_PLACES = 256  # addresses and models that are remembered; the oldest is forgotten
MOST_VAIN_TRIES = 3  # requests that were refused without it too: it is not what these servers dislike

_WORDS = ("stream_options", "include_usage")

Place = tuple[str | None, str]  # an address other than the configured one, and a model


class _Known(Enum):
    TAKES = "takes"
    REFUSES = "refuses"


class UsageAsked:
    """The knowledge about each place of one provider."""

    def __init__(self) -> None:
        self._known: dict[Place, _Known | int] = {}

    def may_ask(self, place: Place) -> bool:
        """Return whether a stream from this place may be asked for its usage."""
        return self._known.get(place) is not _Known.REFUSES

    def is_worth_a_try_without(self, place: Place, refusal: UpstreamError) -> bool:
        """Return whether a request that was refused may pass without the question."""
        if refusal.failure is not FailureKind.REJECTED or refusal.upstream_status not in (400, 422):
            return False
        if any(word in text for text in (refusal.message, refusal.param or "") for word in _WORDS):
            return True
        known = self._known.get(place, 0)
        return isinstance(known, int) and known < MOST_VAIN_TRIES

    def passed(self, place: Place) -> None:
        """The question was accepted."""
        self._remember(place, _Known.TAKES)

    def passed_without(self, place: Place) -> None:
        """The request was refused with the question, and accepted without it."""
        self._remember(place, _Known.REFUSES)

    def refused_without(self, place: Place) -> None:
        """The request was refused both ways: the question was not the reason."""
        known = self._known.get(place, 0)
        if isinstance(known, int):
            self._remember(place, known + 1)

    def _remember(self, place: Place, what: _Known | int) -> None:
        if place not in self._known and len(self._known) >= MOST_PLACES:
            del self._known[next(iter(self._known))]
        self._known[place] = what
