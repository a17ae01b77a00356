"""
The gateway's metrics: each defined once, counted from events, rendered in Prometheus' text format.

`http_requests_total`, `circuit_breaker_state` and `llm_cost_total` are names that never change; `gen_ai_*`
are the OpenTelemetry GenAI conventions' names in Prometheus' spelling. No label grows without bound:
providers, models, tasks and codes are configured or closed sets.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from serve_app.control.control_plane import ALERTS
from serve_app.control.protocol import Totals
from serve_app.control.tally import BUCKETS_S, IN_FLIGHT, UNDER_WAY, Histogram, Tally
from serve_app.events import (
    AttemptFailed,
    Event,
    HttpAnswered,
    RequestAbandoned,
    RequestFailed,
    RequestServed,
    ResponseNotKept,
)
from serve_app.limits.allocator import LimitStatus
from serve_app.limits.limit import Unit, owner_in
from serve_app.pricing.money import dollars
from serve_app.pricing.usage import Usage
from serve_app.resilience.breaker import BreakerState


@dataclass(frozen=True, slots=True)
class Definition:
    """The help text and labels of a metric."""

    help: str
    labels: tuple[str, ...]


HTTP_REQUESTS = "http_requests"
COST = "llm_cost"
TOKENS = "gen_ai_client_token_usage"
MACHINE = "sekha_machine_seconds"
SERVED = "sekha_requests_served"
FAILED = "sekha_requests_failed"
ABANDONED = "sekha_requests_abandoned"
ATTEMPT_FAILURES = "sekha_attempt_failures"
RETRIES = "sekha_retries"
FALLBACKS = "sekha_fallbacks"
DROPPED_FRAMES = "sekha_dropped_frames"
LIMIT_REFUSALS = "sekha_limit_refusals"
NOT_KEPT = "sekha_responses_not_kept"
DURATION = "gen_ai_server_request_duration_seconds"
FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"  # noqa: S105
OVERHEAD = "sekha_overhead_seconds"

_TARGET = ("provider", "model")

COUNTERS = {
    HTTP_REQUESTS: Definition("HTTP requests by route and status.", ("method", "route", "status")),
    COST: Definition("US dollars spent, from reported usage and the price list.", _TARGET),
    TOKENS: Definition("Tokens by direction: input or output.", (*_TARGET, "token_type")),
    MACHINE: Definition("Time of machines of one's own, each request's share of it.", _TARGET),
    SERVED: Definition("Requests that got a whole answer.", ("operation", "task", *_TARGET)),
    FAILED: Definition("Requests that ended in an error.", ("operation", "task", "code")),
    ABANDONED: Definition("Requests whose caller went away.", ("operation", "task")),
    ATTEMPT_FAILURES: Definition("Calls to a target that failed, by kind.", (*_TARGET, "kind")),
    RETRIES: Definition("Calls to a target that failed and were repeated, by kind.", (*_TARGET, "kind")),
    DROPPED_FRAMES: Definition("Frames of streams that could not be read and were left out.", _TARGET),
    FALLBACKS: Definition("Answers that came from another target than the first choice.", _TARGET),
    LIMIT_REFUSALS: Definition(
        "Requests that a limit refused, by whose limit it is and what it counts.", ("owner", "unit")
    ),
    NOT_KEPT: Definition("Responses that were given and could not be kept, by reason.", ("reason",)),
    ALERTS: Definition("Budgets that passed so many percent, by whose they are.", ("owner", "threshold")),
}
HISTOGRAMS = {
    DURATION: Definition("From admission to the last byte.", ("operation", *_TARGET)),
    FIRST_TOKEN: Definition("From admission to the first token of a stream.", _TARGET),
    OVERHEAD: Definition(
        "What the gateway added where the first attempt succeeded: to a whole answer, or to a first token.",
        ("operation",),
    ),
}
GAUGES = {
    IN_FLIGHT: Definition("Requests at a provider at this moment.", ("provider",)),
    UNDER_WAY: Definition(
        "Requests whose answer has not begun, waits between attempts included.", ("operation",)
    ),
}

BUDGETS: dict[str, tuple[str, Callable[[LimitStatus], int]]] = {
    "sekha_budget_used_usd": ("US dollars spent of a budget in its present window.", lambda s: s.used),
    "sekha_budget_on_loan_usd": (
        "US dollars of a budget that routers hold for requests.",
        lambda s: s.on_loan,
    ),
    "sekha_budget_limit_usd": ("US dollars that a budget allows in a window.", lambda s: s.limit.amount),
}
RATES: dict[str, tuple[str, Callable[[LimitStatus], int]]] = {
    "sekha_limit_used": ("What of a rate is used, or held by routers for requests.", lambda s: s.on_loan),
    "sekha_limit_amount": ("What a rate allows in a minute, or at once.", lambda s: s.limit.amount),
}


class MetricsListener:
    """
    A listener that counts events in this process's tally, read anew for each event because it is sent in
    batches.
    """

    def __init__(self, tally: Callable[[], Tally]) -> None:
        self._tally = tally

    def __call__(self, event: Event) -> None:
        match event:
            case HttpAnswered():
                self._tally().count(HTTP_REQUESTS, (event.method, event.route, str(event.status)))
            case RequestServed():
                self._served(event)
            case AttemptFailed():
                labels = (event.provider_id, event.model_id, str(event.error.failure))
                self._tally().count(ATTEMPT_FAILURES, labels)
                if event.retry_in_s is not None:
                    self._tally().count(RETRIES, labels)
                if event.usage is not None:
                    self._spent((event.provider_id, event.model_id), event.usage, event.cost)
                if isinstance(dropped := event.error.details.get("dropped_frames"), int):
                    self._tally().count(DROPPED_FRAMES, (event.provider_id, event.model_id), dropped)
            case RequestFailed():
                self._tally().count(FAILED, (event.operation, event.task, event.code))
                if event.limit is not None:
                    self._tally().count(LIMIT_REFUSALS, (owner_in(event.limit.limit_id), event.limit.unit))
            case RequestAbandoned():
                self._tally().count(ABANDONED, (event.operation, event.task))
                if event.provider_id and event.model_id and event.usage:
                    self._spent((event.provider_id, event.model_id), event.usage, event.cost)
            case ResponseNotKept():
                self._tally().count(NOT_KEPT, (event.reason,))

    def _served(self, event: RequestServed) -> None:
        tally = self._tally()
        target = (event.provider_id, event.model_id)
        tally.count(SERVED, (event.operation, event.task, *target))
        self._spent(target, event.usage, event.cost)
        if event.fell_back:
            tally.count(FALLBACKS, target)
        if event.dropped_frames:
            tally.count(DROPPED_FRAMES, target, event.dropped_frames)
        tally.observe(DURATION, (event.operation, *target), event.duration_s)
        if event.attempts == 1:  # else the time of failed attempts would count as overhead
            ours_until = event.duration_s if event.first_token_s is None else event.first_token_s
            tally.observe(OVERHEAD, (event.operation,), max(0.0, ours_until - event.upstream_s))
        if event.first_token_s is not None:
            tally.observe(FIRST_TOKEN, target, event.first_token_s)

    def _spent(self, target: tuple[str, str], usage: Usage, cost: int | None) -> None:
        """Count tokens, time and money, of complete answers and of partial ones that will be billed."""
        tally = self._tally()
        tally.count(TOKENS, (*target, "input"), usage.input_tokens)
        tally.count(TOKENS, (*target, "output"), usage.output_tokens)
        if usage.machine_ms:
            tally.count(MACHINE, target, usage.machine_ms / 1000)
        tally.count(COST, target, cost or 0)


def exposition(totals: Totals) -> bytes:
    """Return the cluster's metrics in Prometheus' text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Totals(totals))
    return generate_latest(registry)


class _Totals:
    """A Prometheus collector over one set of totals."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        tally = self._totals.tally
        for name, what in COUNTERS.items():
            counter = CounterMetricFamily(name, what.help, labels=what.labels)
            for (key, labels), value in tally.counters.items():
                if key == name:
                    counter.add_metric(labels, dollars(int(value)) if name == COST else value)
            yield counter
        for name, what in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, what.help, labels=what.labels)
            for (key, labels), spans in tally.histograms.items():
                if key == name:
                    histogram.add_metric(labels, _cumulative(spans), spans.total)
            yield histogram
        for name, what in GAUGES.items():
            gauge = GaugeMetricFamily(name, what.help, labels=what.labels)
            for (key, labels), value in self._totals.gauges.items():
                if key == name:
                    gauge.add_metric(labels, value)
            yield gauge
        yield self._breakers()
        yield from self._limits()
        yield GaugeMetricFamily("sekha_router_replicas", "Routers that report.", value=self._totals.replicas)

    def _limits(self) -> Iterator[Metric]:
        """Yield the status of all limits except those of single keys, whose number is unbounded."""
        statuses = [s for s in self._totals.limit_statuses if owner_in(s.limit.id) != "key"]
        for name, (what, amount) in BUDGETS.items():
            gauge = GaugeMetricFamily(name, what, labels=("limit", "window"))
            for limit_status in statuses:
                if limit_status.limit.unit is Unit.NANO_DOLLARS:
                    labels = (limit_status.limit.id, limit_status.limit.window)
                    gauge.add_metric(labels, dollars(amount(limit_status)))
            yield gauge
        for name, (what, amount) in RATES.items():
            gauge = GaugeMetricFamily(name, what, labels=("limit", "unit"))
            for limit_status in statuses:
                if limit_status.limit.unit is not Unit.NANO_DOLLARS:
                    gauge.add_metric((limit_status.limit.id, limit_status.limit.unit), amount(limit_status))
            yield gauge

    def _breakers(self) -> Metric:
        states = GaugeMetricFamily(
            "circuit_breaker_state",
            "1 for the state a provider's breaker is in.",
            labels=("provider", "state"),
        )
        for provider_id, breaker in self._totals.breakers.items():
            for state in BreakerState:
                states.add_metric((provider_id, state), float(breaker.state is state))
        return states


def _cumulative(spans: Histogram) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
    running = 0
    buckets = []
    for bound, count in zip(bounds, spans.counts, strict=True):
        running += count
        buckets.append((bound, float(running)))
    return buckets
