"""What a strategy may read of a request, and of how busy its candidates are: worked out when it is read."""

from hashlib import blake2b
from json import dumps, loads
from typing import Any, NamedTuple, Protocol

from serve_app.config.model import ModelTask
from serve_app.routing.candidate import Candidate
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target


class Load(NamedTuple):
    """
    How busy and how well a target is, as this router knows it.

    Fields:
        in_flight: requests of this router that are at its provider.
        latency_s: its measured latency over all routers; None before the first answer.
        error_rate: the share of failures among the calls to its provider in the circuit breaker's window, the
            last ten seconds; None without calls.
    """

    in_flight: int = 0
    latency_s: float | None = None
    error_rate: float | None = None


class Loads(Protocol):
    """Where the load of a target is known."""

    def load(self, target: Target) -> Load:
        """Return it as it is at this moment."""


class RequestView:
    """
    One request, as a strategy sees it.

    Fields:
        requirements: what it asks of its target; its task, names, sizes and rules.
    """

    __slots__ = ("_body", "_loads", "requirements")

    def __init__(self, requirements: Requirements, loads: Loads | None = None) -> None:
        self.requirements = requirements
        self._loads = loads
        self._body: dict[str, Any] | None = None

    @property
    def task(self) -> ModelTask:
        """The kind of work."""
        return self.requirements.task

    @property
    def tenant(self) -> str:
        """Who pays."""
        return self.requirements.tenant

    @property
    def session(self) -> str | None:
        """Its `prompt_cache_key`, else its `metadata.session_id`; None: it says neither."""
        body = self._parsed()
        metadata = body.get("metadata")
        of_metadata = metadata.get("session_id") if isinstance(metadata, dict) else None
        names = (body.get("prompt_cache_key"), of_metadata)
        return next((name for name in names if isinstance(name, str) and name), None)

    @property
    def text_hash(self) -> str:
        """
        A hash of its messages or its input: the same in every process, and without the text in it.

        Two requests that differ in other fields only have the same one.
        """
        body = self._parsed()
        text = dumps([body.get("messages"), body.get("input")], sort_keys=True)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def load(self, candidate: Candidate) -> Load:
        """Return how busy a candidate is at this moment."""
        if self._loads is None:
            return Load(latency_s=candidate.latency_s)
        return self._loads.load(candidate.target)

    def _parsed(self) -> dict[str, Any]:
        if self._body is None:
            source = self.requirements.source
            parsed = loads(source.raw) if source is not None and source.raw else {}
            self._body = parsed if isinstance(parsed, dict) else {}
        return self._body
