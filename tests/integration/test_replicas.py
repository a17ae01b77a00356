"""Two routers, one gateway: what one learns the other knows, and numbers are the cluster's."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from serve_app.config.load import load_settings
from tests.support.api import Api, eventually
from tests.support.serving import (
    NOWHERE,
    TWO_REPLICAS,
    Cluster,
    Gateway,
    gateway_config,
    inline,
    replicas_of,
)
from tests.support.upstream import ScriptedUpstream

OPENS_AT_ONCE = {"failure_threshold": 1, "reset_timeout": 600}
OPENS_AT_TWO = {"failure_threshold": 2, "reset_timeout": 600}
SLOWLY = '[[{"late_s": 5}]]'
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


@pytest.mark.contract(49)
def test_what_one_router_learns_every_router_knows_within_a_second(pair: Api) -> None:
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


def test_the_death_of_one_replica_is_one_failure_however_many_requests_it_had(cluster: Cluster) -> None:
    """Its sister is well, and so is the upstream: the breaker must not keep everybody away from them."""
    in_flight = 24
    with ScriptedUpstream() as up:
        model = {"model_id": "m", "task": "chat_smart"}
        provider = inline("own", up.url, model, **{"transport": "handle", "num_cpus": 0.1, **TWO_REPLICAS})
        config = gateway_config(provider, circuit_breaker=OPENS_AT_TWO)
        api = cluster.gateway(load_settings(config, {}), "twins")

        with ThreadPoolExecutor(in_flight) as callers:
            answers = [callers.submit(Api(api.url).chat, SLOWLY) for _ in range(in_flight)]
            eventually(lambda: len(up.asked) == in_flight)
            replicas_of("twins", "provider-own")[0].kill()
            outcomes = Counter(answer.result().status_code for answer in answers)

        assert outcomes[502] > OPENS_AT_TWO["failure_threshold"], outcomes
        assert outcomes[200] + outcomes[502] == in_flight
        assert api.breaker("own")["state"] == "closed"
        assert api.chat().status_code == 200
