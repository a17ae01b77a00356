"""Who changed what, and when: what the audit shows, and what never gets in there."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.operators import ADMIN, READER, USER, Office, office, two_backends

pytestmark = pytest.mark.anyio


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, two_backends("http://127.0.0.1:9")) as opened:
        yield opened


async def get(at: Office, path: str, **query: Any) -> Any:
    async with at.client() as client:
        answer = await client.get(f"/api/admin{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(at: Office, path: str, body: Any = None) -> httpx.Response:
    async with at.client() as client:
        return await client.post(f"/api/admin{path}", json=body)


async def test_it_comes_page_by_page_the_newest_line_first(at: Office) -> None:
    for dollars in range(1, 6):
        await post(at, "/budget", {"budget_limit": dollars})

    page = await get(at, "/audit", limit=2)
    rest = await get(at, "/audit", limit=10, before=page["changes"][-1]["at"])

    limits = [line["details"]["after"]["budget_limit"] for line in page["changes"] + rest["changes"]]
    assert limits == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert page["changes"][0]["timestamp"].endswith("Z")


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"limit": "many"}])
async def test_nobody_reads_all_of_it_at_once(at: Office, query: dict[str, Any]) -> None:
    async with at.client() as client:
        assert (await client.get("/api/admin/audit", params=query)).status_code == 422


async def test_reading_leaves_no_line(at: Office) -> None:
    for path in ("/costs", "/metrics", "/status", "/backend/health", "/audit"):
        await get(at, path)

    assert (await get(at, "/audit"))["changes"] == []


async def test_a_breaker_that_is_closed_by_hand_is_in_there(at: Office) -> None:
    assert (await post(at, "/breakers/claude/reset")).status_code == 200
    assert (await post(at, "/breakers/nobody/reset")).status_code == 404

    [line] = (await get(at, "/audit"))["changes"]

    assert (line["action"], line["subject"]) == ("breaker_reset", "breaker:claude")
    assert line["details"]["before"]["state"] == "closed"


async def test_no_key_is_in_the_audit_nor_in_the_log(at: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sekha")
    made = (await post(at, "/keys", {"role": "user"})).json()
    await post(at, "/budget", {"budget_limit": 5})
    await post(at, "/vllm/endpoint", {"endpoint": "http://u:sk-in-the-address@h"})

    async with at.client() as client:
        audit = (await client.get("/api/admin/audit")).text

    secrets = [ADMIN, READER, USER, made["key"], "sk-in-the-address"]
    assert not [secret for secret in secrets if secret in audit or secret in caplog.text]


async def test_two_operators_at_once_each_leave_what_they_really_found(at: Office) -> None:
    import asyncio

    await asyncio.gather(*(post(at, "/budget", {"budget_limit": n}) for n in range(1, 6)))

    lines = (await get(at, "/audit"))["changes"]
    before = [(line["details"]["before"] or {}).get("budget_limit") for line in lines]
    after = [line["details"]["after"]["budget_limit"] for line in lines]
    assert before == [*after[1:], None]
