"""What the HTTP provider asks of an endpoint: one format that an upstream speaks, at one path."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import aiohttp

from serve_app.errors import UpstreamError
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted


class WholeAnswer(NamedTuple):
    """
    A whole answer that was checked.

    Fields:
        body: its JSON.
        usage: what it says was used; None where it does not say.
        text: what a tokenizer can count where the usage is missing; None where nothing can.
        chars: how much text there is, in characters, for an estimate.
        content_type: what it is called, where it is not JSON.
    """

    body: bytes
    usage: Usage | None
    text: Any = None
    chars: int = 0
    content_type: str | None = None


class StreamReader(Protocol):
    """
    The frames of one answer on their way through.

    Attributes:
        usage: what the answer used; None as long as it was not reported.
        failure: what went wrong; None so far.
        is_done: the upstream has said that this was the last frame.
        is_complete: the answer has said why it ended.
        count: chunks passed on, about one token each.
        dropped: frames that could not be read.
        text: as in `WholeAnswer`.
    """

    usage: Usage | None
    failure: UpstreamError | None
    is_done: bool
    count: int
    dropped: int
    text: Any

    @property
    def is_complete(self) -> bool: ...

    @property
    def shortfall(self) -> UpstreamError | None:
        """Return the fault of an answer that the upstream has ended; None: it is whole."""

    def feed(self, data: bytes) -> bytes:
        """Return what of this goes to the caller: whole frames, maybe none."""

    def end(self) -> bytes:
        """Return what is left for the caller when the upstream has closed."""

    def closing(self) -> bytes:
        """Return what an answer that is whole still lacks for its caller."""

    def has_begun(self, block: bytes) -> bool:
        """Tell whether a block holds more than that an answer begins: a word, a tool call, an end."""

    def none_at_all(self, what: str) -> UpstreamError:
        """Return the failure of an answer that did not come; `what` is how the gateway would put it."""


class Endpoint(Protocol):
    """One format at one path of an upstream, for whole answers. It has no state."""

    @property
    def path(self) -> str:
        """The path, below the versioned address."""

    def headers(self, call: Call) -> Mapping[str, str]:
        """Return the headers of a request that are the format's own."""

    def fitted(self, call: Call) -> Fitted:
        """Return the caller's request as this upstream's model takes it."""

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        """Turn a request that was fitted into one for a whole answer, in place."""

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        """Return a whole answer to the request `fields`, when it is one."""


@runtime_checkable
class StreamingEndpoint(Endpoint, Protocol):
    """One format at one path of an upstream, for streams as well."""

    def asks_usage(self, model_id: str) -> bool:
        """Tell whether a stream of this model tells its usage only where the request asks for it."""

    def ask_for_stream(self, fields: dict[str, Any], with_usage: bool) -> None:
        """Turn a request that was fitted into one for a stream, in place."""

    def reader(self, call: Call, fields: Mapping[str, Any], frame_limit: float) -> StreamReader:
        """Return a reader for the stream that answers the request."""

    def gathered(self, call: Call, events: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        """Return the whole answer that an upstream has sent as a stream."""

    def spread(self, body: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        """Return the stream that an upstream has sent as a whole answer."""


class FormEndpoint(ABC):
    """The further method of an endpoint that takes a form with files."""

    @abstractmethod
    def form(self, call: Call, fields: Mapping[str, Any]) -> aiohttp.FormData:
        """Return the form with the call's files, for one request; each attempt needs its own."""


class TextEndpoint(ABC):
    """The further methods of an endpoint that may answer with text instead of JSON."""

    @abstractmethod
    def takes_text(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether the request asks for text instead of JSON."""

    @abstractmethod
    def text(self, body: bytes, content_type: str) -> WholeAnswer | UpstreamError:
        """Return an answer that is text, when it is one; `content_type` is without parameters."""


class SoundEndpoint:
    """An endpoint whose answer is sound, which is passed on as it comes."""
