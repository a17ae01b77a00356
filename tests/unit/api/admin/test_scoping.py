"""What one tenant spends is not for another to read."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from serve_app.ledger.entry import Entry
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from tests.support import operators
from tests.support.entries import entry
from tests.support.harness import ListedProvider
from tests.support.operators import ADMIN, Office
from tests.support.settings import two_providers
from tests.unit.api.admin.test_access import READS

pytestmark = pytest.mark.anyio

OWN = "reads what acme spent"
ALL = "reads what everybody spent"
USER = "calls for acme"
FOR_A_TENANT = {"/costs", "/costs/recent", "/limits"}


def spent(number: int, cost: str, **changes: Any) -> Entry:
    """A line of the ledger over so many dollars."""
    return entry(number, cost=nano_dollars(Decimal(cost)), **changes)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    keys = [
        {"key": OWN, "role": "read", "tenant": "acme"},
        {"key": ALL, "role": "read"},
        {"key": USER, "tenant": "acme"},
    ]
    settings = two_providers(
        auth={"admin_keys": [ADMIN], "api_keys": keys},
        tenants=[
            {"id": "acme", "budgets": {"limit": 7, "window": "total"}},
            {"id": "other", "budgets": {"limit": 9}},
        ],
        budgets=[{"limit": 100, "window": "total"}],
    )
    answer = Answer(b'{"id":"1","object":"chat.completion"}', Usage(10, 5), 0.1)
    providers = {name: ListedProvider(answer) for name in ("first", "second")}
    async with operators.office(tmp_path, settings, providers) as opened:
        await opened.spent([spent(1, "2", tenant="acme"), spent(2, "5", tenant="other")])
        yield opened


async def read(at: Office, key: str, path: str, **query: Any) -> Any:
    async with at.client(key) as client:
        return await client.get(path, params=query)


async def test_a_key_of_one_tenant_reads_what_that_tenant_spent(at: Office) -> None:
    costs = (await read(at, OWN, "/api/admin/costs", by="tenant")).json()
    lines = (await read(at, OWN, "/api/admin/costs/recent")).json()["entries"]
    limits = (await read(at, OWN, "/api/admin/limits")).json()["limits"]

    assert (costs["total"], costs["budget_limit"], costs["remaining"]) == (2.0, 7.0, 5.0)
    assert [row["tenant"] for row in costs["breakdown"]] == ["acme"]
    assert {line["tenant"] for line in lines} == {"acme"}
    assert {limit["id"] for limit in limits} == {"tenant:acme/total"}


async def test_a_key_of_no_tenant_reads_what_everybody_spent(at: Office) -> None:
    costs = (await read(at, ALL, "/api/admin/costs", by="tenant")).json()

    assert (costs["total"], costs["budget_limit"]) == (7.0, 100.0)
    assert [row["tenant"] for row in costs["breakdown"]] == ["acme", "other"]


async def test_a_key_of_one_tenant_cannot_ask_for_another(at: Office) -> None:
    answer = await read(at, OWN, "/api/admin/costs/recent", tenant="other")

    assert answer.status_code == 403


@pytest.mark.parametrize("path", sorted({*READS, "/limits"} - FOR_A_TENANT))
async def test_a_key_of_one_tenant_reads_nothing_that_is_of_all(at: Office, path: str) -> None:
    assert (await read(at, OWN, f"/api/admin{path}")).status_code == 403
    assert (await read(at, ALL, f"/api/admin{path}")).status_code == 200


@pytest.mark.parametrize(("key", "status"), [(USER, 403), (OWN, 403), (ALL, 200), (ADMIN, 200)])
async def test_the_metrics_of_all_are_for_those_who_may_read_all(at: Office, key: str, status: int) -> None:
    answer = await read(at, key, "/metrics")

    assert answer.status_code == status
    assert ("tenant:other" in answer.text) is (status == 200)


async def refusal(at: Office, max_tokens: int, stream: bool) -> Any:
    """What a user of acme hears who asks for so many tokens, at a dollar each."""
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": max_tokens, "stream": stream}
    async with at.client() as admin:
        for target in ("first/first-chat", "second/second-chat"):
            price = {"cost_per_1k_input": 0, "cost_per_1k_output": 1000}
            assert (await admin.put(f"/api/admin/prices/{target}", json=price)).status_code == 200
    async with at.client(USER) as client:
        refused = await client.post("/v1/chat/completions", json=body)
    assert refused.status_code == 402
    return refused


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_tells_a_user_no_total_of_others(at: Office, stream: bool) -> None:
    await at.spent([spent(3, "91.5", tenant="other")])  # leaves 1.5 of the gateway's 100

    refused = await refusal(at, 2, stream)

    told = refused.json()["detail"]["details"]
    assert (told["budget"], told["limit"], told["current"]) == ("gateway/total", None, None)
    assert told["requested_cost"] == 2.0
    assert "98.5" not in refused.text
    assert "100" not in refused.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_tells_a_user_what_its_own_tenant_spent(at: Office, stream: bool) -> None:
    told = (await refusal(at, 6, stream)).json()["detail"]["details"]

    assert (told["budget"], told["limit"], told["current"]) == ("tenant:acme/total", 7.0, 2.0)
