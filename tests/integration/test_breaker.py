"""Circuit breakers seen from outside."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.support.api import Api, eventually, text_of
from tests.support.serving import HOST, NOWHERE, Gateway, free_port, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

THRESHOLD = 5  # the default
FOR_LONG = {"circuit_breaker": {"reset_timeout": 600}}
RESET_S = 2


def model(name: str, task: str) -> dict[str, Any]:
    return {"model_id": name, "task": task}


def knock_out(api: Api, task: str) -> None:
    """As many chats as it takes to open the breakers of the providers that are down."""
    for _ in range(THRESHOLD):
        api.chat(model=task)


@pytest.fixture(scope="module")
def leaky(gateway: Gateway) -> Iterator[Api]:
    """For every task some providers that are down, and one that is up."""
    with ScriptedUpstream() as up:
        yield gateway(
            gateway_config(
                inline("embed_1", NOWHERE, model("e1", "embedding"), priority=1),
                inline("small_1", NOWHERE, model("s1", "chat_small"), priority=1),
                inline("large_1", NOWHERE, model("l1", "chat_large"), priority=1),
                inline("large_2", NOWHERE, model("l2", "chat_large"), priority=2),
                inline(
                    "up",
                    up.url,
                    model("e9", "embedding"),
                    model("s9", "chat_small"),
                    model("l9", "chat_large"),
                    priority=3,
                ),
                **FOR_LONG,
            )
        )


@pytest.fixture(scope="module")
def sunk(gateway: Gateway) -> Api:
    """Every provider is down, and every breaker knows."""
    api = gateway(
        gateway_config(
            inline("first", NOWHERE, model("m1", "chat_smart"), priority=1),
            inline("second", NOWHERE, model("m2", "chat_smart"), priority=2),
            **FOR_LONG,
        )
    )
    knock_out(api, "chat_smart")
    return api


@pytest.mark.contract(7)
def test_an_open_breaker_is_one_healthy_provider_less(leaky: Api) -> None:
    before = leaky.providers()

    for _ in range(THRESHOLD):
        assert leaky.post("/v1/embeddings", {"input": "hi"}).status_code == 200

    after = leaky.providers()
    assert after["healthy_providers"] == before["healthy_providers"] - 1
    assert after["total_providers"] == before["total_providers"]
    breaker = after["providers"]["embed_1"]["circuit_breaker"]
    assert breaker["state"] == "open"
    assert (breaker["failure_count"], breaker["success_count"]) == (THRESHOLD, 0)
    assert breaker["last_failure_time"].endswith("Z")
    assert datetime.fromisoformat(breaker["last_failure_time"]).tzinfo is not None


@pytest.mark.contract(21)
def test_behind_an_open_breaker_comes_the_next_provider(leaky: Api) -> None:
    assert leaky.routed("chat_small")["provider_id"] == "small_1"

    knock_out(leaky, "chat_small")

    assert leaky.routed("chat_small")["provider_id"] == "up"


@pytest.mark.contract(21)
def test_behind_two_open_breakers_comes_the_third(leaky: Api) -> None:
    assert leaky.routed("chat_large")["provider_id"] == "large_1"

    knock_out(leaky, "chat_large")

    assert leaky.routed("chat_large")["provider_id"] == "up"


@pytest.mark.contract(30)
def test_a_preferred_model_behind_an_open_breaker_gives_way(leaky: Api) -> None:
    knock_out(leaky, "chat_large")

    choice = leaky.routed("chat_large", preferred_model="l1")

    assert choice["provider_id"] == "up"
    assert "priority" in choice["reason"]


@pytest.mark.contract(22)
def test_when_every_breaker_is_open_the_answer_is_503(sunk: Api) -> None:
    route, chat = sunk.route("chat_smart"), sunk.chat()

    assert (route.status_code, chat.status_code) == (503, 503)
    assert route.json()["detail"].startswith("No suitable providers available for task 'chat_smart'")
    assert chat.json()["error"]["message"].startswith("No suitable providers available")


@pytest.mark.contract(9)
def test_when_every_breaker_is_open_health_is_degraded(sunk: Api) -> None:
    health = sunk.get("/health")

    assert (health.status_code, health.json()["status"]) == (200, "degraded")


@pytest.mark.contract(48)
def test_a_provider_is_left_when_it_fails_and_found_again_when_it_is_back(gateway: Gateway) -> None:
    port = free_port()
    with ScriptedUpstream() as reserve:
        api = gateway(
            gateway_config(
                inline("first", f"http://{HOST}:{port}", model("gpt-4o", "chat_smart"), priority=1),
                inline("second", reserve.url, model("gpt-4o-mini", "chat_smart"), priority=2),
                circuit_breaker={"reset_timeout": RESET_S},
            )
        )

        answers = [api.chat() for _ in range(THRESHOLD)]

        assert api.breaker("first")["state"] == "open"
        assert api.routed("chat_smart")["provider_id"] == "second"
        assert {answer.headers["x-sekha-provider"] for answer in answers} == {"second"}

        with ScriptedUpstream(port=port):
            eventually(lambda: api.breaker("first")["state"] == "half_open")
            probes = [api.chat() for _ in range(2)]

        assert [text_of(probe) for probe in probes] == ["Hello from gpt-4o: hi"] * 2
        assert api.breaker("first")["state"] == "closed"
        assert api.breaker("first")["failure_count"] == 0


def test_by_default_a_provider_is_used_again_within_seconds_of_its_recovery(gateway: Gateway) -> None:
    port = free_port()
    with ScriptedUpstream() as reserve:
        api = gateway(
            gateway_config(
                inline("first", f"http://{HOST}:{port}", model("gpt-4o", "chat_smart"), priority=1),
                inline("second", reserve.url, model("gpt-4o-mini", "chat_smart"), priority=2),
            )
        )
        knock_out(api, "chat_smart")
        assert api.breaker("first")["state"] == "open"

        with ScriptedUpstream(port=port):
            eventually(lambda: api.chat().headers["x-sekha-provider"] == "first", within_s=15, every_s=0.5)
            eventually(lambda: api.chat() and api.breaker("first")["state"] == "closed", within_s=5)
