"""Tenants over the admin API: set as a whole, and never taken from under a key."""

from typing import Any

import pytest

from tests.support.operators import Office

pytestmark = pytest.mark.anyio


async def put(office: Office, id_: str, **fields: Any) -> dict[str, Any]:
    answer = await office.client().put(f"/api/admin/tenants/{id_}", json=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def ids(office: Office) -> list[str]:
    told = (await office.client().get("/api/admin/tenants")).json()
    return [tenant["id"] for tenant in told["tenants"]]


async def test_a_tenant_is_set_seen_and_taken_away(office: Office) -> None:
    made = await put(office, "team-a", budgets=[{"limit": 50}], models=["first-chat"])

    assert (await office.client().get("/api/admin/tenants/team-a")).json() == made
    assert made["source"] == "operator"
    assert made["budgets"] == [{"limit": 50.0, "window": "month", "provider": None, "model": None}]
    assert await ids(office) == ["configured", "team-a"]
    gone = await office.client().delete("/api/admin/tenants/team-a")
    assert gone.json() == {"id": "team-a", "deleted": True}
    assert await ids(office) == ["configured"]


async def test_what_is_not_named_is_without_limit(office: Office) -> None:
    await put(office, "team-a", budgets=[{"limit": 50}])

    assert (await put(office, "team-a", rates=[{"requests_per_minute": 5}]))["budgets"] == []


async def test_a_tenant_that_still_has_keys_cannot_be_taken_away(office: Office) -> None:
    await put(office, "team-a")
    await office.client().post("/api/admin/keys", json={"id": "theirs", "tenant": "team-a"})

    refused = await office.client().delete("/api/admin/tenants/team-a")

    assert refused.status_code == 409
    assert refused.json()["code"] == "TENANT_IN_USE"
    assert "theirs" in refused.json()["message"]
    assert (await office.client().get("/api/admin/tenants/team-a")).json()["keys"] == 1
    await office.client().delete("/api/admin/keys/theirs")
    assert (await office.client().delete("/api/admin/tenants/team-a")).status_code == 200


async def test_a_configured_tenant_can_be_set_and_comes_back_but_not_be_taken_away(office: Office) -> None:
    await put(office, "configured", budgets=[{"limit": 8}])
    assert office.routers[0][0].runtime_config.tenants["configured"].budgets[0].limit == 8

    back = await office.client().delete("/api/admin/tenants/configured")

    assert back.json() == {"id": "configured", "deleted": False}
    assert (await office.client().get("/api/admin/tenants/configured")).json()["budgets"][0]["limit"] == 7
    refused = await office.client().delete("/api/admin/tenants/configured")
    assert refused.status_code == 409
    assert refused.json()["code"] == "TENANT_CONFIGURED"


async def test_a_tenants_budget_binds_its_keys_with_the_next_request(office: Office) -> None:
    await put(office, "team-a")
    made = await office.client().post("/api/admin/keys", json={"tenant": "team-a"})
    caller = office.client(made.json()["key"])
    await office.client().put("/api/admin/prices/first/first-chat", json={"cost_per_1k_input": 1})
    await office.client().put("/api/admin/prices/second/second-chat", json={"cost_per_1k_input": 1})
    hi = {"messages": [{"role": "user", "content": "hi"}]}
    assert (await caller.post("/v1/chat/completions", json=hi)).status_code == 200

    await put(office, "team-a", budgets=[{"limit": 0.000001}])

    refused = await caller.post("/v1/chat/completions", json=hi)
    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "BUDGET_EXCEEDED"


@pytest.mark.parametrize(
    ("id_", "body"),
    [
        ("UPPER", {}),
        ("a b", {}),
        ("x" * 65, {}),
        ("team-a", {"models": ["gpt-99"]}),
        ("team-a", {"id": "another"}),
        ("team-a", {"budgets": [{"limit": 0}]}),
        ("team-a", {"is_admin": True}),
    ],
)
async def test_a_tenant_that_makes_no_sense_is_refused(office: Office, id_: str, body: Any) -> None:
    answer = await office.client().put(f"/api/admin/tenants/{id_}", json=body)

    assert answer.status_code == 422
    assert answer.json().keys() >= {"code", "message", "details"}
    assert await ids(office) == ["configured"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_tenant_that_is_not_there_is_a_404(office: Office, method: str) -> None:
    answer = await office.client().request(method, "/api/admin/tenants/nobody")

    assert answer.status_code == 404
    assert answer.json()["code"] == "TENANT_NOT_FOUND"


async def test_the_right_to_the_accounts_at_vendors_is_given_and_taken(office: Office) -> None:
    assert (await put(office, "team-a"))["vendor_objects"] is False
    path, routers = "/api/admin/tenants/team-a", office.routers[0][0]

    await office.client().patch(path, json={"vendor_objects": True})
    allowed = routers.runtime_config.caller("k", "team-a").vendor_objects
    await office.client().patch(path, json={"budgets": [{"limit": 5}]})
    kept = routers.runtime_config.caller("k", "team-a").vendor_objects
    refused = await office.client().patch(path, json={"vendor_objects": None})
    await office.client().patch(path, json={"vendor_objects": False})

    assert (allowed, kept, refused.status_code) == (True, True, 422)
    assert not routers.runtime_config.caller("k", "team-a").vendor_objects
