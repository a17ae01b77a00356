"""Anthropic in a deployment of its own: token counts, and marks for its cache with what they saved."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api, eventually, user
from tests.support.serving import Gateway, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

ADMIN = "admin-key-of-the-tests"
LONG = "word " * 1000
PRICES = {"cost_per_1k_input": 1.0, "cost_per_1k_output": 0.0, "cost_per_1k_cached": 0.1}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def claude(gateway: Gateway, upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Api:
    model = {"model_id": "claude-sonnet-4-6", "task": "chat_smart", **PRICES}
    own = {"type": "anthropic", "transport": "handle", "prompt_cache": "auto", "num_cpus": 0.1}
    provider = {**inline("claude", upstream.url, model, **own), "base_url": upstream.url}
    folder: Path = tmp_path_factory.mktemp("state")
    api = gateway(
        gateway_config(
            provider, auth={"admin_keys": [ADMIN]}, storage={"url": f"sqlite:///{folder}/ledger.db"}
        )
    )
    return Api(api.url, ADMIN)


def test_a_count_comes_from_the_vendor_through_its_deployment(
    claude: Api, upstream: ScriptedUpstream
) -> None:
    counted = claude.post("/v1/messages/count_tokens", {"messages": [user("hi")], "max_tokens": 5})

    assert counted.status_code == 200, counted.text
    assert counted.headers["x-sekha-token-count"] == "exact"
    assert counted.json() == {"input_tokens": len('[{"role": "user", "content": "hi"}]')}
    assert upstream.last.path == "/v1/messages/count_tokens"


def test_a_chat_is_marked_for_the_cache_and_the_ledger_tells_what_that_saved(
    claude: Api, upstream: ScriptedUpstream
) -> None:
    upstream.mode = {"cached": 2000}
    try:
        answer = claude.post(
            "/v1/chat/completions", {"messages": [{"role": "system", "content": LONG}, user("hi")]}
        )
    finally:
        upstream.recover()

    assert answer.status_code == 200, answer.text
    marks = [block["cache_control"] for block in upstream.last.json["system"]]
    assert marks == [{"type": "ephemeral"}]
    eventually(lambda: claude.get("/api/admin/costs").json()["cache_saving"] == 1.8)
    [entry] = claude.get("/api/admin/costs/recent").json()["entries"]
    assert (entry["cached_tokens"], entry["cache_saving"]) == (2000, 1.8)
