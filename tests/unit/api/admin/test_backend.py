"""Two backends, Anthropic and vLLM: which one answers, how each is, where vLLM is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, upstream_error
from serve_app.pricing.usage import Usage
from serve_app.providers.address_policy import DEFAULT_ENDPOINT_POLICY
from serve_app.providers.base import Answer, Health
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.http.provider import HttpProvider
from tests.support.harness import ListedProvider
from tests.support.operators import KEYS, SONNET, USER, Office, office, soon, two_backends
from tests.support.resolver import FakeResolver
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:9"
ANSWER = Answer(b'{"id":"1"}', Usage(1, 1), 0.1)


class Silent(ListedProvider):
    """Says nothing when it is looked at."""

    async def health(self) -> Health:
        await asyncio.sleep(3600)
        raise AssertionError


@pytest.fixture(scope="module")
def vllm() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    """One that knows of no vLLM."""
    async with office(tmp_path) as opened:
        yield opened


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Office]:
    """One with a provider of each type; nobody answers where its vLLM is configured."""
    async with office(tmp_path, two_backends(NOWHERE)) as opened:
        yield opened


async def get(at: Office, path: str, router: int = 0) -> Any:
    async with at.client(router=router) as client:
        answer = await client.get(f"/api/admin{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(at: Office, path: str, body: Any, router: int = 0) -> httpx.Response:
    async with at.client(router=router) as client:
        return await client.post(f"/api/admin{path}", json=body)


async def switch(at: Office, backend: str, router: int = 0, skip: bool = True) -> httpx.Response:
    return await post(at, "/backend/switch", {"backend": backend, "skip_health_check": skip}, router)


async def provider_for(at: Office, model: str | None, router: int = 0) -> str:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    async with at.client(USER, router) as client:
        answer = await client.post("/v1/chat/completions", json=body | ({"model": model} if model else {}))
    return answer.headers["x-sekha-provider"] if answer.status_code == 200 else str(answer.status_code)


async def test_at_first_it_is_anthropic(at: Office) -> None:
    told = await get(at, "/backend/current")

    assert told["current_backend"] == "anthropic"
    assert (told["vllm_endpoint"], told["vllm_configured"]) == (None, False)
    assert told["available_models"] == ["haiku", "sonnet", "opus"]
    assert told["available_backends"] == ["anthropic", "vllm"]
    assert told.keys() >= {"health_status", "last_health_check"}


@pytest.mark.contract(115)
async def test_no_switch_to_a_vllm_that_is_nowhere(at: Office) -> None:
    answer = await post(at, "/backend/switch", {"backend": "vllm"})

    assert answer.status_code == 200
    assert (answer.json()["success"], answer.json()["backend"]) == (False, "anthropic")
    assert "endpoint" in answer.json()["message"]
    assert (await get(at, "/backend/current"))["current_backend"] == "anthropic"
    assert (await get(at, "/audit"))["changes"] == []


@pytest.mark.contract(115)
async def test_with_an_endpoint_where_somebody_answers_vllm_is_switched_to(
    both: Office, vllm: ScriptedUpstream
) -> None:
    at = both
    set_to = (await post(at, "/vllm/endpoint", {"endpoint": f"{vllm.url}/v1/"})).json()
    switched = (await post(at, "/backend/switch", {"backend": "vllm"}, router=1)).json()

    assert set_to == {
        "success": True,
        "message": "vLLM endpoint set",
        "endpoint": vllm.url,
        "health_check_passed": True,
    }
    assert (switched["success"], switched["backend"], switched["previous_backend"]) == (
        True,
        "vllm",
        "anthropic",
    )
    told = await get(at, "/backend/current", router=1)
    assert (told["current_backend"], told["available_models"]) == ("vllm", ["qwen"])


@pytest.mark.contract(115)
async def test_one_that_is_not_well_is_switched_to_only_without_the_check(
    both: Office,
) -> None:
    at = both
    set_to = (await post(at, "/backend/vllm/endpoint", {"endpoint": "http://127.0.0.1:8"})).json()
    refused = (await post(at, "/backend/switch", {"backend": "vllm"})).json()
    forced = (await switch(at, "vllm")).json()

    assert (set_to["success"], set_to["health_check_passed"]) == (True, False)
    assert (refused["success"], refused["backend"]) == (False, "anthropic")
    assert (forced["success"], forced["previous_backend"]) == (True, "anthropic")


async def test_an_endpoint_gets_one_get_without_a_key_and_sends_nobody_elsewhere(
    at: Office, vllm: ScriptedUpstream
) -> None:
    vllm.requests.clear()

    await post(at, "/vllm/endpoint", {"endpoint": vllm.url})

    [seen] = vllm.requests
    assert (seen.method, seen.path) == ("GET", "/v1/models")
    assert "authorization" not in seen.headers


WRONG = [
    "vllm:8000",
    "ftp://h",
    "file:///etc/passwd",
    "http://user:pass@h:8000",
    "http://h:8000?key=1",
    "http://h:8000/#x",
    "http://h\r\nX: y",
    "http://h" + "o" * 2050,
    "",
]


async def test_what_is_no_plain_web_address_is_no_endpoint(at: Office) -> None:
    for wrong in WRONG:
        answer = await post(at, "/vllm/endpoint", {"endpoint": wrong})

        assert answer.status_code in (400, 422), wrong
        assert "pass@" not in answer.text
        assert (await get(at, "/audit"))["changes"] == [], wrong


@pytest.mark.contract(117)
async def test_the_eleventh_switch_within_an_hour_is_refused_by_every_router(at: Office) -> None:
    answers = [await switch(at, "anthropic", router=number % 2) for number in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    refused = answers[10]
    assert refused.json()["code"] == "RATE_LIMIT_EXCEEDED"
    assert refused.headers["x-ratelimit-limit"] == "10"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert 3500 < int(refused.headers["x-ratelimit-reset"]) <= 3600

    at.clock.ahead_s += 3601
    assert (await switch(at, "anthropic")).status_code == 200


async def test_a_restart_does_not_begin_the_hour_anew(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        for _ in range(10):
            await switch(at, "anthropic")
    async with office(tmp_path) as again:
        assert (await switch(again, "anthropic")).status_code == 429
        assert (await post(again, "/budget", {"budget_limit": 5})).status_code == 200


async def test_a_switch_outlives_the_gateway_and_so_does_the_endpoint(tmp_path: Path) -> None:
    async with office(tmp_path, two_backends("http://127.0.0.1:8")) as at:
        await post(at, "/vllm/endpoint", {"endpoint": NOWHERE})
        await switch(at, "vllm")
    async with office(tmp_path, two_backends("http://127.0.0.1:8")) as again:
        told = await get(again, "/backend/current")

    assert (told["current_backend"], told["vllm_endpoint"]) == ("vllm", NOWHERE)


@pytest.mark.contract(116)
async def test_a_switch_is_in_the_audit(both: Office) -> None:
    at, moved_to = both, "http://127.0.0.1:8"
    await post(at, "/vllm/endpoint", {"endpoint": moved_to})
    await switch(at, "vllm")

    newest, first = (await get(at, "/audit"))["changes"]

    assert (newest["user_id"], newest["action"]) == ("config:admin-key-1", "backend_switched")
    assert newest["details"]["before"] == {"backend": "anthropic"}
    assert newest["details"]["after"] == {"backend": "vllm", "skip_health_check": True}
    assert first["details"] == {"before": {"endpoint": NOWHERE}, "after": {"endpoint": moved_to}}


@pytest.mark.parametrize("skip", [False, True])
async def test_no_switch_to_a_backend_that_no_provider_belongs_to_even_with_an_endpoint(
    at: Office, vllm: ScriptedUpstream, skip: bool
) -> None:
    set_to = (await post(at, "/vllm/endpoint", {"endpoint": vllm.url})).json()
    switched = (await switch(at, "vllm", skip=skip)).json()

    assert "No provider of type 'vllm' is configured" in set_to["message"]
    assert (switched["success"], switched["backend"]) == (False, "anthropic")
    assert "VLLM_ENDPOINT" in switched["message"]
    told = await get(at, "/backend/current")
    assert (told["current_backend"], told["vllm_configured"]) == ("anthropic", False)


async def test_everything_looks_where_calls_go_once_an_endpoint_was_set(
    tmp_path: Path, vllm: ScriptedUpstream
) -> None:
    settings = two_backends(NOWHERE)
    wire = HttpProvider(settings.llm_providers[1], VENDORS["vllm"], None, SystemClock())
    async with office(tmp_path, settings, {"claude": ListedProvider(ANSWER), "own": wire}) as at:

        async def seen() -> list[bool]:
            async with at.client(USER) as client:
                public = (await client.get("/api/v1/health/providers")).json()["providers"]["own"]
            current = (await get(at, "/backend/current"))["health_status"]["vllm"]
            admin = {p["id"]: p for p in (await get(at, "/providers"))["providers"]}["own"]
            return [public["status"] == "healthy", current, admin["status"] == "healthy"]

        before = await seen()
        await post(at, "/vllm/endpoint", {"endpoint": vllm.url})
        after = await seen()
        await post(at, "/vllm/endpoint", {"endpoint": NOWHERE})
        back = await seen()
    await wire.aclose()

    assert (before, after, back) == ([False] * 3, [True] * 3, [False] * 3)


REFUSED = [
    "http://169.254.169.254/latest",
    "http://2852039166",
    "http://0xa9fea9fe",
    "http://0251.0376.0251.0376",
    "http://169.254.43518",
    "http://[fe80::1]:8000",
    "http://[::ffff:169.254.169.254]",
    "http://[2002:a9fe:a9fe::1]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[64:ff9b:1::a9fe:a9fe]",
    "http://[fd00:ec2::254]",
    "http://100.100.100.200",
    "http://0.0.0.0:8000",
    "http://[::]:8000",
    "http://224.0.0.1",
    "http://255.255.255.255",
    "http://169.254.169.254.",
    "http://256.1.1.1",
    "http://[fe80::1%25eth0]:8000",
    "http://127.0.0.1:5001",
    "http://127.1:5001",
    "http://localhost:5001",
    "http://[::1]:5001",
    "http://[::ffff:127.0.0.1]:5001",
]


async def test_an_endpoint_that_is_link_local_a_metadata_service_or_the_gateway_is_refused(
    at: Office,
) -> None:
    for endpoint in REFUSED:
        answer = await post(at, "/vllm/endpoint", {"endpoint": endpoint})

        assert (answer.status_code, endpoint in answer.text) == (400, True), answer.text
        assert (await get(at, "/backend/current"))["vllm_endpoint"] is None, endpoint


@pytest.mark.contract(118)
async def test_the_health_of_both_backends(tmp_path: Path, vllm: ScriptedUpstream) -> None:
    async with office(tmp_path, two_backends(vllm.url)) as at:
        told = await get(at, "/backend/health")
        one = await get(at, "/backend/health/vllm")

    assert told.keys() == {"anthropic", "vllm"}
    assert told["anthropic"].keys() == {"healthy", "latency_ms", "last_check", "error"}
    assert told["anthropic"]["healthy"] is True
    assert one.keys() == {"backend", "healthy", "latency_ms", "last_check", "error"}


@pytest.mark.contract(118)
async def test_a_backend_that_is_slow_to_answer_is_not_healthy(tmp_path: Path) -> None:
    silent = Silent(RuntimeError())
    async with office(tmp_path, two_backends(health={"timeout_s": 0.05}), {"claude": silent}) as at:
        told = await get(at, "/backend/health/anthropic")
        switched = (await post(at, "/backend/switch", {"backend": "anthropic"})).json()

    assert told["healthy"] is False
    assert "no answer within" in told["error"]
    assert switched["success"] is False


@pytest.mark.parametrize("model", ["sonnet", "haiku", "qwen", "auto", None])
async def test_after_a_switch_who_leaves_the_choice_to_us_is_answered_by_that_backend(
    tmp_path: Path, model: str | None
) -> None:
    providers = {name: ListedProvider(ANSWER) for name in ("claude", "own")}
    async with office(tmp_path, two_backends(NOWHERE), providers) as at:
        before = await provider_for(at, model)
        await switch(at, "vllm")
        switched = await provider_for(at, model)
        await switch(at, "anthropic")
        back = await provider_for(at, model)

    assert before == ("own" if model == "qwen" else "claude")
    assert (switched, back) == ("own", "claude")


@pytest.mark.parametrize("served", [SONNET, "llama", "Qwen/Qwen2.5-7B-Instruct"])
@pytest.mark.parametrize("task", ["chat_small", "chat_smart", "chat_large"])
async def test_the_tier_of_ones_own_machine_goes_there_whatever_it_serves(
    tmp_path: Path, served: str, task: str
) -> None:
    settings = two_backends(NOWHERE)
    claude, own = settings.llm_providers
    own = ProviderConfig.model_validate({**own.model_dump(), "models": [{"model_id": served, "task": task}]})
    settings = settings.model_copy(update={"llm_providers": (claude, own)})
    providers = {name: ListedProvider(ANSWER) for name in ("claude", "own")}
    async with office(tmp_path, settings, providers) as at:
        assert await provider_for(at, "qwen") == "own"


async def test_the_tier_of_ones_own_machine_is_no_model_where_there_is_none_and_nobody_is_paid(
    tmp_path: Path,
) -> None:
    claude = ListedProvider(ANSWER)
    async with office(tmp_path, two_backends(), {"claude": claude}) as at:
        assert await provider_for(at, "qwen") == "404"
        assert await provider_for(at, "haiku") == "claude"

    assert len(claude.calls) == 1


@pytest.mark.parametrize("model", [SONNET, "claude/" + SONNET])
async def test_a_switch_is_nothing_to_who_names_a_model(tmp_path: Path, model: str) -> None:
    providers = {name: ListedProvider(ANSWER) for name in ("claude", "own")}
    async with office(tmp_path, two_backends(NOWHERE), providers) as at:
        await switch(at, "vllm")

        assert await provider_for(at, model) == "claude"


async def test_a_switch_is_a_preference_and_the_other_backend_a_fallback(tmp_path: Path) -> None:
    down = ListedProvider(upstream_error("down", "own", FailureKind.BROKEN))
    async with office(tmp_path, two_backends(NOWHERE), {"claude": ListedProvider(ANSWER), "own": down}) as at:
        await switch(at, "vllm")

        assert await provider_for(at, "haiku") == "claude"
        assert len(down.calls) == 1


async def test_a_switch_gives_nobody_a_model_that_is_not_theirs(tmp_path: Path) -> None:
    tenants = [{"id": "a", "models": [SONNET]}]
    keys = {**KEYS, "api_keys": [{"key": USER, "tenant": "a"}]}
    providers = {name: ListedProvider(ANSWER) for name in ("claude", "own")}
    async with office(tmp_path, two_backends(NOWHERE, tenants=tenants, auth=keys), providers) as at:
        await switch(at, "vllm")

        assert await provider_for(at, "sonnet") == "claude"


async def test_the_other_routers_hear_of_a_switch_with_the_next_news(tmp_path: Path) -> None:
    providers = {name: ListedProvider(ANSWER) for name in ("claude", "own")}
    async with office(tmp_path, two_backends(NOWHERE), providers) as at:
        await switch(at, "vllm", router=0)

        async def has_heard() -> bool:
            return await provider_for(at, "sonnet", router=1) == "own"

        await soon(has_heard)


async def test_calls_go_to_the_endpoint_that_was_set_and_take_no_key_there(
    tmp_path: Path, vllm: ScriptedUpstream
) -> None:
    settings = two_backends(NOWHERE)
    own = settings.llm_providers[1]
    wire = HttpProvider(own, VENDORS["vllm"], "sk-of-the-old-address", SystemClock())
    async with office(tmp_path, settings, {"claude": ListedProvider(ANSWER), "own": wire}) as at:
        await post(at, "/vllm/endpoint", {"endpoint": vllm.url})
        await post(at, "/backend/switch", {"backend": "vllm"})
        vllm.requests.clear()
        served_by = await provider_for(at, "haiku")
        await post(at, "/vllm/endpoint", {"endpoint": NOWHERE})
        fell_back_to = await provider_for(at, "haiku")
    await wire.aclose()

    assert (served_by, fell_back_to) == ("own", "claude")
    [seen] = vllm.asked
    assert seen.json["model"] == "Qwen/Qwen2.5-7B-Instruct"
    assert "authorization" not in seen.headers


async def test_an_endpoint_whose_name_comes_to_lead_to_a_metadata_service_fails_over_and_is_not_asked_again(
    tmp_path: Path, vllm: ScriptedUpstream
) -> None:
    settings, names = two_backends(NOWHERE), FakeResolver(**{"gpu.example": ("127.0.0.1",)})
    wires = [
        HttpProvider(
            settings.llm_providers[1], VENDORS["vllm"], None, SystemClock(), DEFAULT_ENDPOINT_POLICY, names
        )
        for _ in range(2)
    ]
    endpoint = f"http://gpu.example:{urlsplit(vllm.url).port}"
    served_by = []
    for wire in wires:
        providers = {"claude": ListedProvider(ANSWER), "own": wire}
        async with office(tmp_path, settings, providers) as at:
            set_to = await post(at, "/vllm/endpoint", {"endpoint": endpoint})
            await post(at, "/backend/switch", {"backend": "vllm", "skip_health_check": True})
            served_by.append(await provider_for(at, "haiku"))
            breaker = at.routers[0][0].breakers.of("own")
        await wire.aclose()
        assert set_to.status_code == 200
        names.addresses["gpu.example"] = ("169.254.169.254",)

    assert served_by == ["own", "claude"]
    assert names.asked == ["gpu.example"] * 2
    assert breaker.failure_count == 0


async def test_an_unknown_backend_has_no_health(at: Office) -> None:
    async with at.client() as client:
        answer = await client.get("/api/admin/backend/health/bedrock")

    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_BACKEND")
