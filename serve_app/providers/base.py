"""
What the gateway asks of a provider.

Three verbs, and failures as values: a raised exception would reach the caller of a Ray handle wrapped in a
remote traceback, and Serve would log it as a crash. An unexpected exception is a bug and
may be raised; an `UpstreamError` is a fact and is returned.

A stream of chat is, in this order:

    StreamHead                        the upstream accepted; or an UpstreamError instead, and nothing more
    bytes, bytes, …                   blocks of whole SSE frames in the call's format; of OpenAI's chat
                                      without [DONE]
    StreamEnd                         the answer is complete; or an UpstreamError: it is not
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import NamedTuple, Protocol, runtime_checkable

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import UpstreamError
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat


class Call(NamedTuple):
    """
    One attempt at one target.

    `body` is JSON in `format`, which is one that the provider's vendor says it speaks; the provider puts
    `model` in it. `timeout_s` bounds the whole attempt, of a stream until its first token; `first_byte_s`
    bounds the wait for the head of the answer, `idle_s` every silence of a stream after its first token.
    `wants_usage`: the caller of a stream asked to see the usage chunk. `api_base` is where to ask instead of
    the configured address: an operator has moved the upstream, and the configured key is not for whoever is
    there.

    `headers` are those of the caller's that belong to the format, as the version that the caller speaks.

    `output_tokens` is how many tokens one answer may have, which the provider writes into the request under
    the one name that its upstream takes; None: as the body says. `limits_tools`: tools that the
    vendor runs get their default bound where the caller has set none.
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


class Answer(NamedTuple):
    """
    A whole answer: `body` is JSON in the format of the call.

    `upstream_s` is the time from our request to the last byte of theirs; `usage` is estimated if it was not
    told but could be counted, None if it could not, and then `output_chars` is how much text there is.
    `machine_ms` is its share of a machine of one's own (`metered.py`), whoever counted the rest. `dropped`
    are the caller's parameters that the upstream did not get as they were.
    """

    body: bytes
    usage: Usage | None
    upstream_s: float
    output_chars: int = 0
    machine_ms: int = 0
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamHead:
    """
    The upstream accepted the request after `upstream_s` seconds; text may follow.

    `dropped` as of a whole answer.
    """

    upstream_s: float
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """
    The stream ended as it should.

    `usage` and `machine_ms` as of a whole answer; `output_chars` is what was sent; `dropped_frames` could not
    be read.
    """

    usage: Usage | None
    upstream_s: float
    output_chars: int
    dropped_frames: int = 0
    machine_ms: int = 0


StreamItem = StreamHead | bytes | StreamEnd | UpstreamError


class HealthStatus(StrEnum):
    """What is known of an upstream without a caller's request: nothing, where asking would cost tokens."""

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
    """Speaks to one upstream."""

    async def chat(self, call: Call) -> Answer | UpstreamError:
        """One whole chat completion."""

    def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        """A chat completion in pieces; closing the iterator closes the upstream connection."""

    async def embed(self, call: Call) -> Answer | UpstreamError:
        """Vectors, as OpenAI's embedding list."""

    async def health(self) -> Health:
        """Look at the upstream; no paid token is spent unless `paid_probes` allows it."""

    async def aclose(self) -> None:
        """Let go of every connection."""


@runtime_checkable
class Wakeable(Protocol):
    """A provider whose machine may be asleep: a model that is hosted here and may shrink to no replica."""

    def wake(self) -> None:
        """Let a machine start where none is; returns at once."""


class ProviderFactory(Protocol):
    """What an entry point of the group `sekha.providers` stands for: usually a class."""

    def __call__(self, config: ProviderConfig, api_key: str | None, clock: Clock) -> Provider:
        """
        Make a provider, not yet connected. Called in the process that speaks to the upstream.

        Args:
            config: its section of the configuration; `config.options` is as the operator wrote it.
            api_key: what `api_key` leads to; None: nothing is configured, or it leads nowhere.
            clock: the time.
        """
