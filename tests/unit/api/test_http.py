"""HTTP without Ray: the ASGI application over a gateway of real parts."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest

from serve_app.api.app import build_api
from serve_app.api.auth import Keyring
from serve_app.config.settings import RouterConfig
from serve_app.errors import FailureKind, upstream_error
from serve_app.observability.metrics import exposition
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Health, HealthStatus, StreamEnd, StreamHead
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.keyrings import keyring
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1","object":"chat.completion"}', Usage(10, 5), 0.1)
FRAME = b'data: {"id":"1","choices":[{"delta":{"content":"hi"}}]}\n\n'
HI = {"messages": [{"role": "user", "content": "hi"}]}

Client = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Makes a client for a gateway whose first provider gives this answer; closes what it made."""
    made: list[httpx.AsyncClient] = []

    def make(
        answer: Any = ANSWER,
        keys: Keyring | None = None,
        provider: ListedProvider | None = None,
        **more: Any,
    ) -> httpx.AsyncClient:
        providers = {} if answer is None else {name: ListedProvider(answer) for name in ("first", "second")}
        if provider is not None:
            providers["first"] = provider
        harness = Harness(two_providers(**more), providers, FakeClock())
        app = build_api(harness.running, keys or keyring(), exposition)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
        made.append(httpx.AsyncClient(transport=transport, base_url="http://localhost"))
        return made[-1]

    yield make
    for opened in made:
        await opened.aclose()


async def test_an_answer_keeps_its_bytes_and_says_who_gave_it(client: Client) -> None:
    answer = await client().post("/v1/chat/completions", json=HI)

    assert answer.status_code == 200
    assert answer.content.startswith(b'{"id":"1","object":"chat.completion","sekha_metadata":')
    assert answer.headers["x-sekha-provider"] == "first"
    assert answer.headers["x-sekha-model"] == "first-chat"
    assert answer.json()["sekha_metadata"]["routing"]["reason"] == "Selected by priority (1)"


async def test_the_metadata_can_be_switched_off(client: Client) -> None:
    answer = await client(routing={"metadata": False}).post("/v1/chat/completions", json=HI)

    assert answer.content == ANSWER.body


async def test_a_stream_ends_with_done_and_tells_its_routing_once(client: Client) -> None:
    items = (StreamHead(0.1), FRAME, FRAME, StreamEnd(None, 0.2, 4))

    answer = await client(items).post("/v1/chat/completions", json={**HI, "stream": True})

    frames = answer.content.split(b"\n\n")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert orjson.loads(frames[0][6:])["sekha_metadata"]["routing"]["provider_id"] == "first"
    assert frames[1] + b"\n\n" == FRAME
    assert answer.content.endswith(b"data: [DONE]\n\n")


async def test_a_stream_that_breaks_off_ends_with_an_error_and_without_done(client: Client) -> None:
    items = (StreamHead(0.1), FRAME, upstream_error("cut", "first", FailureKind.BROKEN))

    answer = await client(items).post("/v1/chat/completions", json={**HI, "stream": True})

    assert b"[DONE]" not in answer.content
    last = orjson.loads(answer.content.strip().split(b"\n\n")[-1][6:])
    assert last["error"]["code"] == "upstream_broken"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FailureKind.TIMEOUT, 504),
        (FailureKind.RATE_LIMITED, 429),
        (FailureKind.OVERLOADED, 503),
        (FailureKind.BROKEN, 502),
        (FailureKind.AUTH, 502),
        (FailureKind.CONTEXT_LENGTH, 400),
    ],
)
async def test_a_failure_has_its_status_and_openais_shape(
    client: Client, kind: FailureKind, status: int
) -> None:
    error = upstream_error("no", "first", kind, retry_after_s=1.2)

    answer = await client(error).post("/v1/chat/completions", json=HI)

    assert answer.status_code == status
    assert answer.headers["retry-after"] == "2"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["detail"] == "no"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b"{}", 422),
        (b'{"messages":"hi"}', 422),
        (b'{"messages":[]}', 400),
        (b'{"messages":[1]}', 422),
        (b'{"messages":[{"role":"user","content":1}]}', 422),
        (b'{"messages":[{"role":"user","content":"hi"}],"temperature":2.1}', 422),
        (b'{"messages":[{"role":"user","content":"hi"}],"temperature":"hot"}', 422),
        (b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":0}', 422),
        (b'{"messages":[{"role":"user","content":"hi"}],"stream":"yes"}', 422),
        (b'{"messages":[{"role":"user","content":"hi"}],"max_cost":-1}', 422),
        (b'{"messages":[{"role":"user","content":"hi"}],"model":7}', 422),
        (b'{"messages":[{"role":"user","content":[{}]}]}', 422),
        (b'{"messages":[{"role":"user","content":[5]}]}', 422),
        (b'{"messages":[{"role":"user","content":[{"type":"text","text":5}]}]}', 422),
        (b'{"messages":[{"role":"user","content":"hi"}],"tools":[5]}', 422),
        (b'{"messages":[{"role":"user","content":"hi"}],"response_format":"json"}', 422),
        (b'{"messages":[{"role":"user","content":"hi"}],"n":0}', 422),
    ],
)
async def test_a_bad_body_is_told_what_is_wrong_and_never_a_500(
    client: Client, body: bytes, status: int
) -> None:
    answer = await client().post("/v1/chat/completions", content=body)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]


async def test_a_422_lists_its_fields_as_fastapi_does(client: Client) -> None:
    answer = await client().post("/v1/chat/completions", json={})

    assert answer.json()["detail"] == [
        {"loc": ["body", "messages"], "msg": "Field required", "type": "missing"}
    ]


async def test_a_body_over_the_limit_is_refused_before_it_is_read(client: Client) -> None:
    parts_read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal parts_read
        while parts_read < 1000:
            parts_read += 1
            yield b" " * 10_000

    small = client(router=RouterConfig(max_body_mb=0.1))
    answer = await small.post("/v1/chat/completions", content=endless())

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    announced = await small.post("/v1/chat/completions", content=b" " * 100_001)
    assert announced.status_code == 413


@pytest.mark.parametrize(
    "path", ["/v1/models", "/api/v1/models", "/api/v1/tasks", "/api/v1/health/providers"]
)
async def test_every_route_but_the_public_ones_wants_a_key(client: Client, path: str) -> None:
    guarded = client(keys=keyring("right"))

    assert (await guarded.get(path)).status_code == 401
    assert (await guarded.get(path, headers={"x-api-key": "wrong"})).status_code == 401
    assert (await guarded.get(path, headers={"x-api-key": "right"})).status_code == 200
    assert (await guarded.get(path, headers={"authorization": "Bearer right"})).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/completions", "/v1/embeddings"])
async def test_the_hot_endpoints_want_a_key_whatever_the_host_header_says(client: Client, path: str) -> None:
    guarded = client(keys=keyring("right"))

    answer = await guarded.post(path, json=HI, headers={"host": "gateway/health?"})

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/", "/health", "/api/v1/health", "/docs", "/openapi.json"])
async def test_the_public_routes_want_none(client: Client, path: str) -> None:
    assert (await client(keys=keyring("right")).get(path)).status_code == 200


async def test_keys_that_are_configured_but_not_found_let_nobody_in(client: Client) -> None:
    answer = await client(keys=keyring("${NOWHERE}")).get("/v1/models", headers={"x-api-key": ""})

    assert answer.status_code == 401


async def test_a_bug_is_a_500_in_openais_shape_without_its_traceback(client: Client) -> None:
    answer = await client(None).post("/v1/chat/completions", json=HI)

    assert answer.status_code == 500
    assert "KeyError" not in answer.text
    assert answer.json()["error"]["code"] == "internal_error"


async def test_metrics_count_by_matched_route_and_never_by_path(client: Client) -> None:
    opened = client()
    for path in ("/nobody/1", "/nobody/2", "/v1/nothing"):
        await opened.get(path)
    await opened.post("/v1/chat/completions", json=HI)
    await opened.get("/api/v1/models")
    await opened.get("/api/admin/keys/some-id")

    text = (await opened.get("/metrics")).text

    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 3.0' in text
    assert 'http_requests_total{method="GET",route="/api/v1/models",status="200"} 1.0' in text
    assert 'route="/api/admin/keys/{id' in text
    assert 'http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'circuit_breaker_state{provider="first",state="closed"} 1.0' in text
    assert 'llm_cost_total{model="first-chat",provider="first"} 0.0' in text


async def test_the_timeout_header_must_be_a_positive_number(client: Client) -> None:
    for given in ("soon", "-1", "0", "nan", "inf"):
        answer = await client().post("/v1/chat/completions", json=HI, headers={"x-sekha-timeout": given})
        assert answer.status_code == 400, given


async def test_no_body_is_read_for_a_caller_without_a_key(client: Client) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 1000:
            read += 1
            yield b" " * 10_000

    guarded = client(keys=keyring("right"))
    answer = await guarded.post("/api/v1/route", content=endless())

    assert answer.status_code == 401
    assert read <= 1


async def test_the_routing_api_refuses_bodies_it_has_no_use_for(client: Client) -> None:
    answer = await client().post("/api/v1/route", content=b" " * 1_000_001)

    assert answer.status_code == 413


async def test_a_preflight_needs_no_key(client: Client) -> None:
    guarded = client(keys=keyring("right"))
    asked = {"origin": "http://page.example", "access-control-request-method": "POST"}

    answer = await guarded.options("/api/v1/route", headers=asked)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_task_that_cannot_be_written_down_is_refused_like_any_other(client: Client) -> None:
    headers = {"content-type": "application/json"}
    body = b'{"task": "' + b"\\ud800" + b'"}'

    answer = await client().post("/api/v1/route", content=body, headers=headers)

    assert answer.status_code == 400


async def test_a_model_is_found_by_both_its_names(client: Client) -> None:
    opened = client()

    for name in ("first-chat", "first/first-chat"):
        assert (await opened.get(f"/v1/models/{name}")).json()["id"] == "first-chat"
    assert (await opened.get("/v1/models/none")).json()["error"]["code"] == "model_not_found"


async def test_provider_health_says_what_the_upstream_said(client: Client) -> None:
    class Keyless(ListedProvider):
        async def health(self) -> Health:
            return Health(HealthStatus.UNHEALTHY, None, "it has no key", (), 0.0)

    shown = (await client(provider=Keyless(ANSWER)).get("/api/v1/health/providers")).json()

    assert shown["providers"]["first"]["status"] == "unhealthy"
    assert shown["providers"]["first"]["error"] == "it has no key"
    assert shown["providers"]["second"]["status"] == "healthy"
    assert shown["healthy_providers"] == 2, "a provider counts as healthy by its closed breaker"
    assert shown["providers"]["first"]["last_check"] == "1970-01-01T00:00:00.000Z"
    assert shown["providers"]["second"]["latency_ms"] == 0.0


async def test_provider_health_claims_nothing_of_an_upstream_that_nobody_asked(client: Client) -> None:
    class Dear(ListedProvider):
        async def health(self) -> Health:
            return Health(HealthStatus.UNKNOWN, None, None, (), 0.0)

    shown = (await client(provider=Dear(ANSWER)).get("/api/v1/health/providers")).json()

    first = shown["providers"]["first"]
    assert first["status"] == "healthy", "its breaker is closed"
    assert (first["latency_ms"], first["error"], first["last_check"]) == (None, None, None)


async def test_the_short_health_waits_for_nobody_and_shows_what_is_known(client: Client) -> None:
    opened = client()

    before = (await opened.get("/api/v1/health")).json()["providers"]["first"]
    await opened.get("/api/v1/health/providers")
    after = (await opened.get("/api/v1/health")).json()["providers"]["first"]

    assert (before["status"], before["latency_ms"]) == ("healthy", None)
    assert (after["status"], after["latency_ms"]) == ("healthy", 0.0)


async def test_a_caller_hears_which_parameters_the_target_did_not_get(client: Client) -> None:
    dropped = ("response_format", "seed")
    whole = await client(ANSWER._replace(dropped=dropped)).post("/v1/chat/completions", json=HI)
    stream = [StreamHead(0.1, dropped), FRAME, StreamEnd(Usage(10, 5), 0.2, 2)]
    streamed = await client(stream).post("/v1/chat/completions", json={**HI, "stream": True})

    for answer in (whole, streamed):
        assert answer.headers["x-sekha-dropped-params"] == "response_format, seed"
    told = orjson.loads(streamed.text.partition("\n")[0].removeprefix("data: "))
    for body in (whole.json(), told):
        assert body["sekha_metadata"]["routing"]["dropped_params"] == ["response_format", "seed"]


async def test_an_answer_that_dropped_nothing_says_nothing_about_it(client: Client) -> None:
    answer = await client().post("/v1/chat/completions", json=HI)

    assert "x-sekha-dropped-params" not in answer.headers
    assert "dropped_params" not in answer.json()["sekha_metadata"]["routing"]
