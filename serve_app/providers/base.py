"""
The interface of a provider.

Failures of an upstream are returned as `UpstreamError` values: a raised exception would reach the caller of a
Ray handle wrapped in a remote traceback, and Serve would log it as a crash. Only bugs raise.

A chat stream yields, in this order:

    StreamHead                        the upstream accepted; or an UpstreamError instead, and nothing more
    bytes, bytes, …                   blocks of whole SSE frames in the call's format; of OpenAI's chat
                                      without [DONE]; of speech, the sound as it comes
    StreamEnd                         the answer is complete; or an UpstreamError: it is not
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import NamedTuple, Protocol, runtime_checkable

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.formats.form import Upload
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat


class Call(NamedTuple):
    """
    One attempt at one target.

    Fields:
        model: the model id, which the provider writes into the body.
        body: JSON in `format`; of a form, its fields.
        timeout_s: bounds the whole attempt; of a stream, the time until its first token.
        request_id: the request's id, for logs.
        wants_usage: the caller of a stream asked for the usage chunk.
        first_byte_s: bounds the wait for the head of the answer.
        idle_s: bounds every pause of a stream after its first token.
        api_base: replaces the configured address after an operator has moved the upstream; the configured
            key is not sent there.
        output_tokens: the bound of one answer's tokens, which the provider writes into the request under the
            name that its upstream accepts; None: as the body has it.
        limits_tools: tools that the vendor runs get their default bound if the caller has set none.
        format: the format of the body, one that the provider's vendor accepts.
        headers: the caller's headers that belong to the format, such as its version.
        files: the files of a form.
    """

    model: str
    body: bytes
    timeout_s: float
    request_id: str = ""
    wants_usage: bool = False
    first_byte_s: float = inf
    idle_s: float = inf
    api_base: str | None = None
    output_tokens: int | None = None
    limits_tools: bool = False
    format: WireFormat = WireFormat.OPENAI_CHAT
    headers: tuple[tuple[str, str], ...] = ()
    files: tuple[Upload, ...] = ()

    @property
    def size(self) -> int:
        """Return about how many bytes there are to send."""
        return len(self.body) + sum(upload.file.size for upload in self.files)


class Answer(NamedTuple):
    """
    A whole answer.

    Fields:
        body: JSON in the format of the call.
        usage: as reported; counted here (and marked as estimated) if not reported; None if neither.
        upstream_s: seconds from sending the request to the last byte of the answer.
        output_chars: the length of the text, where `usage` is None.
        machine_ms: its share of the time of a local machine (`metered.py`).
        dropped: the caller's parameters that the upstream did not get as they were.
        content_type: what the upstream calls the body, where it is not JSON.
    """

    body: bytes
    usage: Usage | None
    upstream_s: float
    output_chars: int = 0
    machine_ms: int = 0
    dropped: tuple[str, ...] = ()
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class StreamHead:
    """
    The beginning of a stream: the upstream accepted the request after `upstream_s` seconds.

    `dropped` and `content_type` as of a whole answer.
    """

    upstream_s: float
    dropped: tuple[str, ...] = ()
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """
    The regular end of a stream.

    `usage` and `machine_ms` as of a whole answer; `output_chars` is the length of the text that was sent,
    `dropped_frames` the number of frames that could not be read.
    """

    usage: Usage | None
    upstream_s: float
    output_chars: int
    dropped_frames: int = 0
    machine_ms: int = 0


StreamItem = StreamHead | bytes | StreamEnd | UpstreamError


class HealthStatus(StrEnum):
    """The health of an upstream; UNKNOWN where a check would cost tokens."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """The result of a health check of the upstream; `last_check` is in seconds since the epoch."""

    status: HealthStatus
    latency_ms: float | None
    error: str | None
    models_available: tuple[str, ...]
    last_check: float


class Provider(Protocol):
    """The client of one upstream."""

    async def chat(self, call: Call) -> Answer | UpstreamError:
        """Return a whole answer in the call's format: a chat completion, a transcript."""

    def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        """Yield a streamed answer, a chat or speech; closing the iterator closes the upstream connection."""

    async def embed(self, call: Call) -> Answer | UpstreamError:
        """Return embeddings, as OpenAI's embedding list."""

    async def health(self) -> Health:
        """Check the upstream; no paid token is spent unless `paid_probes` allows it."""

    async def aclose(self) -> None:
        """Close every connection."""


@runtime_checkable
class TaskProvider(Protocol):
    """A provider with endpoints besides chats and embeddings; `Call.format` names the endpoint."""

    async def perform(self, call: Call) -> Answer | UpstreamError:
        """Return the whole answer of the endpoint."""


@runtime_checkable
class Wakeable(Protocol):
    """A provider whose machine may be off: a hosted model that may be scaled to zero."""

    def wake(self) -> None:
        """Start a replica if there is none; return at once."""


@runtime_checkable
class TokenCounting(Protocol):
    """A provider whose upstream may count the tokens of a prompt, without a charge."""

    async def count_tokens(self, call: Call) -> Answer | UpstreamError:
        """Return the upstream's count: `{"input_tokens": …}`, and the same number as `usage.input`."""


def counts_nothing(provider_id: str) -> UpstreamError:
    """Return the failure of a provider whose upstream does not count tokens."""
    return upstream_error(f"Provider '{provider_id}' counts no tokens", provider_id, FailureKind.UNSUPPORTED)


async def performed(provider: Provider, call: Call) -> Answer | UpstreamError:
    """Return the answer of an endpoint that only some providers have; the failure where this one has none."""
    if isinstance(provider, TaskProvider):
        return await provider.perform(call)
    return upstream_error(f"This provider cannot be asked for '{call.format}'", "", FailureKind.UNSUPPORTED)


class ProviderFactory(Protocol):
    """An entry point of the group `sekha.providers`: usually a class."""

    def __call__(self, config: ProviderConfig, api_key: str | None, clock: Clock) -> Provider:
        """
        Make a provider, not yet connected. Called in the process that calls the upstream.

        Args:
            config: its section of the configuration; `config.options` is as the operator wrote it.
            api_key: the resolved `api_key`; None: none is configured, or its variable is not set.
            clock: the source of time.
        """
