"""What the calls came to, as JSON."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from serve_app.ledger.entry import EntryOutcome
from serve_app.pricing.usage import Usage
from tests.support.entries import entry
from tests.support.operators import QWEN, SONNET, Office, office, two_backends

pytestmark = pytest.mark.anyio


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, two_backends("http://127.0.0.1:9")) as opened:
        await opened.spent(
            [
                entry(1, provider_id="claude", model_id=SONNET, usage=Usage(100, 50), latency_s=1.0),
                entry(2, provider_id="claude", model_id=SONNET, usage=Usage(100, 50), latency_s=2.0),
                entry(3, provider_id="claude", model_id=SONNET, outcome=EntryOutcome.FAILED, cost=0),
                entry(4, provider_id="own", model_id=QWEN, usage=Usage(10, 5), cost=0),
                entry(5, provider_id="former", model_id="gone"),
            ]
        )
        yield opened


async def get(at: Office, path: str, **query: Any) -> Any:
    async with at.client() as client:
        answer = await client.get(f"/api/admin{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.contract(117)
async def test_the_metrics_have_their_four_parts(at: Office) -> None:
    told = await get(at, "/metrics")

    assert told.keys() == {"overview", "by_backend", "by_model", "recent_calls"}
    overview = told["overview"]
    assert (overview["total_calls"], overview["successful_calls"], overview["failed_calls"]) == (5, 4, 1)
    assert overview["total_tokens"] == 315
    assert overview["backends_active"] == ["anthropic", "unknown", "vllm"]
    assert told["by_backend"]["anthropic"] == {
        "calls": 3,
        "success_rate": 0.6667,
        "error_rate": 0.3333,
        "total_input_tokens": 200,
        "total_output_tokens": 100,
        "avg_latency_ms": 1500.0,
        "total_cost": 0.000002,
    }
    assert told["by_model"][QWEN]["calls"] == 1
    assert [call["request_id"] for call in told["recent_calls"]] == [f"request-{n}" for n in (5, 4, 3, 2, 1)]
    assert told["recent_calls"][2]["success"] is False


async def test_a_gateway_that_nobody_has_called_has_metrics_too(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        told = await get(at, "/metrics")

    assert told["overview"]["total_calls"] == 0
    assert told["recent_calls"] == []


async def test_metrics_of_one_backend_and_of_one_model_by_its_id_or_its_tier(at: Office) -> None:
    assert (await get(at, "/metrics/backend/vllm"))["calls"] == 1
    assert (await get(at, f"/metrics/model/{QWEN}"))["model"] == QWEN
    assert (await get(at, "/metrics/model/sonnet"))["calls"] == 3
    assert (await get(at, "/metrics/recent", limit=2))["count"] == 2


@pytest.mark.parametrize("path", ["/metrics/backend/nothing", "/metrics/model/nothing"])
async def test_what_nobody_called_is_not_found(at: Office, path: str) -> None:
    async with at.client() as client:
        answer = await client.get(f"/api/admin{path}")

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_the_status_is_all_of_it_in_short(at: Office) -> None:
    told = await get(at, "/status")

    assert told.keys() == {"backend", "costs", "budget", "metrics"}
    assert told["backend"]["current_backend"] == "anthropic"
    assert told["metrics"]["total_calls"] == 5


async def test_what_the_gateway_goes_by_is_shown_without_secrets(at: Office) -> None:
    async with at.client() as client:
        answer = await client.get("/api/admin/config")

    told = answer.json()
    assert told["alert_thresholds"] == [75, 90, 100]
    assert told["rate_limits"] == {
        "requests_per_hour": 1000,
        "changes_per_hour": 100,
        "switches_per_hour": 10,
    }
    assert "sk-" not in answer.text
