"""What was spent, and the budget that binds everyone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve_app.pricing.money import nano_dollars
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from tests.support.entries import entry
from tests.support.harness import ListedProvider
from tests.support.operators import KEYS, QWEN, SONNET, USER, Office, office, soon, two_backends
from tests.support.settings import settings

pytestmark = pytest.mark.anyio

VLLM = "http://127.0.0.1:9"
HOUR = 3600.0
HI = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
TOTAL = {"budgets": {"limit": 100, "window": "total"}}


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, two_backends(VLLM, **TOTAL)) as opened:
        yield opened


async def get(at: Office, path: str, **query: Any) -> Any:
    async with at.client() as client:
        answer = await client.get(f"/api/admin{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(at: Office, path: str, body: Any, router: int = 0) -> httpx.Response:
    async with at.client(router=router) as client:
        return await client.post(f"/api/admin{path}", json=body)


async def chat(at: Office, router: int = 0) -> httpx.Response:
    async with at.client(USER, router) as client:
        return await client.post("/v1/chat/completions", json={**HI, "model": SONNET})


def attempt(number: int, cost: str, provider: str = "claude", model: str = SONNET, **more: Any) -> Any:
    return entry(number, provider_id=provider, model_id=model, cost=nano_dollars(cost), **more)


async def is_counting(at: Office) -> bool:
    """Whether it is written down since when vLLM has to be paid."""
    return (await at.authority.runtime_config()).backend.vllm_since is not None


@pytest.mark.contract(113)
async def test_the_costs_of_both_backends_out_of_a_hundred_dollars(at: Office) -> None:
    await post(at, "/vllm/endpoint", {"endpoint": VLLM})
    at.clock.ahead_s += 20 * HOUR  # at 0.16 dollars
    await at.spent([attempt(1, "12"), attempt(2, "0.45")])

    told = await get(at, "/costs")

    assert (told["anthropic"], told["vllm"]) == (12.45, pytest.approx(3.2, abs=1e-3))
    assert (round(told["total"], 2), round(told["remaining"], 2)) == (15.65, 84.35)
    assert (told["budget_limit"], told["budget_used_percent"]) == (100.0, 15.65)


@pytest.mark.contract(113)
async def test_the_costs_of_both_backends_where_vllms_tokens_have_a_price(at: Office) -> None:
    await at.spent([attempt(1, "12.45"), attempt(2, "3.20", "own", QWEN)])

    told = await get(at, "/costs")

    assert told["anthropic"] == 12.45
    assert told["vllm"] == 3.2
    assert told["total"] == 15.65
    assert told["remaining"] == 84.35
    assert told["budget_used_percent"] == 15.65


@pytest.mark.contract(117)
async def test_two_hours_of_vllm(tmp_path: Path) -> None:
    backends = {"vllm_endpoint": VLLM, "vllm_hourly_rate": 0.16}
    async with office(tmp_path, two_backends(VLLM, backends=backends)) as at:
        await soon(lambda: is_counting(at))
        at.clock.ahead_s += 2 * HOUR
        told = await get(at, "/costs")

    assert told["vllm"] == pytest.approx(0.32, abs=1e-3)


async def test_the_hours_of_vllm_go_on_after_a_restart(tmp_path: Path) -> None:
    settings = two_backends(VLLM, backends={"vllm_endpoint": VLLM})
    async with office(tmp_path, settings) as at:
        await soon(lambda: is_counting(at))
        since = (await at.authority.runtime_config()).backend.vllm_since
    async with office(tmp_path, settings) as again:
        again.clock.ahead_s += HOUR
        assert (await again.authority.runtime_config()).backend.vllm_since == since
        assert (await get(again, "/costs"))["vllm"] == pytest.approx(0.16, abs=1e-3)
        assert len(await again.authority.changes()) == 1


async def test_what_requests_paid_for_their_shares_is_within_the_hours_and_counts_once(
    tmp_path: Path,
) -> None:
    """
    Two hours at 3.60 dollars, a quarter of an hour of them used: 0.90 attributed, 6.30 idle.

    600,000 tokens came out of 7.20 dollars: 12 dollars a million.
    """
    backends = {"vllm_endpoint": VLLM, "vllm_hourly_rate": 3.6}
    used = Usage(400_000, 200_000, machine_ms=900_000)
    async with office(tmp_path, two_backends(VLLM, backends=backends, **TOTAL)) as at:
        await soon(lambda: is_counting(at))
        now = at.clock.now()
        at.clock.ahead_s += 2 * HOUR
        await at.spent([attempt(1, "0.9", "own", QWEN, usage=used, at=now), attempt(2, "12")])
        told, status = await get(at, "/costs"), await get(at, "/status")
        [_, line] = (await get(at, "/costs/recent"))["entries"][::-1]

    machine = told["machines"].pop("own")
    assert told["machines"] == {}
    assert machine == {
        "hours": pytest.approx(2, abs=1e-3),
        "cost": pytest.approx(7.2, abs=1e-2),
        "attributed": 0.9,
        "idle": pytest.approx(6.3, abs=1e-2),
        "tokens": 600_000,
        "per_million_tokens": pytest.approx(12, abs=1e-2),
    }
    assert told["by_type"] == {"anthropic": 12.0, "vllm": 0.9}
    assert (told["vllm"], told["vllm_hours"]) == (machine["cost"], machine["cost"])
    assert told["total"] == pytest.approx(12 + 7.2, abs=1e-2)
    assert told["remaining"] == pytest.approx(100 - 12 - 7.2, abs=1e-2)
    assert status["costs"]["total"] == pytest.approx(told["total"], abs=1e-3)
    assert line["machine_ms"] == 900_000


async def test_of_a_machine_whose_hours_nobody_counts_the_used_ones_are_told(tmp_path: Path) -> None:
    config = two_backends(**TOTAL)
    claude, mine = config.llm_providers[0], {"id": "mine", "type": "ollama", "hourly_rate": 3.6}
    both = settings({"llm_providers": [claude, mine], "default_models": {}}, auth=KEYS, **TOTAL)
    used = Usage(500, 500, machine_ms=900_000)
    async with office(tmp_path, both) as at:
        await at.spent([attempt(1, "0.9", "mine", QWEN, usage=used)])
        told = await get(at, "/costs")

    assert told["total"] == 0.9
    assert told["machines"]["mine"] == {
        "hours": None,
        "cost": None,
        "attributed": 0.9,
        "idle": None,
        "tokens": 1000,
        "per_million_tokens": 900.0,
    }


async def test_remaining_is_never_negative(at: Office) -> None:
    await at.spent([attempt(1, "120")])

    told = await get(at, "/costs")

    assert (told["remaining"], told["budget_used_percent"]) == (0.0, 120.0)


async def test_a_gateway_without_a_budget_says_so(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        told = await get(at, "/costs")

    assert (told["total"], told["budget_limit"], told["remaining"]) == (0.0, None, None)


async def test_costs_are_broken_down_as_asked(at: Office) -> None:
    await at.spent(
        [
            attempt(1, "1", tenant="acme"),
            attempt(2, "2", tenant="acme"),
            attempt(3, "4", tenant="other"),
            attempt(4, "0", "own", QWEN, tenant="other"),
        ]
    )

    by_tenant = (await get(at, "/costs", by="tenant"))["breakdown"]
    by_day_and_provider = (await get(at, "/costs", by="day, provider"))["breakdown"]

    assert [(row["tenant"], row["attempts"], row["cost"]) for row in by_tenant] == [
        ("acme", 2, 3.0),
        ("other", 2, 4.0),
    ]
    assert [(row["day"], row["provider"], row["cost"]) for row in by_day_and_provider] == [
        ("2026-09-16", "claude", 7.0),
        ("2026-09-16", "own", 0.0),
    ]


async def test_what_prompt_caches_saved_is_told_in_total_by_row_and_by_entry(at: Office) -> None:
    usage = Usage(10, 5, cached_read=2000, cache_write_1h=300)
    await at.spent(
        [
            attempt(1, "1", tenant="acme")._replace(usage=usage, cache_saving=1_700_000_000),
            attempt(2, "2", tenant="other")._replace(cache_saving=-200_000_000),
        ]
    )

    told = await get(at, "/costs", by="tenant")
    newest = {entry["tenant"]: entry for entry in (await get(at, "/costs/recent"))["entries"]}

    assert told["cache_saving"] == 1.5
    assert [(row["tenant"], row["cache_saving"]) for row in told["breakdown"]] == [
        ("acme", 1.7),
        ("other", -0.2),
    ]
    assert (newest["acme"]["cached_tokens"], newest["acme"]["cache_write_tokens"]) == (2000, 300)
    assert (newest["acme"]["cache_saving"], newest["other"]["cache_saving"]) == (1.7, -0.2)


async def test_costs_of_some_days_only(at: Office) -> None:
    await at.spent([attempt(1, "1"), attempt(2, "2", at=1_789_560_000.5 + 86_400)])

    first = await get(at, "/costs", since="2026-09-16T18:00:00", until="2026-09-17")
    both = await get(at, "/costs", since="1789560000")

    assert (first["total"], both["total"]) == (1.0, 3.0)
    assert first["remaining"] == 97.0  # of the budget, whatever days are shown


async def test_the_breakdown_as_a_table_has_exact_costs_and_no_formulas(at: Office) -> None:
    await at.spent([attempt(1, "0.000000001", caller="=HYPERLINK(1)")])

    async with at.client() as client:
        answer = await client.get("/api/admin/costs", params={"by": "caller", "format": "csv"})

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.splitlines() == [
        "caller,attempts,failed,input_tokens,output_tokens,cost_usd,cache_saving_usd",
        "'=HYPERLINK(1),1,0,0,0,0.000000001,0",
    ]


@pytest.mark.parametrize("query", [{"by": "moon"}, {"since": "soon"}, {"until": "-1"}, {"since": "nan"}])
async def test_what_makes_no_sense_is_refused(at: Office, query: dict[str, str]) -> None:
    async with at.client() as client:
        answer = await client.get("/api/admin/costs", params=query)

    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")


async def test_the_newest_lines_of_the_ledger_come_page_by_page(at: Office) -> None:
    await at.spent([attempt(n, "1", at=1000.0 + n) for n in range(1, 6)])

    page = await get(at, "/costs/recent", limit=2)
    rest = await get(at, "/costs/recent", limit=10, before=page["entries"][-1]["at"])

    assert [line["request_id"] for line in page["entries"]] == ["request-5", "request-4"]
    assert rest["count"] == 3


@pytest.mark.contract(114)
async def test_a_budget_warns_blocks_and_lets_go_when_it_is_raised(tmp_path: Path) -> None:
    """Ten dollars: 7.5 warns, 9 is critical, 10 ends it; 150 begins it again."""
    answers = [Answer(b"{}", Usage(0, tokens), 0.1) for tokens in (7500, 1500, 1000, 1)]
    claude = ListedProvider(*answers)
    settings = two_backends(budgets={"limit": 10, "window": "total"})
    async with office(tmp_path, settings, {"claude": claude}) as at:
        told = []
        for _ in range(3):
            assert (await chat(at)).status_code == 200
            await at.noted()
            told.append([alert.threshold for alert in at.alerts])
        assert told == [[75], [75, 90], [75, 90, 100]]

        refused = [await chat(at, router) for router in (0, 1)]

        assert [answer.status_code for answer in refused] == [402, 402]
        assert {answer.json()["error"]["code"] for answer in refused} == {"BUDGET_EXCEEDED"}
        assert len(claude.calls) == 3

        raised = (await post(at, "/budget", {"budget_limit": 150})).json()

        assert raised["success"] is True
        assert (raised["previous_limit"], raised["budget_limit"]) == (10.0, 150.0)
        assert (raised["current_usage"], raised["remaining"]) == (10.0, 140.0)
        assert (await chat(at)).status_code == 200

        async def goes_on() -> bool:
            return (await chat(at, router=1)).status_code == 200

        await soon(goes_on)
        assert len(at.alerts) == 3


async def test_without_a_window_a_budget_is_set_for_the_one_it_had(tmp_path: Path) -> None:
    async with office(tmp_path, two_backends(budgets={"limit": 10, "window": "day"})) as at:
        same = (await post(at, "/budget", {"budget_limit": 20})).json()
        other = (await post(at, "/costs/budget", {"budget_limit": 30, "window": "month"})).json()

    assert (same["window"], same["previous_limit"]) == ("day", 10.0)
    assert (other["window"], other["previous_limit"]) == ("month", None)


async def test_a_first_budget_is_for_ever(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        first = (await post(at, "/budget", {"budget_limit": 20})).json()

    assert (first["window"], first["previous_limit"], first["remaining"]) == ("total", None, 20.0)


@pytest.mark.parametrize("wrong", [0, -1, 1e10, "much", None])
async def test_a_budget_is_an_amount_of_money(at: Office, wrong: Any) -> None:
    answer = await post(at, "/budget", {"budget_limit": wrong})

    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")
    assert (await get(at, "/costs"))["budget_limit"] == 100.0


async def test_an_unknown_field_is_a_typing_mistake(at: Office) -> None:
    assert (await post(at, "/budget", {"budget_limit": 1, "windw": "day"})).status_code == 422


async def test_a_budget_outlives_the_gateway(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await post(at, "/budget", {"budget_limit": 42})
    async with office(tmp_path) as again:
        assert (await get(again, "/costs"))["budget_limit"] == 42.0


@pytest.mark.contract(116)
async def test_a_change_of_the_budget_is_in_the_audit(at: Office) -> None:
    await post(at, "/budget", {"budget_limit": 150})

    [line] = (await get(at, "/audit"))["changes"]

    assert (line["user_id"], line["action"], line["subject"]) == (
        "config:admin-key-1",
        "budget_changed",
        "budget:gateway/total",
    )
    assert line["timestamp"]
    assert line["details"] == {
        "before": {"budget_limit": 100.0, "window": "total"},
        "after": {"budget_limit": 150.0, "window": "total"},
    }
