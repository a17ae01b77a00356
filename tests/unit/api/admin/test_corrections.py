"""A ledger that a vendor's figures have spoilt, put right by an admin."""

import time
from typing import Any

import httpx
import pytest

from serve_app.ledger.entry import Entry
from serve_app.limits.client import KNOWN_S
from tests.support.entries import entry
from tests.support.operators import ADMIN, Office

pytestmark = pytest.mark.anyio

PATH = "/api/admin/ledger/corrections"
HI = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
DAY_S = 86_400


def spoilt(at: float, cost: int = 120 * 10**9) -> Entry:
    """More than the budget of $100, by one attempt."""
    return entry(
        1, at=at, tenant="configured", caller="k", provider_id="first", model_id="first-chat", cost=cost
    )


def body(**fields: Any) -> dict[str, Any]:
    return {
        "id": "case-1", "tenant": "configured", "caller": "k", "provider": "first", "model": "first-chat",
        "amount": -119.5, "reason": "the vendor reported a trillion tokens", **fields,
    }  # fmt: skip


async def correct(office: Office, key: str = ADMIN, **fields: Any) -> httpx.Response:
    return await office.client(key).post(PATH, json=body(**fields))


async def total(office: Office) -> float:
    """Of the last days: on the first of a month, yesterday is in another month."""
    asked = {"since": str(time.time() - 5 * DAY_S)}
    costs = (await office.client().get("/api/admin/costs", params=asked)).json()
    return float(costs["total"])


async def used(office: Office) -> float:
    """Of the gateway's budget."""
    limits = (await office.client().get("/api/admin/limits")).json()["limits"]
    return float(next(limit["used"] for limit in limits if limit["id"] == "gateway/month"))


async def test_a_correction_frees_the_budget_and_shows_in_costs_ledger_and_audit(office: Office) -> None:
    client = office.client()
    await office.spent([spoilt(time.time())])
    [limit] = [
        each for each in (await client.get("/api/admin/limits")).json()["limits"] if each["amount"] == 100
    ]
    assert limit["used"] == 120

    made = await correct(office)

    assert made.status_code == 201, made.text
    assert (made.json()["repeated"], made.json()["entry"]["cost"]) == (False, -119.5)
    assert await total(office) == 0.5
    [limit] = [
        each for each in (await client.get("/api/admin/limits")).json()["limits"] if each["amount"] == 100
    ]
    assert limit["used"] == 0.5
    [line] = (await client.get("/api/admin/audit")).json()["changes"]
    assert (line["action"], line["subject"]) == ("ledger_corrected", "ledger:case-1")
    assert line["details"]["after"]["reason"] == "the vendor reported a trillion tokens"
    entries = (await client.get("/api/admin/costs/recent")).json()["entries"]
    assert sorted(each["cost"] for each in entries) == [-119.5, 120.0], "nothing is edited"
    breakdown = (await client.get("/api/admin/costs")).json()["breakdown"]
    assert [row["attempts"] for row in breakdown] == [1], "a correction is no attempt"


async def test_the_same_correction_counts_once_and_another_of_its_id_is_refused(office: Office) -> None:
    await office.spent([spoilt(time.time())])

    answers = [await correct(office) for _ in range(3)]
    other = await correct(office, amount=-1)

    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert (other.status_code, other.json()["code"]) == (409, "CORRECTION_EXISTS")
    assert await total(office) == 0.5
    assert (await office.client().get("/api/admin/audit")).json()["count"] == 1


async def test_no_more_is_taken_back_than_was_spent_and_on_that_day(office: Office) -> None:
    yesterday = time.time() - DAY_S
    await office.spent([spoilt(yesterday)])

    today = await correct(office)
    too_much = await correct(office, at=str(yesterday), amount=-120.5)
    twice = [await correct(office, id=f"c{n}", at=str(yesterday), amount=-100) for n in (1, 2)]
    stranger = await correct(office, at=str(yesterday), caller="somebody else")

    assert (today.status_code, today.json()["code"]) == (404, "NOTHING_TO_CORRECT")
    assert (too_much.status_code, too_much.json()["details"]["param"]) == (422, "amount")
    assert [answer.status_code for answer in twice] == [201, 422]
    assert stranger.status_code == 404
    assert await total(office) == 20


WRONG: list[dict[str, Any]] = [
        {"amount": 0}, {"amount": True}, {"amount": "-1"}, {"amount": 1e300}, {"amount": 5e-324},
        {"amount": 1_000_001}, {"amount": None}, {"reason": ""}, {"id": "a b"}, {"id": "x" * 65},
        {"tenant": ""}, {"at": "3000-01-01"}, {"unknown": 1},
]  # fmt: skip


async def test_a_correction_that_makes_no_sense_is_refused(office: Office) -> None:
    for wrong in WRONG:
        assert (await correct(office, **wrong)).status_code == 422, wrong

    assert (await office.client().get("/api/admin/audit")).json()["count"] == 0


async def test_only_an_admin_may_correct_and_only_what_was_seen(office: Office) -> None:
    await office.spent([spoilt(time.time())])

    assert (await correct(office, key="reads")).status_code == 403
    assert (await correct(office, key="calls")).status_code == 403
    stale = await office.client().post(PATH, json=body(), headers={"If-Match": '"77"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "CHANGED_MEANWHILE")
    assert await total(office) == 120


async def test_callers_are_served_again(office: Office) -> None:
    priced = {"cost_per_1k_input": 1.0, "cost_per_1k_output": 1.0}
    for name in ("first/first-chat", "second/second-chat"):
        await office.client().put(f"/api/admin/prices/{name}", json=priced)
    await office.spent([spoilt(time.time())])
    caller = office.client("calls")

    refused = await caller.post("/v1/chat/completions", json=HI)
    await correct(office)
    office.clock.ahead_s += KNOWN_S + 0.1  # what a router was told is used, it asks about again
    served = await caller.post("/v1/chat/completions", json=HI)

    assert (refused.status_code, served.status_code) == (402, 200)
