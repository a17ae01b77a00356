"""Names that lead elsewhere after they were checked: the address counts at the moment of connecting."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.config.settings import Settings
from serve_app.errors import FailureKind, UpstreamError
from serve_app.providers.address_policy import AddressPolicy, EndpointPolicy
from serve_app.providers.base import Answer, HealthStatus
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.endpoint_check import look_at_endpoint
from serve_app.providers.http.provider import HttpProvider
from tests.contract.test_providers import build, call, items_of
from tests.support.resolver import FakeResolver
from tests.support.upstream import ScriptedUpstream

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
]

HERE = "127.0.0.1"
METADATA = "169.254.169.254"
MODEL = {"model_id": "m", "task": "chat_small"}
BOTH = pytest.mark.parametrize("type_", ["openai", "anthropic"])


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture
def port(upstream: ScriptedUpstream) -> int:
    upstream.recover()
    upstream.requests.clear()
    return urlsplit(upstream.url).port or 0


def wire(
    names: FakeResolver, endpoint_policy: EndpointPolicy, base_url: str = "http://127.0.0.1:9"
) -> HttpProvider:
    config = {"id": "own", "type": "vllm", "base_url": base_url, "models": [MODEL], "timeout": 5}
    return HttpProvider(
        ProviderConfig.model_validate(config), VENDORS["vllm"], None, SystemClock(), endpoint_policy, names
    )


def policy_of(port: int = 5001, **backends: object) -> EndpointPolicy:
    provider = {"id": "own", "type": "vllm", "base_url": "http://127.0.0.1:9", "models": [MODEL]}
    settings = {"port": port, "backends": backends, "llm_providers": [provider], "default_models": {}}
    return EndpointPolicy.of(Settings.model_validate(settings))


def kind_of(answer: object) -> FailureKind | None:
    return answer.failure if isinstance(answer, UpstreamError) else None


@BOTH
@pytest.mark.parametrize("streams", [False, True])
async def test_a_configured_name_that_comes_to_lead_to_a_metadata_service_is_not_called(
    type_: str, streams: bool, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = FakeResolver(**{"gpu.example": (HERE,)})
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo)
    provider = build(type_, f"http://gpu.example:{port}")
    before = await provider.chat(call("hi"))
    await provider.aclose()

    names.addresses["gpu.example"] = (METADATA,)
    provider = build(type_, f"http://gpu.example:{port}", models=[MODEL])
    after = (await items_of(provider, call("hi")))[0] if streams else await provider.chat(call("hi"))
    health = await provider.health()
    await provider.aclose()

    assert isinstance(before, Answer)
    assert isinstance(after, UpstreamError)
    assert (after.failure, after.retryable, after.callers_fault) == (
        FailureKind.REFUSED_ADDRESS,
        False,
        False,
    )
    assert METADATA not in after.told
    assert METADATA in after.note
    assert health.status is HealthStatus.UNHEALTHY
    assert "link-local" in (health.error or "")
    assert METADATA not in (health.error or "")


REBOUND: list[tuple[str, dict[str, object]]] = [
    (METADATA, {}),
    ("fe80::1", {}),
    ("64:ff9b::a9fe:a9fe", {}),
    ("100.100.100.200", {}),
    ("0.0.0.0", {}),
    ("10.0.0.9", {"allow_private": False}),
    ("127.0.0.1", {"allow_private": False}),
]  # fmt: skip


@pytest.mark.parametrize(("leads_to", "backends"), REBOUND)
async def test_an_endpoint_set_at_run_time_is_not_called_once_its_name_leads_to_a_refused_address(
    leads_to: str, backends: dict[str, object], port: int, upstream: ScriptedUpstream
) -> None:
    names = FakeResolver(**{"gpu.example": (leads_to,)})
    endpoint_policy = policy_of(**backends)
    provider = wire(names, endpoint_policy)
    moved = call("hi")._replace(api_base=f"http://gpu.example:{port}/v1")

    whole = await provider.chat(moved)
    [stream] = await items_of(provider, moved)
    look = await look_at_endpoint(moved.api_base or "", SystemClock(), endpoint_policy, names)
    await provider.aclose()

    assert [kind_of(whole), kind_of(stream)] == [FailureKind.REFUSED_ADDRESS] * 2
    assert look.status is HealthStatus.UNHEALTHY
    assert "was not called" in (look.error or "")
    assert leads_to not in f"{whole} {look.error}"
    assert upstream.requests == []


async def test_an_endpoint_whose_name_comes_to_lead_to_the_gateway_itself_is_not_called(
    port: int, upstream: ScriptedUpstream
) -> None:
    names = FakeResolver(**{"gpu.example": (HERE,)})
    moved = call("hi")._replace(api_base=f"http://gpu.example:{port}/v1")
    stranger, ourselves = wire(names, policy_of(port=port + 1)), wire(names, policy_of(port=port))

    answers = [await stranger.chat(moved), await ourselves.chat(moved)]
    await stranger.aclose()
    await ourselves.aclose()

    assert [kind_of(answer) for answer in answers] == [None, FailureKind.REFUSED_ADDRESS]
    assert len(upstream.asked) == 1


async def test_a_connection_that_is_used_again_costs_no_other_look_at_its_name(port: int) -> None:
    names = FakeResolver(**{"gpu.example": (HERE,)})
    provider = wire(names, policy_of(allow_private=True))
    moved = call("hi")._replace(api_base=f"http://gpu.example:{port}/v1")

    first = await provider.chat(moved)
    names.addresses["gpu.example"] = (METADATA,)
    second = await provider.chat(moved)
    await provider.aclose()

    assert (kind_of(first), kind_of(second)) == (None, None)
    assert names.asked == ["gpu.example"]


async def test_of_several_addresses_those_that_are_allowed_are_called(port: int) -> None:
    names = FakeResolver(**{"gpu.example": (METADATA, HERE)})
    provider = wire(names, policy_of())

    answer = await provider.chat(call("hi")._replace(api_base=f"http://gpu.example:{port}/v1"))
    await provider.aclose()

    assert kind_of(answer) is None


async def test_what_the_operators_file_spells_out_is_called_and_what_it_names_may_be_private(
    port: int,
) -> None:
    strict = policy_of(allow_private=False, vllm_endpoint=f"http://gpu.example:{port}")
    provider = wire(FakeResolver(**{"gpu.example": (HERE,)}), strict)
    moved = await provider.chat(call("hi")._replace(api_base=f"http://gpu.example:{port}/v1"))
    await provider.aclose()
    provider = wire(FakeResolver(**{"gpu.example": (HERE,)}), strict, base_url=f"http://gpu.example:{port}")
    configured = await provider.chat(call("hi"))
    await provider.aclose()

    assert (kind_of(moved), kind_of(configured)) == (None, None)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("http://169.254.169.254/v1", True), ("http://2852039166", True), ("http://gpu.example", False)],
)
def test_only_a_file_that_spells_out_a_link_local_address_may_lead_there(url: str, allowed: bool) -> None:
    assert (AddressPolicy.of_file(url).why_not(ip_address(METADATA), 80) is None) is allowed
