"""Two translations, one after the other."""

from collections.abc import Mapping

from serve_app.formats.translation import StreamTranslation, Translate, Translation
from serve_app.providers.catalogue.dialect import told

NO_NAMES: Mapping[str, str] = {}


class Composed:
    """
    A translation by way of a third format.

    Attributes:
        body: the request in the upstream's format.
        dropped: the caller's parameters that are lost on either way, in alphabetical order.
    """

    def __init__(
        self, first: Translation, then: Translate, names: Mapping[str, str] = NO_NAMES, created: int = 0
    ) -> None:
        """
        Translate a request that the first translation has begun.

        Args:
            first: from the caller's format into the one between.
            then: begins a translation from that one into the upstream's.
            names: the caller's names for parameters of the format between, where they differ.
            created: when the request came, in seconds since 1970.

        Raises:
            InvalidRequest: 400, the upstream's format cannot carry the request.
        """
        self._first = first
        self._second = then(first.body, created)
        self.body = self._second.body
        lost = (names.get(name, name) for name in self._second.dropped)
        self.dropped = told([*first.dropped, *lost])

    def answer(self, body: bytes) -> bytes:
        """Return the upstream's whole answer in the caller's format."""
        return self._first.answer(self._second.answer(body))

    def stream(self) -> StreamTranslation:
        """Return the translation of one stream."""
        return _ComposedStream(self._first.stream(), self._second.stream())


class _ComposedStream:
    """One stream on its way back, through both translations."""

    def __init__(self, first: StreamTranslation, second: StreamTranslation) -> None:
        self._first = first
        self._second = second

    def feed(self, block: bytes) -> bytes:
        between = self._second.feed(block)
        return self._first.feed(between) if between else b""

    def end(self) -> bytes:
        last = self._second.end()
        return (self._first.feed(last) if last else b"") + self._first.end()
