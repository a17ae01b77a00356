"""Metrics are counted from events and add up over routers."""

from prometheus_client.parser import text_string_to_metric_families

from serve_app.accounting.usage import Usage
from serve_app.control.port import Totals
from serve_app.control.tally import Tally
from serve_app.events import HttpAnswered, RequestServed
from serve_app.observability.metrics import MetricsListener, exposition
from serve_app.resilience.breaker import Breaker, BreakerState


def served(duration_s: float = 0.5, attempts: int = 1) -> RequestServed:
    return RequestServed(
        "r",
        "chat",
        "chat_smart",
        "cloud",
        "gpt-4o",
        attempts,
        attempts > 1,
        Usage(10, 5),
        12_500_000,
        duration_s,
        0.4,
        0.2,
    )


def values(tally: Tally) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    totals = Totals(tally, {}, {"cloud": Breaker(BreakerState.OPEN)}, replicas=2)
    families = text_string_to_metric_families(exposition(totals).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_two_routers_tallies_add_up() -> None:
    one, other = Tally(), Tally()
    MetricsListener(lambda: one)(served())
    MetricsListener(lambda: other)(served(attempts=2))
    one.add(other)

    shown = values(one)

    target = (("model", "gpt-4o"), ("provider", "cloud"))
    assert shown["llm_cost_total", target] == 0.025
    assert shown["sekha_fallbacks_total", target] == 1
    assert shown["gen_ai_client_token_usage_total", (*target, ("token_type", "input"))] == 20
    assert (
        shown["gen_ai_server_request_duration_seconds_count", (target[0], ("operation", "chat"), target[1])]
        == 2
    )


def test_buckets_are_cumulative_and_end_with_everything() -> None:
    tally = Tally()
    for seconds in (0.001, 0.3, 500.0):
        MetricsListener(lambda: tally)(served(seconds))

    shown = values(tally)
    labels = (("model", "gpt-4o"), ("operation", "chat"), ("provider", "cloud"))

    def bucket(bound: str) -> float:
        return shown["gen_ai_server_request_duration_seconds_bucket", (("le", bound), *labels)]

    assert [bucket("0.001"), bucket("0.5"), bucket("120.0"), bucket("+Inf")] == [1, 2, 2, 3]


def test_a_breaker_shows_one_state_as_one_and_the_others_as_zero() -> None:
    shown = values(Tally())

    states = {s: shown["circuit_breaker_state", (("provider", "cloud"), ("state", s))] for s in BreakerState}
    assert states == {"closed": 0, "open": 1, "half_open": 0}


def test_http_answers_are_counted_by_route_and_status() -> None:
    tally = Tally()
    MetricsListener(lambda: tally)(HttpAnswered("GET", "/health", 200))

    assert (
        values(tally)["http_requests_total", (("method", "GET"), ("route", "/health"), ("status", "200"))]
        == 1
    )
