"""What a client's calls came to, in the words of the admin API."""

import pytest

from serve_app.clients.unified.calls import MOST_RECENT, CallMade, CallStatistics
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.usage import Usage

HAIKU = CallMade(1000.0, "anthropic", "haiku", 0.5, Usage(1000, 500), nano_dollars("0.000875"))
OPUS = CallMade(1001.0, "anthropic", "opus", 1.5, Usage(100, 50), nano_dollars("0.00525"))
QWEN = CallMade(1002.0, "vllm", "qwen", 0.2, Usage(10, 5))
FAILED = CallMade(1003.0, "anthropic", "haiku", 7.0, error="scripted failure 503")


def runtime_config_of(*calls: CallMade) -> CallStatistics:
    book = CallStatistics()
    for call in calls:
        book.add(call)
    return book


@pytest.mark.contract(117)
def test_the_metrics_of_a_client_have_four_parts() -> None:
    summary = runtime_config_of(HAIKU, OPUS, QWEN, FAILED).summary()

    assert summary["overview"] == {
        "total_calls": 4,
        "successful_calls": 3,
        "failed_calls": 1,
        "total_tokens": 1665,
        "backends_active": ["anthropic", "vllm"],
        "models_used": ["haiku", "opus", "qwen"],
    }
    assert summary["by_backend"]["anthropic"] == {
        "calls": 3,
        "success_rate": 0.6667,
        "error_rate": 0.3333,
        "total_input_tokens": 1100,
        "total_output_tokens": 550,
        "avg_latency_ms": 1000.0,
        "total_cost": 0.006125,
    }
    assert summary["by_model"]["haiku"] == {
        "calls": 2,
        "error_rate": 0.5,
        "avg_latency_ms": 500.0,
        "total_tokens": 1500,
        "cost": 0.000875,
    }
    assert [call["success"] for call in summary["recent_calls"]] == [True, True, True, False]
    assert summary["recent_calls"][0]["timestamp"] == "1970-01-01T00:16:40.000+00:00"


def test_a_book_without_calls_divides_by_nothing() -> None:
    summary = CallStatistics().summary()

    assert summary["overview"]["total_calls"] == 0
    assert summary["by_backend"] == summary["by_model"] == {}


def test_the_sums_go_on_where_the_calls_themselves_are_forgotten() -> None:
    summary = runtime_config_of(*[QWEN] * (MOST_RECENT + 5)).summary()

    assert len(summary["recent_calls"]) == MOST_RECENT
    assert summary["overview"]["total_calls"] == MOST_RECENT + 5


def test_only_what_failed_has_no_latency_to_average() -> None:
    assert runtime_config_of(FAILED).summary()["by_backend"]["anthropic"]["avg_latency_ms"] == 0.0
