"""Two routers, one gateway: what one learns the other knows, and numbers are the cluster's (case 49)."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.api import Api, eventually
from tests.support.serving import NOWHERE, TWO_REPLICAS, Gateway, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

OPENS_AT_ONCE = {"failure_threshold": 1, "reset_timeout": 600}
SPREAD = 20  # so many answers come from both replicas; the odds that one gave them all are nil
WITHIN_S = 1.0
COUNTED_WITHIN_S = 2.0


@pytest.fixture(scope="module")
def pair(gateway: Gateway) -> Iterator[Api]:
    """Two routers before a provider that is down and one that is up; one failure opens a breaker."""
    with ScriptedUpstream() as up:
        first = inline("first", NOWHERE, {"model_id": "gpt-4o", "task": "chat_smart"}, priority=1)
        second = inline("second", up.url, {"model_id": "gpt-4o-mini", "task": "chat_smart"}, priority=2)
        config = gateway_config(first, second, circuit_breaker=OPENS_AT_ONCE)
        api = gateway({**config, "router": TWO_REPLICAS})
        eventually(lambda: "sekha_router_replicas 2.0" in api.get("/metrics").text)
        yield api


def test_case_49_what_one_router_learns_every_router_knows_within_a_second(pair: Api) -> None:
    assert {open_breakers(pair) for _ in range(SPREAD)} == {()}

    assert pair.chat().headers["x-sekha-provider"] == "second"  # one failure: one router alone saw it
    opened = time.monotonic()

    late = []
    while time.monotonic() < opened + WITHIN_S or len(late) < SPREAD:
        is_late = time.monotonic() > opened + WITHIN_S
        seen = open_breakers(pair)
        if is_late:
            late.append(seen)
    assert set(late) == {("first",)}
    assert {pair.afresh("/api/v1/health/providers").json()["healthy_providers"] for _ in range(SPREAD)} == {1}


def test_the_metrics_are_the_clusters_whichever_replica_is_asked(pair: Api) -> None:
    before = chats_counted(pair)

    with ThreadPoolExecutor(SPREAD) as callers:
        answers = list(callers.map(lambda _: Api(pair.url).chat().status_code, range(3 * SPREAD)))

    assert answers == [200] * 3 * SPREAD
    time.sleep(COUNTED_WITHIN_S)
    assert {chats_counted(pair) - before for _ in range(SPREAD)} == {3 * SPREAD}


def open_breakers(api: Api) -> tuple[str, ...]:
    """What the replica that happens to answer knows by itself: this path asks the control actor nothing."""
    told = api.afresh("/api/v1/health").json()["providers"]
    return tuple(name for name, facts in told.items() if facts["circuit_breaker"]["state"] == "open")


def chats_counted(api: Api) -> int:
    metrics = api.afresh("/metrics").text
    counted = re.search(
        r'^http_requests_total\{[^}]*"/v1/chat/completions",status="200"\} (\S+)', metrics, re.M
    )
    return int(float(counted[1])) if counted else 0
