"""Two backends, Anthropic and vLLM: what may be switched to, and what follows from it."""

import pytest

from serve_app.config.override import BackendState
from serve_app.control.backend import (
    Backend,
    BackendNotConfigured,
    Backends,
    backend_named,
    endpoint_of,
    moved_to,
)
from serve_app.errors import InvalidRequest
from serve_app.pricing.money import nano_dollars
from tests.support.settings import settings

HOUR = 3600.0


def test_at_first_it_is_anthropic_with_its_three_tiers() -> None:
    assert Backends().current is Backend.ANTHROPIC
    assert Backends().available_models == ("haiku", "sonnet", "opus")


@pytest.mark.contract(115)
def test_without_an_endpoint_there_is_no_vllm_to_switch_to() -> None:
    with pytest.raises(BackendNotConfigured, match="no endpoint"):
        Backends().switched_to(Backend.VLLM)


def test_a_vllm_that_the_gateway_hosts_needs_no_endpoint() -> None:
    assert Backends(hosts_vllm=True).switched_to(Backend.VLLM).current is Backend.VLLM


@pytest.mark.contract(115)
def test_with_an_endpoint_there_is_a_vllm_to_switch_to() -> None:
    after = Backends().with_endpoint("http://10.0.0.5:8000", now=0.0).switched_to(Backend.VLLM)

    assert (after.current, after.available_models) == (Backend.VLLM, ("qwen",))
    assert after.switched_to(Backend.ANTHROPIC).current is Backend.ANTHROPIC


@pytest.mark.parametrize(
    "written", ["http://h:8000", "http://h:8000/", "http://h:8000/v1", " http://h:8000/v1/ "]
)
def test_the_version_is_added_to_an_endpoint_once(written: str) -> None:
    backends = Backends().with_endpoint(written, now=0.0)

    assert (backends.vllm_endpoint, backends.api_base) == ("http://h:8000", "http://h:8000/v1")


@pytest.mark.parametrize("wrong", ["", "10.0.0.5:8000", "ftp://h", "http://", "http://h:port", "http://a b"])
def test_what_is_no_web_address_is_no_endpoint(wrong: str) -> None:
    with pytest.raises(InvalidRequest, match="http:// or https://"):
        endpoint_of(wrong)


def test_an_unknown_backend_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match=r"'bedrock'.*anthropic, vllm") as refused:
        backend_named("bedrock")

    assert (refused.value.status, refused.value.code) == (400, "invalid_backend")
    assert backend_named("vllm") is Backend.VLLM


def test_an_unknown_tier_is_haiku_at_anthropic_and_every_tier_is_qwen_at_vllm() -> None:
    vllm = Backends().with_endpoint("http://h", 0.0).switched_to(Backend.VLLM)

    assert Backends().tier("gpt-4").model_id == "claude-3-haiku-20240307"
    assert (Backends().tier("sonnet").name, Backends().tier("sonnet").max_tokens) == ("sonnet", 8192)
    assert vllm.tier("opus").model_id == "Qwen/Qwen2.5-7B-Instruct"


@pytest.mark.contract(117)
def test_two_hours_of_vllm_at_sixteen_cents() -> None:
    hourly = nano_dollars("0.16")
    backends = Backends().with_endpoint("http://h", now=100.0)

    assert backends.vllm_cost(100.0 + 2 * HOUR, hourly) == nano_dollars("0.32")
    assert Backends().vllm_cost(2 * HOUR, hourly) == 0


def test_another_address_does_not_begin_the_hours_anew() -> None:
    moved = Backends().with_endpoint("http://a", now=0.0).with_endpoint("http://b", now=HOUR)

    assert moved.vllm_cost(2 * HOUR, nano_dollars(1)) == nano_dollars(2)


def test_a_clock_that_was_set_back_earns_nothing() -> None:
    assert Backends().with_endpoint("http://a", now=HOUR).vllm_cost(0.0, nano_dollars(1)) == 0


def test_an_endpoint_is_for_the_first_vllm_that_is_a_server_and_for_none_that_is_hosted_here() -> None:
    models = [{"model_id": "m", "task": "chat_small"}]
    servers = [
        {"id": name, "type": "vllm", "base_url": f"http://{name}:8000", "models": models}
        for name in ("near", "far")
    ]
    own = {"id": "own", "type": "vllm", "models": models, "local": {}}
    config = settings({"llm_providers": [own, *servers], "default_models": {}})
    state = BackendState(vllm_endpoint="http://10.0.0.5:8000")

    found = {p.id: moved_to(config, state, p.id) for p in config.llm_providers}

    assert found == {"own": None, "near": "http://10.0.0.5:8000/v1", "far": None}
