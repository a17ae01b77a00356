"""Metrics are counted from events and add up over routers."""

from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve_app.control.control_plane import ControlPlane
from serve_app.control.protocol import Totals
from serve_app.control.runtime_config import runtime_config_of
from serve_app.control.tally import Tally
from serve_app.errors import BudgetExceeded, LimitReached, PriceUnknown, RateLimitExceeded
from serve_app.events import HttpAnswered, RequestFailed, RequestServed
from serve_app.limits.allocator import LimitStatus
from serve_app.limits.limit import Limit, Unit, Window
from serve_app.observability.metrics import MetricsListener, exposition
from serve_app.pricing.target_prices import prices_of
from serve_app.pricing.usage import Usage
from serve_app.resilience.breaker import Breaker, BreakerState
from tests.support.entries import entry
from tests.support.settings import two_providers


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


def values(
    tally: Tally, limit_statuses: Sequence[LimitStatus] = ()
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    totals = Totals(
        tally, {}, {"cloud": Breaker(BreakerState.OPEN)}, replicas=2, limit_statuses=limit_statuses
    )
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


def test_the_time_of_machines_adds_up() -> None:
    tally = Tally()
    for _ in range(2):
        MetricsListener(lambda: tally)(served()._replace(usage=Usage(10, 5, machine_ms=1500)))

    assert values(tally)["sekha_machine_seconds_total", (("model", "gpt-4o"), ("provider", "cloud"))] == 3.0


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


def test_a_budget_and_a_rate_show_how_they_stand() -> None:
    budget = Limit("tenant:a/month", Unit.NANO_DOLLARS, Window.MONTH, 50_000_000_000)
    rate = Limit("provider:cloud/tokens", Unit.TOKENS, Window.MINUTE, 100_000)
    limit_statuses = [
        LimitStatus(budget, 12_500_000_000, 1_000_000_000, 0.0),
        LimitStatus(rate, 0, 4000, 0.0),
    ]

    shown = values(Tally(), limit_statuses)

    month = (("limit", "tenant:a/month"), ("window", "month"))
    assert [shown[f"sekha_budget_{name}_usd", month] for name in ("used", "on_loan", "limit")] == [
        12.5,
        1,
        50,
    ]
    tokens = (("limit", "provider:cloud/tokens"), ("unit", "tokens"))
    assert [shown[f"sekha_limit_{name}", tokens] for name in ("used", "amount")] == [4000, 100_000]


def test_the_limits_of_keys_are_no_labels_for_there_may_be_any_number_of_them() -> None:
    budget = Limit("key:ab12/day", Unit.NANO_DOLLARS, Window.DAY, 50)
    rate = Limit("key:ab12/requests", Unit.REQUESTS, Window.MINUTE, 50)

    shown = values(Tally(), [LimitStatus(budget, 1, 0, 0.0), LimitStatus(rate, 0, 1, 0.0)])

    assert not [labels for _, labels in shown if any("ab12" in value for _, value in labels)]


@pytest.mark.parametrize(
    ("error", "owner", "unit"),
    [
        (BudgetExceeded("gateway/total", "total", 1.0, 1.0, 0.1), "gateway", "dollars"),
        (PriceUnknown("cloud/gpt-9", "tenant:a/provider:cloud/day"), "tenant", "dollars"),
        (RateLimitExceeded("key:ab12/requests", "requests", 60, 0, 12.0), "key", "requests"),
        (RateLimitExceeded("model:gpt-4o/concurrent", "concurrent", 8, 0, 1.0), "model", "concurrent"),
    ],
    ids=lambda value: value.limit_id if isinstance(value, LimitReached) else value,
)
def test_a_refusal_is_counted_by_whose_limit_it_was(error: LimitReached, owner: str, unit: str) -> None:
    tally = Tally()
    failed = RequestFailed("r", "chat", "chat_smart", error.code, error.status, 0, 0.1, error)

    MetricsListener(lambda: tally)(failed)

    assert values(tally)["sekha_limit_refusals_total", (("owner", owner), ("unit", unit))] == 1


def test_an_alert_is_counted_where_it_is_raised() -> None:
    plane = ControlPlane("generation-1", prices_of)
    plane.set_runtime_config(
        runtime_config_of(two_providers(budgets={"limit": 1.0, "window": "total"}), (), 0), 0.0
    )

    plane.take([entry(number, cost=400_000_000) for number in (1, 2)], 0.0)

    shown = values(plane.totals(0.0).tally)
    alerts = {labels: count for (name, labels), count in shown.items() if name == "sekha_budget_alerts_total"}
    assert alerts == {(("owner", "gateway"), ("threshold", "75")): 1}
