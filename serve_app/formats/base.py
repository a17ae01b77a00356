"""
What the gateway asks of a wire format.

A format reads what its callers send and writes what they get. Everything else works on the values in here and
on bytes that it does not look into, so a further format is a file beside the others, and a route.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from serve_app.errors import GatewayError
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.form import Form
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat

Request = TypeVar("Request", covariant=True)


class Format(Protocol[Request]):
    """A format for whole answers. It has no state."""

    @property
    def name(self) -> WireFormat:
        """The name under which targets say that they speak it."""

    def parse(self, body: bytes) -> Request:
        """
        Return what routing needs to know of a request.

        Raises:
            InvalidRequest: 400 or 413, the body cannot be handled.
            InvalidField: 422, a field is missing or of the wrong kind.
        """

    def response(self, body: bytes, members: Mapping[str, object]) -> bytes:
        """Return an upstream's whole answer as the caller gets it, with members added at its top."""

    def error(self, error: GatewayError) -> bytes:
        """Return the body of an answer that refuses the request."""


@runtime_checkable
class FormFormat(Format[Request], Protocol[Request]):
    """A format whose requests are forms with files."""

    def parse_form(self, form: Form) -> Request:
        """Return what routing needs to know of a request; raise as `parse` does. Files may be read."""


class Chunk(NamedTuple):
    """
    One chunk of a stream.

    Fields:
        payload: its JSON.
        text: the text for the caller in it; empty where there is none.
        is_plain: whether it holds nothing else that a model wrote, and is of the only answer. After plain
            chunks alone, another model can go on with the answer.
        is_end: whether it says why the answer ended.
        is_needed: whether callers need it even where its text is empty: an end, a usage.
        answer_id: the id of the answer; None without one.
        usage: what the answer used; None where it is not reported here.
        text_may_follow: whether a piece of text can come next; None: as it was before this chunk.
    """

    payload: dict[str, Any]
    text: str
    is_plain: bool
    is_end: bool
    is_needed: bool
    answer_id: str | None
    usage: Usage | None
    text_may_follow: bool | None = None


@runtime_checkable
class ChatFormat(Format[ChatRequest], Protocol):
    """
    A format for conversations, with streams.

    Streams come in blocks of whole frames, as `sse.FrameCutter` returns them and without what ends them.
    """

    # The request

    def last_user_text(self, body: bytes) -> str:
        """Return the text of the user's last message; empty where there is none."""

    def with_system_text(self, body: bytes, text: str) -> bytes:
        """Return the request with this text at the end of its instructions to the model."""

    def count_images(self, body: bytes) -> int:
        """Return how many images the messages hold."""

    # The stream

    @property
    def end(self) -> bytes:
        """Return the bytes after the last block of an answer that is whole."""

    def chunks(self, block: bytes) -> Iterator[Chunk]:
        """Yield the chunks in a block; a frame that cannot be read is left out."""

    def count_chars(self, block: bytes) -> int:
        """Return how much the model wrote in a block, in characters. This runs for every block."""

    def first_block(self, block: bytes, members: Mapping[str, object]) -> bytes:
        """Return the first block of an answer as the caller gets it, with members added to a frame."""

    def rewritten(self, chunk: Chunk, text: str, answer_id: str | None) -> bytes:
        """Return a plain chunk as a frame, with another text; and under another id, unless that is None."""

    def usage_block(self, first_block: bytes, usage: Usage) -> bytes:
        """Return what tells the caller the usage, where the upstream of an answer did not."""

    def error_block(self, error: GatewayError, first_block: bytes = b"", last_block: bytes = b"") -> bytes:
        """
        Return what follows the last block of an answer that broke off.

        Args:
            error: why it did.
            first_block: the first block that the caller was sent; empty: none was.
            last_block: the last one.
        """
