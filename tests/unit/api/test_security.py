"""Every route there is, against callers who should not get in."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from serve_app.api.app import PUBLIC, Dispatcher, build_api
from serve_app.api.auth import Keyring
from serve_app.api.guarded import Guarded
from serve_app.observability.metrics import exposition
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.keyrings import keyring
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

HI = {"messages": [{"role": "user", "content": "hi"}]}
HOSTILE = ["gateway/health?", "gateway/docs#", "x/health@gateway", "gateway:80/openapi.json", "[::1]/", ""]


def app_for(keys: Keyring) -> Dispatcher:
    harness = Harness(
        two_providers(), {n: ListedProvider(RuntimeError()) for n in ("first", "second")}, FakeClock()
    )
    app = build_api(harness.running, keys, exposition)
    assert isinstance(app, Dispatcher)
    return app


def routes_of(app: Dispatcher) -> Iterator[tuple[str, str]]:
    """Method and path of everything that can be reached, as the application itself lists it."""
    yield from (("POST", path) for path in app._hot)
    guarded = app._rest
    assert isinstance(guarded, Guarded)
    fast: FastAPI = guarded._app
    listed = fast.openapi()["paths"]
    yield from ((method.upper(), path) for path, item in listed.items() for method in item)
    for route in fast.routes:  # those too that are not documented
        contexts = getattr(route, "effective_route_contexts", lambda route=route: [route])()
        yield from ((method, of.path) for of in contexts for method in of.methods - {"HEAD"})


ROUTES = sorted(
    {
        (m, p.replace("{name:path}", "x").replace("{name}", "x"))
        for m, p in routes_of(app_for(keyring("right")))
    }
)
CLOSED = [(method, path) for method, path in ROUTES if path not in PUBLIC]


@pytest.fixture
async def guarded() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(WITH_A_USER, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def test_the_list_of_routes_is_not_empty() -> None:
    assert {path for _, path in CLOSED} >= {"/v1/chat/completions", "/v1/models", "/metrics", "/api/v1/route"}


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_no_route_but_the_public_ones_is_reached_without_a_key(
    guarded: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await guarded.request(method, path, json=HI)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_no_host_header_makes_a_route_public(
    guarded: httpx.AsyncClient, method: str, path: str
) -> None:
    more = {"x-original-url": "/health", "x-forwarded-prefix": "/docs"}

    statuses = {
        host: (
            await guarded.request(
                method, path, json=HI, headers={"host": host, "x-forwarded-host": host, **more}
            )
        ).status_code
        for host in HOSTILE
    }

    assert statuses == dict.fromkeys(HOSTILE, 401)


@pytest.mark.parametrize(
    "path",
    [
        "/health/../metrics",
        "/health/..%2fmetrics",
        "/docs/../v1/models",
        "/v1/models?x=/health",
        "/METRICS",
    ],
)
async def test_no_spelling_of_a_path_makes_it_public(guarded: httpx.AsyncClient, path: str) -> None:
    assert (await guarded.get(path)).status_code == 401


# Made once: FastAPI takes its time over so many routes.
OPEN: Any = app_for(keyring())
WITH_A_USER: Any = app_for(keyring("right"))
WITH_A_READER: Any = app_for(keyring(api_keys=[{"key": "reads", "role": "read"}], admin_keys=["admin"]))

ADMINS = [(method, path) for method, path in CLOSED if path.startswith("/api/admin/")]
CHANGING = [(m, p) for m, p in ADMINS if m != "GET" and p != "/api/admin/login"]


async def asked(app: Any, method: str, path: str, key: str | None, host: str = "localhost") -> int:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"host": host, "x-forwarded-host": host, **({"x-api-key": key} if key else {})}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return (await client.request(method, path, json={}, headers=headers)).status_code


def test_the_admin_api_is_among_the_routes() -> None:
    assert {("POST", "/api/admin/keys"), ("POST", "/api/admin/vllm/endpoint")} <= set(CHANGING)
    assert ("GET", "/api/admin/audit") in ADMINS


@pytest.mark.parametrize(("method", "path"), ADMINS)
async def test_no_admin_route_is_open_where_no_key_is_configured(method: str, path: str) -> None:
    assert await asked(OPEN, method, path, None) == 401
    assert await asked(OPEN, method, path, "anything") == 401


@pytest.mark.parametrize(("method", "path"), ADMINS)
async def test_no_host_header_makes_a_user_an_admin(method: str, path: str) -> None:
    assert {await asked(WITH_A_USER, method, path, "right", host) for host in HOSTILE} == {403}


@pytest.mark.parametrize(("method", "path"), CHANGING)
async def test_who_may_read_changes_nothing(method: str, path: str) -> None:
    assert await asked(WITH_A_READER, method, path, "reads") == 403


async def test_errors_of_the_admin_api_have_its_shape_even_where_nothing_is(
    guarded: httpx.AsyncClient,
) -> None:
    answer = await guarded.get("/api/admin/costs")

    assert answer.status_code == 401
    assert answer.json()["code"] == "AUTHENTICATION_REQUIRED"
    assert set(answer.json()) == {"code", "message", "details", "detail"}


async def test_a_key_that_may_only_read_gets_no_answer_from_a_model() -> None:
    app: Any = app_for(keyring(api_keys=[{"key": "reads", "role": "read"}]))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/v1/chat/completions", json=HI, headers={"x-api-key": "reads"})

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"


async def test_a_caller_sees_the_models_it_may_use_and_no_other() -> None:
    tenants = [{"id": "a", "models": ["second-chat"]}]
    app: Any = app_for(keyring(api_keys=[{"key": "mine", "tenant": "a"}], tenants=tenants))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"x-api-key": "mine"}
    ) as client:
        listed = (await client.get("/v1/models")).json()["data"]
        entries = (await client.get("/api/v1/models")).json()
        other = await client.get("/v1/models/first-chat")
        named = await client.post("/v1/chat/completions", json={**HI, "model": "first-chat"})
        routed = await client.post("/api/v1/route", json={"task": "chat_smart"})

    assert [model["id"] for model in listed] == ["second-chat"]
    assert [entry["model_id"] for entry in entries] == ["second-chat"]
    assert other.status_code == 404
    assert "first-chat" not in other.text.replace("'first-chat' does not exist", "")
    assert (named.status_code, named.json()["error"]["code"]) == (403, "model_not_allowed")
    assert routed.json()["model_id"] == "second-chat"


async def test_a_question_to_the_router_names_models_and_providers_as_a_request_does() -> None:
    app: Any = app_for(keyring())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

        async def routed(**fields: Any) -> tuple[int, str]:
            answer = await client.post("/api/v1/route", json={"task": "chat_smart", **fields})
            return answer.status_code, answer.json().get("model_id", answer.text)

        assert await routed(model="second-chat") == (200, "second-chat")
        assert await routed(models=["second-chat", "first-chat"]) == (200, "second-chat")
        assert await routed(provider={"ignore": ["first"], "sort": "price"}) == (200, "second-chat")
        assert (await routed(model="first-chat", provider={"ignore": ["first"]}))[0] == 400
        assert (await routed(model="third-chat"))[0] == 404
        for wrong in ({"models": "a"}, {"provider": {"allow_fallbacks": "no"}}, {"data_policy": "strict"}):
            assert (await routed(**wrong))[0] == 422
