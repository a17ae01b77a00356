"""
Money on a real cluster: four routers, callers who all come at once, and processes that are killed.

Every answer here costs exactly what was set aside for it, so a budget for k answers is one for k and no more.
"""

import asyncio
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import ray

from serve_app.clients.gateway import GatewayClient
from serve_app.config.load import load_settings
from serve_app.deployments.control import NAMESPACE, name_of
from serve_app.errors import BudgetExceeded, Forbidden
from serve_app.limits.allocator import LimitStatus
from serve_app.pricing.money import nano_dollars
from tests.support.api import Api, eventually
from tests.support.postgres import OwnServer, own_postgres
from tests.support.serving import Cluster, gateway_config, replicas_of
from tests.support.upstream import ScriptedUpstream

ROUTERS = 4
TOKENS = 500
PER_1K_OUTPUT = 0.002
PRICE = nano_dollars(PER_1K_OUTPUT) * TOKENS // 1000
AFFORDABLE = 37  # of the answers that are asked for
ASKED = 200


@dataclass(frozen=True)
class Bank:
    """A gateway with one budget, and what can be known of it."""

    api: Api
    app: str
    upstream: ScriptedUpstream
    ledger: Callable[[], tuple[int, int]]
    folder: Path

    def limit_statuses(self) -> dict[str, LimitStatus]:
        """How the limits stand, by id, as the authority has it."""
        totals = ray.get(self.actor.totals.remote(), timeout=10)
        return {limit_status.limit.id: limit_status for limit_status in totals.limit_statuses}

    @property
    def actor(self) -> Any:
        return ray.get_actor(name_of(self.app), namespace=NAMESPACE)

    def is_quiet(self) -> bool:
        """
        Nothing is reserved, the ledger's rows are all that was spent, and no journal waits for an heir.

        A router that was killed spent money that the authority only hears of from its journal.
        """
        limit_status = self.limit_statuses()["gateway/total"]
        journals = len(list(self.folder.glob("*/journals/*.lock")))
        return limit_status.on_loan == 0 and self.ledger()[1] == limit_status.used and journals == ROUTERS


def provider(upstream: ScriptedUpstream, transport: str) -> dict[str, Any]:
    model = {
        "model_id": "m",
        "task": "chat_smart",
        "cost_per_1k_input": 0.0,
        "cost_per_1k_output": PER_1K_OUTPUT,
    }
    more: dict[str, Any] = {}
    if transport == "handle":
        more = {"autoscaling": {"min_replicas": 2, "max_replicas": 2}, "num_cpus": 0.1}
    return {
        "id": "first",
        "type": "openai",
        "base_url": f"{upstream.url}/v1",
        "api_key": "sk-test",
        "transport": transport,
        "retry": {"max_retries": 0},
        "models": [model],
        **more,
    }


def gateway_of(
    cluster: Cluster,
    upstream: ScriptedUpstream,
    ledger: Callable[[], tuple[int, int]],
    storage: dict[str, Any],
    transport: str = "inline",
    **more: Any,
) -> Bank:
    storage = {**storage, "on_unavailable": "deny"}  # exact, or not at all
    scaling = {"autoscaling": {"min_replicas": ROUTERS, "max_replicas": ROUTERS}, "num_cpus": 0.1}
    config = gateway_config(provider(upstream, transport), router=scaling, storage=storage, **more)
    app = f"bank-{uuid4().hex[:8]}"
    bank = Bank(
        cluster.gateway(load_settings(config, {}), app), app, upstream, ledger, Path(storage["folder"])
    )
    eventually(lambda: f"sekha_router_replicas {ROUTERS}.0" in bank.api.get("/metrics").text)
    return bank


def in_sqlite(folder: Path) -> Callable[[], tuple[int, int]]:
    """How many rows the one ledger in this folder has, and what they come to."""

    def rows() -> tuple[int, int]:
        (file,) = folder.glob("*/ledger.sqlite3")
        with sqlite3.connect(file) as database:
            count, cost = database.execute("SELECT count(*), coalesce(sum(cost), 0) FROM entries").fetchone()
            return count, cost

    return rows


def in_postgres(server: OwnServer) -> Callable[[], tuple[int, int]]:
    async def read() -> tuple[int, int]:
        connection = await asyncpg.connect(server.url("ledger"), timeout=5)
        try:
            row = await connection.fetchrow("SELECT count(*), coalesce(sum(cost), 0)::bigint FROM entries")
            return row[0], row[1]
        finally:
            await connection.close()

    return lambda: asyncio.run(read())


async def come_all(bank: Bank, count: int, at_once: int, within_s: float = 0.0) -> Counter[str]:
    """So many callers, each with a connection of its own; what they got, by status or kind of failure."""
    outcomes: Counter[str] = Counter()
    places = asyncio.Semaphore(at_once)
    question = f'[[{{"usage": [10, {TOKENS}], "late_s": 0.05}}]]'
    body = {"model": "m", "max_tokens": TOKENS, "messages": [{"role": "user", "content": question}]}

    async def come(after_s: float) -> None:
        await asyncio.sleep(after_s)
        async with places, httpx.AsyncClient(timeout=60, trust_env=False) as http:
            try:
                answer = await http.post(f"{bank.api.url}/v1/chat/completions", json=body)
                outcomes[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                outcomes[type(error).__name__] += 1

    rng = random.Random(1)
    async with asyncio.TaskGroup() as callers:
        for _ in range(count):
            callers.create_task(come(rng.uniform(0, within_s)))
    return outcomes


def asked(upstream: ScriptedUpstream) -> int:
    """How many answers were asked of it; the gateway also looks now and then whether it is there."""
    return sum(seen.method == "POST" for seen in upstream.requests)


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


def budget(answers: int) -> dict[str, Any]:
    return {"limit": answers * PRICE / 1e9, "window": "total"}


def test_of_200_callers_at_once_exactly_as_many_are_served_as_the_budget_has_room_for(
    cluster: Cluster, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    storage = {"folder": str(tmp_path)}
    bank = gateway_of(cluster, upstream, in_sqlite(tmp_path), storage, budgets=budget(AFFORDABLE))

    outcomes = asyncio.run(come_all(bank, ASKED, at_once=ASKED))

    assert outcomes == {"200": AFFORDABLE, "402": ASKED - AFFORDABLE}
    assert asked(upstream) == AFFORDABLE
    eventually(bank.is_quiet)
    assert bank.ledger() == (AFFORDABLE, AFFORDABLE * PRICE)
    assert bank.limit_statuses()["gateway/total"].used == AFFORDABLE * PRICE


@pytest.mark.timeout(400)
def test_kill_9_of_every_part_in_the_middle_overspends_nothing_and_loses_no_row(
    cluster: Cluster, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    with own_postgres() as server:
        server.run("CREATE DATABASE ledger")
        storage = {"url": server.url("ledger"), "folder": str(tmp_path)}
        affordable = 150
        bank = gateway_of(
            cluster, upstream, in_postgres(server), storage, transport="handle", budgets=budget(affordable)
        )
        blows = threading.Thread(target=strike, args=(bank, server))
        blows.start()
        outcomes = asyncio.run(come_all(bank, 400, at_once=24, within_s=14))
        blows.join()
        eventually(bank.is_quiet, within_s=60)
        room = (affordable * PRICE - bank.ledger()[1]) // PRICE
        afterwards = served_until_nothing_is_left(bank)

        assert outcomes["200"] <= affordable
        assert outcomes["401"] == 0
        assert afterwards == room, "what nobody has spent is there for whoever comes when all is well again"
        eventually(bank.is_quiet, within_s=60)
        count, cost = bank.ledger()
        assert count >= asked(upstream)
        assert 0 <= affordable * PRICE - cost < PRICE, "as much is spent as there was, and no more"
        assert cost >= asked(upstream) * PRICE, "something was asked for that nobody pays"


def served_until_nothing_is_left(bank: Bank) -> int:
    """Callers come in waves until every one of them is told that the money is gone; how many were served."""
    served = 0
    for _ in range(60):
        wave = asyncio.run(come_all(bank, ROUTERS * 8, at_once=ROUTERS * 2))
        served += wave["200"]
        if wave == {"402": ROUTERS * 8}:
            return served
        assert set(wave) <= {"200", "402", "503"}, wave
        time.sleep(0.5)
    raise AssertionError(f"{served} were served, and no end to it")


def strike(bank: Bank, server: OwnServer) -> None:
    """Kill one part after the other, two seconds apart, and start the store again."""
    time.sleep(2)
    replicas_of(bank.app, "router")[0].kill()
    time.sleep(2)
    replicas_of(bank.app, "provider-first")[0].kill()
    time.sleep(2)
    ray.kill(bank.actor, no_restart=False)
    time.sleep(2)
    server.kill()
    time.sleep(2)
    server.start()
    with suppress(IndexError):
        replicas_of(bank.app, "router")[0].kill()


def test_600_requests_a_minute_are_not_one_more_and_hardly_any_less(
    cluster: Cluster, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    allowed, come = 600, 900
    rates = {"requests_per_minute": allowed}
    bank = gateway_of(cluster, upstream, in_sqlite(tmp_path), {"folder": str(tmp_path)}, rates=rates)
    if time.time() % 60 > 15:  # all of it has to happen in one minute; a slow machine takes half of one
        time.sleep(60.5 - time.time() % 60)
    minute = time.time() // 60

    outcomes = asyncio.run(come_all(bank, come, at_once=100))

    assert time.time() // 60 == minute, "too slow for one minute"
    assert outcomes["200"] <= allowed
    assert outcomes["200"] >= 0.95 * allowed
    assert outcomes["200"] + outcomes["429"] == come
    assert asked(upstream) == outcomes["200"]


def test_a_job_that_calls_through_a_handle_pays_from_its_tenants_budget(
    cluster: Cluster, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    tenants = [{"id": "nightly", "budgets": budget(3)}]
    bank = gateway_of(cluster, upstream, in_sqlite(tmp_path), {"folder": str(tmp_path)}, tenants=tenants)
    nightly = GatewayClient(bank.app, tenant="nightly")
    question = f'[[{{"usage": [10, {TOKENS}]}}]]'

    for _ in range(3):
        nightly.chat_sync(question, model="m", max_tokens=TOKENS)
    with pytest.raises(BudgetExceeded):
        nightly.chat_sync(question, model="m", max_tokens=TOKENS)
    with pytest.raises(Forbidden):
        GatewayClient(bank.app, tenant="nobody").chat_sync(question, model="m")

    assert bank.api.chat(question, model="m", max_tokens=TOKENS).status_code == 200
    assert asked(upstream) == 4


def test_who_calls_too_often_hears_when_to_come_back(
    cluster: Cluster, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    rates = {"concurrent_requests": 2}
    bank = gateway_of(cluster, upstream, in_sqlite(tmp_path), {"folder": str(tmp_path)}, rates=rates)

    outcomes = asyncio.run(come_all(bank, 40, at_once=40))

    assert set(outcomes) == {"200", "429"}
    assert outcomes["200"] >= 2
    eventually(lambda: bank.limit_statuses()["gateway/concurrent"].on_loan == 0)
