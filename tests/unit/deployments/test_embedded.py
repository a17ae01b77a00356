"""A gateway in one's own process that keeps a ledger: budgets over restarts, and nothing lost on the way."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from serve_app.clients.embedded import EmbeddedGateway
from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.errors import BudgetExceeded
from serve_app.ledger.store import Spend
from serve_app.storage.sql import SqlStore
from tests.support.settings import settings

pytestmark = pytest.mark.anyio

DEAR = {"model_id": "dear", "task": "chat_smart", "cost_per_1k_input": 0.0, "cost_per_1k_output": 100.0}


def configured(**more: Any) -> Settings:
    """A model that says one word for a tenth of a dollar, on a budget for two of them."""
    provider = {"id": "p", "type": "scripted", "models": [DEAR], "script": {"answer": "word"}}
    budget = {"limit": 0.25, "window": "total"}
    return settings({"llm_providers": [provider], "default_models": {}, "budgets": budget}, **more)


def own(environ: Mapping[str, str], config: Settings | None = None) -> EmbeddedGateway:
    return EmbeddedGateway(config or configured(), environ, SystemClock(), Random(7))


async def ask(gateway: EmbeddedGateway) -> None:
    await gateway.chat("hi", max_tokens=1)


async def spends(folder: Path) -> list[Spend]:
    """What the ledger has."""
    store = SqlStore(f"sqlite:///{folder / 'local' / 'ledger.sqlite3'}")
    await store.open()
    found = list(await store.spends())
    await store.close()
    return found


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_budget_holds_over_a_restart_where_there_is_a_place_for_a_ledger(tmp_path: Path) -> None:
    environ = {"SEKHA_STATE_DIR": str(tmp_path)}
    first = own(environ)
    await ask(first)
    await ask(first)
    await first.aclose()

    second = own(environ)
    with pytest.raises(BudgetExceeded) as refused:
        await ask(second)
    await second.aclose()

    assert refused.value.current == 0.2
    [spend] = await spends(tmp_path)
    assert (spend.attempts, spend.cost) == (2, 200_000_000)
    assert not left_in(tmp_path / "local" / "journals"), (
        "a journal that is in the ledger is not needed any more"
    )


async def test_a_place_in_the_configuration_does_as_well(tmp_path: Path) -> None:
    config = configured(storage={"folder": str(tmp_path)})

    gateway = own({}, config)
    await ask(gateway)
    await gateway.aclose()

    assert [spend.cost for spend in await spends(tmp_path)] == [100_000_000]


async def test_without_a_place_nothing_is_written_and_the_budget_holds_as_long_as_the_gateway(
    tmp_path: Path,
) -> None:
    environ = {"HOME": str(tmp_path)}
    gateway = own(environ)
    await ask(gateway)
    await gateway.aclose()
    await ask(gateway)

    with pytest.raises(BudgetExceeded):
        await ask(gateway)
    await gateway.aclose()

    assert left_in(tmp_path) == []
    another = own(environ)
    await ask(another)
    await another.aclose()


def test_a_budget_goes_from_one_event_loop_to_the_next_though_nobody_closed_anything(tmp_path: Path) -> None:
    gateway = own({"SEKHA_STATE_DIR": str(tmp_path)})

    asyncio.run(ask(gateway))
    asyncio.run(ask(gateway))
    with pytest.raises(BudgetExceeded):
        asyncio.run(ask(gateway))
    asyncio.run(gateway.aclose())


PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from tests.unit.deployments.test_embedded import ask, own

async def main():
    gateway = own({"SEKHA_STATE_DIR": sys.argv[1]})
    await ask(gateway)
    os._exit(9)  # as if killed: nothing is closed, nothing reported

asyncio.run(main())
"""


@pytest.mark.process
async def test_what_a_killed_process_had_spent_is_found_in_its_journal(tmp_path: Path) -> None:
    program = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    for _ in range(2):
        assert (await asyncio.to_thread(subprocess.run, program, check=False)).returncode == 9

    gateway = own({"SEKHA_STATE_DIR": str(tmp_path)})
    await gateway.health()  # it starts, and looks for what others left behind
    for _ in range(100):
        if sum(spend.attempts for spend in await spends(tmp_path)) == 2:
            break
        await asyncio.sleep(0.1)
    with pytest.raises(BudgetExceeded):
        await ask(gateway)
    await gateway.aclose()


async def test_two_gateways_on_one_ledger_lose_nothing_though_each_has_its_own_credit(tmp_path: Path) -> None:
    environ = {"SEKHA_STATE_DIR": str(tmp_path)}
    gateways = [own(environ), own(environ)]

    for gateway in gateways:  # an SQLite file cannot be begun by two at once
        await ask(gateway)
    await asyncio.gather(*(ask(gateway) for gateway in gateways))
    await asyncio.gather(*(gateway.aclose() for gateway in gateways))

    [spend] = await spends(tmp_path)
    assert (spend.attempts, spend.cost) == (4, 400_000_000)


async def test_alerts_of_a_gateway_of_ones_own_are_posted_before_it_ends() -> None:
    posted: list[Any] = []

    async def hear(request: web.Request) -> web.Response:
        posted.append((await request.json())["threshold"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hear)
    async with TestServer(app) as server:
        gateway = own({}, configured(alerts={"webhook": str(server.make_url("/"))}))
        await ask(gateway)
        await ask(gateway)
        await gateway.aclose()

    assert posted == [75]
