"""Prices, providers, breakers and limits, as operators see and change them."""

import time
from typing import Any

import pytest

from serve_app.control.protocol import Observation
from serve_app.resilience.outcome import Outcome
from tests.support.operators import Office

pytestmark = pytest.mark.anyio

HI = {"messages": [{"role": "user", "content": "hi"}]}
PRICE = {"cost_per_1k_input": 1.5, "cost_per_1k_output": 2.5}


async def served_by(office: Office) -> str:
    answer = await office.client("calls").post("/v1/chat/completions", json=HI)
    return str(answer.headers.get("x-sekha-provider", answer.status_code))


async def one(office: Office, path: str) -> dict[str, Any]:
    answer = await office.client().get(f"/api/admin/{path}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_price_is_set_counts_and_is_taken_back(office: Office) -> None:
    before = await one(office, "prices/first/first-chat")
    assert before["override"] is None

    put = await office.client().put("/api/admin/prices/first/first-chat", json=PRICE)

    assert put.status_code == 200
    assert put.json()["price"]["cost_per_1k_input"] == 1.5
    assert put.json()["configured"] == before["configured"]
    answer = await office.client("calls").post("/v1/chat/completions", json=HI)
    assert float(answer.headers["x-sekha-cost-usd"]) == pytest.approx(10 * 1.5 / 1000 + 5 * 2.5 / 1000)
    back = await office.client().delete("/api/admin/prices/first/first-chat")
    assert back.json() == before


async def test_all_targets_have_a_line_in_the_prices(office: Office) -> None:
    told = await one(office, "prices")

    assert [line["target"] for line in told["prices"]] == [
        "first/first-chat",
        "first/first-embed",
        "second/second-chat",
        "second/second-embed",
    ]


@pytest.mark.parametrize(
    "body", [{}, {"cost_per_1k_input": -1}, {"cost_per_1k_input": "NaN"}, {**PRICE, "is_free": True}]
)
async def test_a_price_that_makes_no_sense_is_refused(office: Office, body: Any) -> None:
    answer = await office.client().put("/api/admin/prices/first/first-chat", json=body)

    assert answer.status_code == 422
    assert (await one(office, "prices/first/first-chat"))["override"] is None


async def test_a_price_of_a_target_that_is_not_there_is_a_404(office: Office) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await office.client().request(
            method, "/api/admin/prices/first/gpt-99", json=PRICE if method == "PUT" else None
        )
        assert answer.status_code == 404
        assert answer.json()["code"] in ("TARGET_NOT_FOUND", "PRICE_NOT_FOUND")
    assert (await office.client().delete("/api/admin/prices/first/first-chat")).status_code == 404


async def test_a_provider_is_switched_off_moved_and_left_as_configured(office: Office) -> None:
    assert await served_by(office) == "first"

    off = await office.client().patch("/api/admin/providers/first", json={"enabled": False})
    assert off.json()["enabled"] is False
    assert await served_by(office) == "second"

    moved = await office.client().patch("/api/admin/providers/first", json={"enabled": True, "priority": 50})
    assert (moved.json()["enabled"], moved.json()["priority"]) == (True, 50)
    assert moved.json()["configured"] == {"enabled": True, "priority": 1}
    assert await served_by(office) == "second"

    back = await office.client().patch("/api/admin/providers/first", json={"enabled": None, "priority": None})
    assert back.json()["override"] is None
    assert await served_by(office) == "first"
    assert "first" not in office.routers[0][0].runtime_config.providers


async def test_what_is_not_named_of_a_provider_stays(office: Office) -> None:
    await office.client().patch("/api/admin/providers/first", json={"priority": 50})
    await office.client().patch("/api/admin/providers/first", json={"enabled": False})

    assert (await one(office, "providers/first"))["override"] == {"enabled": False, "priority": 50}


@pytest.mark.parametrize(
    "body", [{"priority": 0}, {"priority": 101}, {"enabled": "perhaps"}, {"api_key": "x"}]
)
async def test_a_provider_takes_nothing_else(office: Office, body: Any) -> None:
    assert (await office.client().patch("/api/admin/providers/first", json=body)).status_code == 422


async def test_a_provider_or_breaker_that_is_not_there_is_a_404(office: Office) -> None:
    answers = [
        await office.client().get("/api/admin/providers/third"),
        await office.client().patch("/api/admin/providers/third", json={"enabled": False}),
        await office.client().post("/api/admin/breakers/third/reset"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert {answer.json()["code"] for answer in answers} == {"PROVIDER_NOT_FOUND"}


async def test_providers_are_shown_with_their_breaker_and_health(office: Office) -> None:
    providers = (await one(office, "providers"))["providers"]

    assert [provider["id"] for provider in providers] == ["first", "second"]
    assert providers[0]["circuit_breaker"]["state"] == "closed"
    assert providers[0]["status"] == "healthy"
    assert not {"api_key", "key"} & providers[0].keys()


async def test_a_breaker_that_is_reset_lets_requests_through_again(office: Office) -> None:
    for _ in range(5):
        office.routers[0][0].breakers.observe(
            Observation("first", "first/first-chat", Outcome.FAILURE, time.time())
        )
    await office.routers[0][0].flush()
    assert (await one(office, "breakers"))["breakers"]["first"]["state"] == "open"
    assert await served_by(office) == "second"

    reset = await office.client().post("/api/admin/breakers/first/reset")

    assert reset.json()["circuit_breaker"]["state"] == "closed"
    assert await served_by(office) == "first"
    lines = (await one(office, "audit"))["changes"]
    assert [line["action"] for line in lines] == ["breaker_reset"]


async def test_limits_tell_how_they_stand_in_dollars_and_when_they_begin_anew(office: Office) -> None:
    await office.client().put("/api/admin/prices/first/first-chat", json={"cost_per_1k_input": 100})
    await served_by(office)
    await office.routers[0][0].flush()

    told = (await one(office, "limits"))["limits"]

    by_id = {limit["id"]: limit for limit in told}
    budget = by_id["gateway/month"]
    assert (budget["unit"], budget["amount"], budget["used"]) == ("usd", 100.0, 1.0)
    assert budget["amount"] == pytest.approx(budget["used"] + budget["on_loan"] + budget["left"])
    assert budget["resets_at"] > time.time()
    assert by_id["tenant:configured/month"]["scope"] == {"tenant": "configured"}


async def test_who_may_read_sees_limits_and_costs_but_no_keys(office: Office) -> None:
    reader = office.client("reads")

    assert (await reader.get("/api/admin/limits")).status_code == 200
    assert (await reader.get("/api/admin/costs")).status_code == 200
    assert (await reader.get("/api/admin/keys")).status_code == 403
