"""A strategy's view of a request and of its candidates' load, computed on access."""

from hashlib import blake2b
from json import dumps, loads
from typing import Any, NamedTuple, Protocol

from serve_app.config.model import ModelTask
from serve_app.routing.candidate import Candidate
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target


class Load(NamedTuple):
    """
    The load and health of a target, as this router knows it.

    Attributes:
        in_flight: requests of this router at its provider.
        latency_s: the measured latency over all routers; None before the first answer.
        error_rate: the share of failures among the calls to its provider in the last ten seconds, the circuit
            breaker's window; None without calls.
    """

    in_flight: int = 0
    latency_s: float | None = None
    error_rate: float | None = None


class Loads(Protocol):
    """A source of targets' loads."""

    def load(self, target: Target) -> Load:
        """Return the target's current load."""


class RequestView:
    """
    One request, as a strategy sees it.

    Attributes:
        requirements: its task, names, sizes and rules.
    """

    __slots__ = ("_body", "_loads", "requirements")

    def __init__(self, requirements: Requirements, loads: Loads | None = None) -> None:
        self.requirements = requirements
        self._loads = loads
        self._body: dict[str, Any] | None = None

    @property
    def task(self) -> ModelTask:
        """Return the task."""
        return self.requirements.task

    @property
    def tenant(self) -> str:
        """Return the tenant, who pays."""
        return self.requirements.tenant

    @property
    def session(self) -> str | None:
        """Return `prompt_cache_key`, else `metadata.session_id`; None: the request has neither."""
        body = self._parsed()
        metadata = body.get("metadata")
        of_metadata = metadata.get("session_id") if isinstance(metadata, dict) else None
        names = (body.get("prompt_cache_key"), of_metadata)
        return next((name for name in names if isinstance(name, str) and name), None)

    @property
    def text_hash(self) -> str:
        """
        Return a hash of the messages or the input, which does not reveal them and is the same in every
        process.

        Requests that differ only in other fields have the same hash.
        """
        body = self._parsed()
        text = dumps([body.get("messages"), body.get("input")], sort_keys=True)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def load(self, candidate: Candidate) -> Load:
        """Return the current load of a candidate."""
        if self._loads is None:
            return Load(latency_s=candidate.latency_s)
        return self._loads.load(candidate.target)

    def _parsed(self) -> dict[str, Any]:
        if self._body is None:
            source = self.requirements.source
            parsed = loads(source.raw) if source is not None and source.raw else {}
            self._body = parsed if isinstance(parsed, dict) else {}
        return self._body
