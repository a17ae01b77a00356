"""Log lines as operators find them."""

import io
import logging
from ipaddress import ip_address

import orjson
import pytest

from serve_app.errors import FailureKind, RateLimitExceeded, upstream_error
from serve_app.events import AttemptFailed, Event, HealthChanged, RequestFailed, RequestServed
from serve_app.limits.allocator import BudgetAlert
from serve_app.limits.limit import Limit, Unit, Window
from serve_app.observability.logs import JsonFormatter, log_budget_alert, log_event
from serve_app.pricing.usage import Usage
from serve_app.providers.address_policy import AddressRefused
from serve_app.providers.base import HealthStatus
from serve_app.providers.openai_compatible.failures import failure_of_exception

SERVED = RequestServed(
    "r1", "chat", "chat_smart", "cloud", "gpt-4o", 1, False, Usage(1000, 500), 12_500_000, 0.5, 0.4
)
FAILED = AttemptFailed(
    "r1", "cloud", "gpt-4o", 2, upstream_error("slow down", "cloud", FailureKind.RATE_LIMITED), retries=1
)


@pytest.fixture
def lines() -> io.StringIO:
    """What the gateway's logs wrote while the test ran."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("sekha")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(level)


def logged(lines: io.StringIO, event: Event) -> dict[str, object]:
    log_event(event)
    return orjson.loads(lines.getvalue())


def test_an_answer_says_where_it_came_from_and_what_it_cost(lines: io.StringIO) -> None:
    line = logged(lines, SERVED)

    assert line["message"] == "Routed to provider=cloud, model=gpt-4o, cost=$0.0125"
    assert line["input_tokens"] == 1000


def test_a_failed_call_has_the_documented_fields(lines: io.StringIO) -> None:
    line = logged(lines, FAILED)

    wanted = {"event", "backend", "model", "error_type", "error_message", "retry_count"}
    assert wanted <= set(line)
    assert line["event"] == "llm_call_failed"
    assert line["retry_count"] == 1


@pytest.mark.parametrize(
    ("before", "after", "error", "level", "message"),
    [
        ("healthy", "unhealthy", "refused", "WARNING", "health of 'cloud': healthy -> unhealthy: refused"),
        ("unknown", "unhealthy", "no key", "WARNING", "health of 'cloud': unknown -> unhealthy: no key"),
        ("unhealthy", "healthy", None, "INFO", "health of 'cloud': unhealthy -> healthy"),
    ],
)
def test_a_provider_that_turns_has_a_line_of_its_own(
    lines: io.StringIO, before: str, after: str, error: str | None, level: str, message: str
) -> None:
    turn = HealthChanged("cloud", HealthStatus(before), HealthStatus(after), error)

    line = logged(lines, turn)

    assert (line["level"], line["message"]) == (level, message)
    assert (line["event"], line["provider"], line["status"]) == ("provider_health", "cloud", after)


def test_a_provider_that_is_well_from_the_start_needs_no_line(lines: io.StringIO) -> None:
    log_event(HealthChanged("cloud", HealthStatus.UNKNOWN, HealthStatus.HEALTHY, None))

    assert lines.getvalue() == ""


def test_a_request_that_a_limit_refused_says_which_and_shows_no_key(lines: io.StringIO) -> None:
    error = RateLimitExceeded("key:ab12/requests", "requests", 60, 0, 12.0)

    line = logged(lines, RequestFailed("r1", "chat", "chat_smart", error.code, 429, 0, 0.1, error))

    assert (line["event"], line["code"], line["limit"]) == (
        "request_failed",
        "RATE_LIMIT_EXCEEDED",
        "key:ab12/requests",
    )
    assert "sk-" not in lines.getvalue()


@pytest.mark.parametrize(("threshold", "level"), [(75, "warning"), (90, "critical"), (100, "exceeded")])
def test_a_budget_alert_has_the_documented_fields(lines: io.StringIO, threshold: int, level: str) -> None:
    limit = Limit("gateway/total", Unit.NANO_DOLLARS, Window.TOTAL, 10_000_000_000)

    log_budget_alert(BudgetAlert(limit, threshold, threshold * 100_000_000, 0.0))

    line = orjson.loads(lines.getvalue())
    facts = {name: line[name] for name in ("event", "level", "threshold", "current_usage", "budget_limit")}
    assert facts == {
        "event": "budget_alert",
        "level": level,
        "threshold": threshold,
        "current_usage": threshold / 10,
        "budget_limit": 10.0,
    }
    assert str(threshold) in line["message"]


def test_an_address_that_is_not_called_is_told_to_the_operator_alone(lines: io.StringIO) -> None:
    refused = AddressRefused("is private, and backends.allow_private is false", ip_address("10.0.0.9"))
    error = failure_of_exception(refused, "own")

    log_event(AttemptFailed("r1", "own", "qwen", 1, error, retries=0))

    line = orjson.loads(lines.getvalue().splitlines()[-1])
    assert (line["level"], line["event"], line["provider"]) == ("ERROR", "provider_address_refused", "own")
    assert "10.0.0.9" in line["message"]
    assert "10.0.0.9" not in f"{error} {error.message} {error.details}"
