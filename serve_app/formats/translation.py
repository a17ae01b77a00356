"""What the gateway asks of a translation between the format of a caller and that of an upstream."""

from typing import Protocol


class StreamTranslation(Protocol):
    """
    One stream on its way back to the caller.

    Blocks come and go as `sse.FrameCutter` returns them: whole frames, without what ends the stream.
    """

    def feed(self, block: bytes) -> bytes:
        """Return what the caller gets for a block of the upstream's; empty where that is nothing yet."""

    def end(self) -> bytes:
        """Return the last block; called once, after an upstream's answer that is whole."""


class Translation(Protocol):
    """
    One request on its way to an upstream that speaks another format, and the answer on its way back.

    There is one object for each attempt.

    Attributes:
        body: the request in the upstream's format. Its model is the caller's; the provider replaces it.
        dropped: the caller's parameters that the upstream's format cannot carry, in alphabetical order.
    """

    @property
    def body(self) -> bytes: ...

    @property
    def dropped(self) -> tuple[str, ...]: ...

    def answer(self, body: bytes) -> bytes:
        """Return the upstream's whole answer in the caller's format."""

    def stream(self) -> StreamTranslation:
        """Return the translation of one stream."""


class Translate(Protocol):
    """Begins a translation: one entry of `upstream_format.TRANSLATIONS`."""

    def __call__(self, body: bytes, created: int = 0) -> Translation:
        """
        Translate a request that the caller's format has checked.

        Args:
            body: the request.
            created: when it came, in seconds since 1970, for formats whose answers tell it.

        Raises:
            InvalidRequest: 400, the request has content that the upstream's format cannot carry and that must
                not be left out.
        """
