"""Looks at the providers on a real Serve: in the background, without anybody asking."""

from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.support.api import Api, eventually
from tests.support.serving import ONE_REPLICA, Cluster, Gateway, free_port, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

CHAT = {"model_id": "gpt-4o-mini", "task": "chat_smart"}
OFTEN = {"health": {"interval_s": 1}}
IMPATIENT = {"health": {"interval_s": 1, "timeout_s": 1}}


def by_itself(provider_id: str, url: str, **more: Any) -> dict[str, Any]:
    """A provider in a process of its own."""
    return inline(provider_id, url, CHAT, **{"transport": "handle", "num_cpus": 0.05, **more})


def known(api: Api, provider_id: str) -> dict[str, Any]:
    """What the router knows at this moment: this path looks at nobody."""
    return dict(api.get("/api/v1/health").json()["providers"][provider_id])


def told(api: Api, provider_id: str) -> dict[str, Any]:
    return dict(api.providers()["providers"][provider_id])


def turns_in(cluster: Cluster, provider_id: str) -> list[str]:
    """The lines of all logs that speak of this provider's health, without their time."""
    logs = [path.read_text(errors="replace") for path in cluster.logs.rglob("*.err")]
    start = f"\"health of '{provider_id}': "
    return [
        line.split(start, 1)[1].split('"')[0] for log in logs for line in log.splitlines() if start in line
    ]


def test_an_upstream_that_goes_down_shows_without_anybody_asking_and_comes_back(
    gateway: Gateway, cluster: Cluster
) -> None:
    port = free_port()
    with ScriptedUpstream(port=port) as upstream:
        url = upstream.url
        api = gateway(
            gateway_config(
                inline("near", url, CHAT),
                by_itself("far", url, autoscaling=ONE_REPLICA["autoscaling"]),
                **OFTEN,
            )
        )
        for provider_id in ("near", "far"):
            eventually(lambda name=provider_id: known(api, name)["latency_ms"] is not None)
        assert {seen.path for seen in upstream.requests} == {"/v1/models"}

    for provider_id in ("near", "far"):
        eventually(lambda name=provider_id: known(api, name)["status"] == "unhealthy")
        ill = told(api, provider_id)
        assert ill["error"]
        assert ill["latency_ms"] is None
        assert datetime.fromisoformat(ill["last_check"]).tzinfo is not None
        assert ill["circuit_breaker"]["state"] == "closed", "a look is no request"

    with ScriptedUpstream(port=port):
        for provider_id in ("near", "far"):
            eventually(lambda name=provider_id: known(api, name)["status"] == "healthy")

    for provider_id in ("near", "far"):
        turns = turns_in(cluster, provider_id)  # a busy machine may have made more than these two
        assert turns[-2].startswith("healthy -> unhealthy: "), turns
        assert turns[-1] == "unhealthy -> healthy", turns
        assert all(turn != after for turn, after in pairwise(turns)), "a line for a look that brought no turn"


def test_an_upstream_that_says_nothing_delays_no_other(gateway: Gateway) -> None:
    with ScriptedUpstream() as silent, ScriptedUpstream() as well:
        silent.models_mode = {"stall": True}

        api = gateway(
            gateway_config(
                by_itself("silent", silent.url, autoscaling=ONE_REPLICA["autoscaling"]),
                inline("well", well.url, CHAT),
                **IMPATIENT,
            )
        )

        eventually(lambda: told(api, "silent")["error"] == "no answer within 1 s")
        seen = len(well.requests)
        eventually(lambda: len(well.requests) > seen + 2)
        shown = told(api, "well")
        assert (shown["status"], shown["error"]) == ("healthy", None)
        assert datetime.fromisoformat(shown["last_check"]).tzinfo is not None


def test_a_deployment_that_may_shrink_to_nothing_is_left_asleep(gateway: Gateway) -> None:
    with ScriptedUpstream() as upstream:
        asleep = by_itself("asleep", upstream.url, autoscaling={"min_replicas": 0, "max_replicas": 1})
        api = gateway(gateway_config(asleep, inline("awake", upstream.url, CHAT), **OFTEN))

        eventually(lambda: len(upstream.requests) > 2)
        shown = told(api, "asleep")

    assert (shown["status"], shown["latency_ms"], shown["last_check"]) == ("healthy", None, None)
