"""
A caller who leaves takes everything along: the connection upstream, the count in flight, the memory.

Over real HTTP, in `sekha serve`'s production mode and in Serve's default mode. How soon is measured
by `make soak`; here it has to happen at all.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from tests.bench.processes import Family
from tests.support.api import Api, eventually
from tests.support.commands import Command
from tests.support.leaving import CHAT, EMBEDDINGS, MOMENTS, STALL, Moment, Visitor, leave_somewhere, question
from tests.support.serving import (
    HOST,
    ONE_REPLICA,
    Gateway,
    child_environment,
    free_port,
    gateway_config,
    inline,
)
from tests.support.upstream import ScriptedUpstream

AT_ONCE = 16
GROWTH_MB = 30  # allowed to a thousand disconnects: 30 kB for each, which a forgotten request exceeds

PATIENT = {"retry": {"max_retries": 3}}

VECTORS = "vectors"
MODELS = {"handle": "by-handle", "inline": "within", "litellm": "claude-sonnet-4-5"}


@dataclass(frozen=True)
class Served:
    """A running gateway, the upstream behind all its providers, and its processes if they are its own."""

    api: Api
    upstream: ScriptedUpstream
    family: Family

    @property
    def in_flight(self) -> float:
        """As /metrics tells it."""
        return self._told("sekha_requests_in_flight")

    @property
    def abandoned(self) -> float:
        """How many callers have left so far, as the gateway counts them."""
        return self._told("sekha_requests_abandoned_total")

    def _told(self, metric: str) -> float:
        line = re.compile(rf"^{metric}\{{.*\}} (\S+)$", re.MULTILINE)
        return sum(map(float, line.findall(self.api.get("/metrics").text)))


def config_for(upstream: str) -> dict[str, Any]:
    """Three providers at one upstream: by a handle, within the router, and through LiteLLM."""

    def model(name: str, task: str = "chat_smart") -> dict[str, Any]:
        return {"model_id": name, "task": task}

    by_handle = [model(MODELS["handle"]), model(VECTORS, "embedding")]
    return gateway_config(
        inline("by_handle", upstream, *by_handle, transport="handle", **ONE_REPLICA, **PATIENT),
        inline("within", upstream, model(MODELS["inline"]), **PATIENT),
        {
            "id": "claude",
            "type": "anthropic",
            "base_url": upstream,
            "api_key": "sk-test",
            "models": [model(MODELS["litellm"])],
            **ONE_REPLICA,
            **PATIENT,
        },
        routing={"auto_fallback": False},  # whoever is asked is asked for this caller, by this way
    )


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def production(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`sekha serve`: HAProxy in front, replicas on one thread, gRPC between them."""
    folder, port = tmp_path_factory.mktemp("serve"), free_port()
    file: Path = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(config_for(upstream.url)))
    command = ["sekha", "serve", "--config", str(file), "--port", str(port)]
    with Command(command, child_environment(), folder / "output") as running:
        running.says("is ready")
        yield Served(Api(f"http://{HOST}:{port}"), upstream, Family(roots=[running.pid]))


@pytest.fixture
def by_default(gateway: Gateway, upstream: ScriptedUpstream) -> Served:
    """Serve's default mode: its own proxy in front, threads within replicas."""
    return Served(gateway(config_for(upstream.url)), upstream, Family())


# --- one who leaves -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
@pytest.mark.parametrize("way", MODELS)
@pytest.mark.parametrize("drops_the_line", [False, True], ids=["goodbye", "dropped"])
def test_in_production_mode_the_upstream_connection_ends_with_the_callers(
    production: Served, moment: Moment, way: str, drops_the_line: bool
) -> None:
    assert_leaving_ends_it(production, moment, way, drops_the_line)


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
@pytest.mark.parametrize("way", MODELS)
def test_in_serves_default_mode_the_upstream_connection_ends_with_the_callers(
    by_default: Served, moment: Moment, way: str
) -> None:
    assert_leaving_ends_it(by_default, moment, way)


def assert_leaving_ends_it(served: Served, moment: Moment, way: str, drops_the_line: bool = False) -> None:
    body = question(MODELS[way], moment.orders, stream=moment.stream)
    seen = len(served.upstream.asked)

    async def visit() -> int:
        async with Visitor(
            served.api.url, CHAT, body, moment.headers, drops_the_line=drops_the_line
        ) as visitor:
            await visitor.ask()
            if moment.hears:
                await visitor.heard(moment.hears)
            await asyncio.to_thread(eventually, lambda: len(served.upstream.asked) > seen)
            return served.upstream.asked[-1].port

    port = asyncio.run(visit())

    eventually(lambda: port not in served.upstream.open_connections)
    assert len(served.upstream.asked) == seen + 1  # nobody asked again for a caller who is gone
    eventually(lambda: served.upstream.open_requests == 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way", MODELS)
def test_in_production_mode_nobody_asks_again_for_a_caller_who_leaves_between_two_attempts(
    production: Served, way: str, stream: bool
) -> None:
    refused = {"status": 503, "retry_after": 3}  # so there are seconds in which nothing is asked
    body = question(MODELS[way], refused, stream=stream)
    seen, abandoned = len(production.upstream.asked), production.abandoned

    async def visit() -> None:
        async with Visitor(production.api.url, CHAT, body) as visitor:
            await visitor.ask()
            await asyncio.to_thread(eventually, lambda: len(production.upstream.asked) > seen)

    asyncio.run(visit())

    eventually(lambda: production.abandoned > abandoned)
    assert len(production.upstream.asked) == seen + 1


# --- many who leave -----------------------------------------------------------------------------------


def test_in_production_mode_a_thousand_who_leave_at_any_moment_leave_nothing_behind(
    production: Served,
) -> None:
    storm(production, visits=400, seed=1)  # until every pool and cache has its size
    before = replicas_mb(production)

    storm(production, visits=1000, seed=2)

    assert_nothing_is_left(production)
    after = replicas_mb(production)
    assert after.keys() == before.keys()
    grown = {role: after[role] - before[role] for role in after}
    assert max(grown.values()) < GROWTH_MB, grown
    assert_all_ways_still_answer(production)


def test_in_serves_default_mode_a_hundred_who_leave_at_any_moment_leave_nothing_behind(
    by_default: Served,
) -> None:
    storm(by_default, visits=100, seed=3)

    assert_nothing_is_left(by_default)
    assert_all_ways_still_answer(by_default)


def storm(served: Served, visits: int, seed: int) -> None:
    """So many callers, a few at once, each of whom leaves within a third of a second."""
    rng = Random(seed)
    kinds = [
        *((CHAT, question(model, STALL)) for model in MODELS.values()),
        *(
            (CHAT, question(model, {"chunks": 10, "chunk_delay_s": 0.02}, stream=True))
            for model in MODELS.values()
        ),
        *((CHAT, question(model, {}, stream=True)) for model in MODELS.values()),
        (EMBEDDINGS, {"model": VECTORS, "input": '[[{"stall": true}]]'}),
    ]

    async def all_of_them() -> None:
        waiting = iter(range(visits))

        async def one_after_the_other() -> None:
            for _ in waiting:
                path, body = rng.choice(kinds)
                await leave_somewhere(served.api.url, path, body, within_s=0.3, rng=rng)

        async with asyncio.TaskGroup() as callers:
            for _ in range(AT_ONCE):
                callers.create_task(one_after_the_other())

    asyncio.run(all_of_them())


def assert_nothing_is_left(served: Served) -> None:
    """No request, no count, and of connections only those that rest in a pool."""
    upstream = served.upstream
    eventually(lambda: upstream.open_requests == 0 and upstream.open_streams == 0)
    eventually(lambda: served.in_flight == 0)
    assert len(upstream.open_connections) <= AT_ONCE * len(MODELS)


def assert_all_ways_still_answer(served: Served) -> None:
    for model in MODELS.values():
        answer = served.api.chat("still there?", model=model)
        assert answer.status_code == 200, answer.text


def replicas_mb(served: Served) -> dict[str, float]:
    """The memory of the router and of each provider's replica."""
    held = served.family.memory_mb()
    return {role: mb for role, mb in held.items() if role.startswith(("router", "provider-"))}
