"""Who may use the admin API, and how often; and what they hear otherwise."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve_app.ledger.store import StoreUnavailable
from tests.support.keyrings import SECRET
from tests.support.operators import ADMIN, KEYS, READER, USER, Office, office, two_backends

pytestmark = pytest.mark.anyio

READS = [
    "/backend/current",
    "/backend/health",
    "/backend/health/anthropic",
    "/costs",
    "/costs/recent",
    "/metrics",
    "/metrics/recent",
    "/status",
    "/config",
    "/audit",
]
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("/backend/switch", {"backend": "anthropic", "skip_health_check": True}),
    ("/backend/vllm/endpoint", {"endpoint": "http://127.0.0.1:9"}),
    ("/vllm/endpoint", {"endpoint": "http://127.0.0.1:9"}),
    ("/budget", {"budget_limit": 5}),
    ("/costs/budget", {"budget_limit": 5}),
]

EVERYBODY = (None, "sk-wrong", USER, READER, ADMIN)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as opened:
        yield opened


async def ask(client: httpx.AsyncClient, path: str, body: Any = None) -> httpx.Response:
    async with client:
        if body is None:
            return await client.get(f"/api/admin{path}")
        return await client.post(f"/api/admin{path}", json=body)


@pytest.mark.contract(116)
async def test_who_may_read(at: Office) -> None:
    for path in READS:
        statuses = [(await ask(at.client(key), path)).status_code for key in EVERYBODY]

        assert statuses == [401, 401, 403, 200, 200], path


@pytest.mark.contract(116)
async def test_who_may_change(at: Office) -> None:
    for path, body in CHANGES:
        statuses = [(await ask(at.client(key), path, body)).status_code for key in EVERYBODY]

        assert statuses == [401, 401, 403, 403, 200], path


async def test_a_gateway_without_keys_shows_operators_things_to_nobody(tmp_path: Path) -> None:
    async with office(tmp_path, two_backends(auth={})) as at:
        for path in READS:
            answer = await ask(at.client(None), path)

            assert (answer.status_code, answer.json()["code"]) == (401, "AUTHENTICATION_REQUIRED"), path


async def test_a_gateway_without_keys_is_changed_by_nobody(tmp_path: Path) -> None:
    async with office(tmp_path, two_backends(auth={})) as at:
        for path, body in CHANGES:
            assert (await ask(at.client(None), path, body)).status_code == 401, path
        assert [*await at.authority.changes()] == []


@pytest.mark.contract(116)
async def test_a_token_of_an_admin_is_as_good_as_the_key(tmp_path: Path) -> None:
    async with office(tmp_path, two_backends(auth={**KEYS, "jwt": {"secret": SECRET}})) as at:
        told = (await ask(at.client(ADMIN), "/login", {})).json()
        token = told["access_token"]
        changed = await ask(at.client(token), "/budget", {"budget_limit": 5})
        reader = (await ask(at.client(READER), "/login", {})).json()["access_token"]
        refused = await ask(at.client(reader), "/budget", {"budget_limit": 5})

    assert (told["token_type"], told["expires_in"]) == ("bearer", 1800)
    assert (changed.status_code, refused.status_code) == (200, 403)


async def test_no_token_is_given_out_where_none_is_configured(at: Office) -> None:
    assert (await ask(at.client(), "/login", {})).status_code == 403


async def test_errors_have_a_code_a_message_and_details(at: Office) -> None:
    answers = {
        "AUTHENTICATION_REQUIRED": await ask(at.client(None), "/costs"),
        "FORBIDDEN": await ask(at.client(USER), "/costs"),
        "INVALID_BACKEND": await ask(at.client(), "/backend/switch", {"backend": "bedrock"}),
        "INVALID_REQUEST": await ask(at.client(), "/budget", {"budget_limit": -1}),
        "NOT_FOUND": await ask(at.client(), "/nothing"),
        "METHOD_NOT_ALLOWED": await ask(at.client(), "/costs", {}),
    }

    assert {code: answer.json()["code"] for code, answer in answers.items()} == {c: c for c in answers}
    assert [answer.status_code for answer in answers.values()] == [401, 403, 400, 422, 404, 405]
    for answer in answers.values():
        assert answer.json()["message"]
        assert isinstance(answer.json()["details"], dict)


async def test_no_error_repeats_a_key(at: Office) -> None:
    for path, body in [("/costs", None), *CHANGES]:
        for key in ("sk-wrong-but-secret", USER, READER):
            assert key not in (await ask(at.client(key), path, body)).text


async def test_an_admin_may_ask_so_often_and_no_more_whichever_router_is_asked(tmp_path: Path) -> None:
    async with office(tmp_path, two_backends(admin={"requests_per_hour": 3})) as at:
        answers = [await ask(at.client(router=number % 2), "/config") for number in range(4)]
        other = await ask(at.client(READER), "/config")
        at.clock.ahead_s += 3601
        later = await ask(at.client(), "/config")

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    refused = answers[3]
    assert refused.json()["code"] == "RATE_LIMIT_EXCEEDED"
    assert refused.headers["x-ratelimit-limit"] == "3"
    assert 0 < int(refused.headers["x-ratelimit-reset"]) <= 3600
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert (other.status_code, later.status_code) == (200, 200)


async def test_a_hundred_changes_an_hour_are_enough_for_all_admins_together(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        answers = [await ask(at.client(), "/budget", {"budget_limit": n + 1}) for n in range(101)]

    assert [answer.status_code for answer in answers] == [200] * 100 + [429]
    assert answers[100].json()["details"]["limit"] == 100


async def test_without_a_store_the_answer_is_come_again_and_never_a_500(tmp_path: Path) -> None:
    async with office(tmp_path, stored=False) as at:
        answers = [await ask(at.client(), path) for path in ("/costs", "/metrics", "/audit", "/status")]
        answers += [await ask(at.client(), path, body) for path, body in CHANGES]

    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert {answer.json()["code"] for answer in answers} == {"GATEWAY_UNAVAILABLE"}


async def test_a_change_that_the_store_refuses_is_no_change_and_counts_for_nothing(at: Office) -> None:
    assert at.store is not None
    change, told = at.store.change, StoreUnavailable("the disk is full")

    async def refuse(*_: Any) -> int:
        raise told

    at.store.change = refuse  # type: ignore[method-assign]
    refused = await ask(at.client(), "/budget", {"budget_limit": 7})
    at.store.change = change  # type: ignore[method-assign]

    assert refused.status_code == 503
    assert (await ask(at.client(), "/costs")).json()["budget_limit"] is None
    assert (await ask(at.client(), "/audit")).json()["changes"] == []
