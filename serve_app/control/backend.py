"""
The two backends, `anthropic` and `vllm`: which one is active, and the models that it serves.

Pure: derives everything from the state that the control plane keeps. The admin API checks the health of a
backend before it switches to it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlsplit

from serve_app.config.backends import tidy
from serve_app.config.override import BackendState
from serve_app.config.provider import ProviderConfig
from serve_app.config.settings import Settings
from serve_app.errors import InvalidRequest
from serve_app.providers.catalogue import rows
from serve_app.routing.intent import TIERS
from serve_app.routing.target import Target

HOUR_S = 3600
LONGEST_ENDPOINT = 2000  # characters

_ONE_WORD = re.compile(r"[!-~]+\Z")  # no blanks, no control characters


class Backend(StrEnum):
    """The two backends: Claude at Anthropic, billed by the token, and a vLLM server, billed by the hour."""

    ANTHROPIC = "anthropic"
    VLLM = "vllm"


_BY_NAME: dict[str, Backend] = {backend.value: backend for backend in Backend}


@dataclass(frozen=True, slots=True)
class Tier:
    """A model by the name of its class; `max_tokens` is the default limit of an answer."""

    name: str
    model_id: str
    max_tokens: int = 4096


OFFERED: dict[Backend, tuple[Tier, ...]] = {
    Backend.ANTHROPIC: (
        Tier("haiku", TIERS["haiku"].model_id),
        Tier("sonnet", TIERS["sonnet"].model_id, max_tokens=8192),
        Tier("opus", TIERS["opus"].model_id),
    ),
    Backend.VLLM: (Tier("qwen", TIERS["qwen"].model_id),),
}


_STARTED_BY = {Backend.ANTHROPIC: rows.ANTHROPIC.key_variable, Backend.VLLM: rows.VLLM.address_variable}


class BackendNotConfigured(InvalidRequest):
    """The backend cannot be switched to, because it is not configured."""


@dataclass(frozen=True, slots=True)
class Backends:
    """
    The current backend, and the endpoint of vLLM.

    Attributes:
        vllm_endpoint: the server's address without `/v1`.
        vllm_since: when an endpoint was first known, in seconds since the epoch; its hours are counted from
            then.
        hosts_vllm: the gateway hosts a vLLM model itself, so no endpoint is needed.
        provider_types: the configured types; None: all, for a client that makes its own providers.
    """

    current: Backend = Backend.ANTHROPIC
    vllm_endpoint: str | None = None
    vllm_since: float | None = None
    hosts_vllm: bool = False
    provider_types: frozenset[str] | None = None

    def switched_to(self, backend: Backend) -> "Backends":
        """Return the state after a switch; raise BackendNotConfigured if the backend cannot be reached."""
        if why := self.why_not(backend):
            raise BackendNotConfigured(why, param="backend")
        return replace(self, current=backend)

    def why_not(self, backend: Backend) -> str | None:
        """Return the reason why this backend cannot be switched to; None: it can."""
        if backend is Backend.VLLM and not (self.hosts_vllm or self.vllm_endpoint is not None):
            return "vLLM has no endpoint: set one first"
        if self.provider_types is not None and backend not in self.provider_types:
            return (
                f"No provider of type '{backend}' is configured, so it could serve no call; add one to "
                f"llm_providers, or start with {_STARTED_BY[backend]} set and without a configuration"
            )
        return None

    def with_endpoint(self, endpoint: str, now: float) -> "Backends":
        """
        Return the state with this endpoint; raise InvalidRequest if it is not a web address.

        `vllm_since` stays as it is: a new address does not mean a new machine.
        """
        since = now if self.vllm_since is None else self.vllm_since
        return replace(self, vllm_endpoint=endpoint_of(endpoint), vllm_since=since)

    def is_configured(self, backend: Backend) -> bool:
        """
        Return whether the backend can be switched to. A missing key is found by a health check, not here.
        """
        return self.why_not(backend) is None

    @property
    def api_base(self) -> str | None:
        """Return the base URL of vLLM's OpenAI API; None: no endpoint is known."""
        return None if self.vllm_endpoint is None else f"{self.vllm_endpoint}/v1"

    @property
    def available_models(self) -> tuple[str, ...]:
        """Return the names of the current backend's tiers."""
        return tuple(tier.name for tier in OFFERED[self.current])

    def tier(self, name: str) -> Tier:
        """Return a tier of the current backend by name; its first one if it does not have that tier."""
        tiers = OFFERED[self.current]
        return next((tier for tier in tiers if tier.name == name), tiers[0])

    def vllm_cost(self, now: float, hourly: int) -> int:
        """Return the cost so far of the machine behind vLLM; it and `hourly` are in nano-dollars."""
        return round(self.vllm_up_s(now) * hourly / HOUR_S)

    def vllm_up_s(self, now: float) -> float:
        """Return for how many seconds the machine behind vLLM has been billed."""
        return 0.0 if self.vllm_since is None else max(0.0, now - self.vllm_since)


def backends_of(settings: Settings, state: BackendState) -> Backends:
    """
    Return the backends: the operators' settings, else the configuration, else Anthropic.

    Without a configured endpoint, vLLM is at the address of the first provider of that type.
    """
    vllm = next((p.base_url for p in settings.llm_providers if p.type == Backend.VLLM and p.base_url), None)
    endpoint = state.vllm_endpoint or settings.backends.vllm_endpoint or vllm
    return Backends(
        current=switched_by(state) or Backend.ANTHROPIC,
        vllm_endpoint=tidy(endpoint) if endpoint else None,
        vllm_since=state.vllm_since,
        hosts_vllm=any(provider.local is not None for provider in settings.llm_providers),
        provider_types=frozenset(provider.type for provider in settings.llm_providers),
    )


def switched_by(state: BackendState) -> Backend | None:
    """Return the backend that an operator has switched to; None: no operator has."""
    return None if state.current is None else _BY_NAME.get(state.current)


def moved_to(settings: Settings, state: BackendState, provider_id: str) -> str | None:
    """
    Return the address of this provider's API if it is not the configured one; None: it is.

    A vLLM endpoint that is set apart from the providers applies to the first provider of that type.
    """
    endpoint = state.vllm_endpoint or settings.backends.vllm_endpoint
    first = first_vllm(settings)
    if endpoint is None or first is None or first.id != provider_id:
        return None
    endpoint = tidy(endpoint)
    return None if endpoint == tidy(first.base_url or "") else f"{endpoint}/v1"


def local_at(targets: Sequence[Target], settings: Settings, state: BackendState) -> tuple[Target, ...]:
    """Return the targets, each marked as local or not by the address that is used for it now."""
    first = first_vllm(settings)
    moved = None if first is None else moved_to(settings, state, first.id)
    if first is None or moved is None:
        return tuple(targets)
    is_local = first.keeps_data_local(moved)
    return tuple(replace(t, is_local=is_local) if t.provider_id == first.id else t for t in targets)


def first_vllm(settings: Settings) -> ProviderConfig | None:
    """Return the first configured provider of a vLLM endpoint; None: there is none."""
    at_endpoints = (p for p in settings.llm_providers if p.type == Backend.VLLM and p.local is None)
    return next(at_endpoints, None)


def backend_named(name: str) -> Backend:
    """Return the backend of that name; raise InvalidRequest, which lists the known ones."""
    try:
        return Backend(name)
    except ValueError:
        raise InvalidRequest(
            f"Unknown backend '{name}'. Known backends: {', '.join(Backend)}",
            param="backend",
            code="invalid_backend",
        ) from None


def endpoint_of(text: str) -> str:
    """
    Return the address without a trailing slash or `/v1`; raise InvalidRequest if it is not a web address.
    """
    address = tidy(text)
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_plain = "@" not in parts.netloc and not parts.query and not parts.fragment
    except ValueError:  # an invalid port or an incomplete IPv6 address
        is_address = is_plain = False
    if not is_address or not is_plain or len(address) > LONGEST_ENDPOINT or not _ONE_WORD.match(address):
        raise InvalidRequest(
            "A vLLM endpoint must be a web address that starts with http:// or https://, and contains no key",
            param="endpoint",
        )
    return address
