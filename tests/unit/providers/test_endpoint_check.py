"""A look at an address that belongs to no configured provider."""

from collections.abc import Iterator

import pytest
from aiohttp import web

from serve_app.clock import SystemClock
from serve_app.providers.base import HealthStatus
from serve_app.providers.endpoint_check import look_at_endpoint
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


async def test_somebody_who_lists_models_is_well(upstream: ScriptedUpstream) -> None:
    upstream.recover()

    found = await look_at_endpoint(f"{upstream.url}/v1", SystemClock())

    assert found.status is HealthStatus.HEALTHY
    assert found.latency_ms is not None
    assert "authorization" not in upstream.last.headers


async def test_an_error_is_told_by_its_number_and_not_in_their_words(upstream: ScriptedUpstream) -> None:
    upstream.models_mode = {"status": 503}

    found = await look_at_endpoint(f"{upstream.url}/v1", SystemClock())

    assert (found.status, found.error) == (HealthStatus.UNHEALTHY, "It answers with HTTP status 503")


async def test_nobody_is_there() -> None:
    found = await look_at_endpoint("http://127.0.0.1:9/v1", SystemClock())

    assert found.status is HealthStatus.UNHEALTHY


async def test_a_redirect_is_not_followed(upstream: ScriptedUpstream) -> None:
    upstream.recover()
    upstream.requests.clear()

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound(f"{upstream.url}/v1/models")

    app = web.Application()
    app.router.add_get("/v1/models", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        found = await look_at_endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", SystemClock())
    finally:
        await runner.cleanup()

    assert (found.status, found.error) == (HealthStatus.UNHEALTHY, "It answers with HTTP status 302")
    assert upstream.requests == []
