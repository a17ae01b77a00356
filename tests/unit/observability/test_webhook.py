"""Alerts that are posted to somebody else: all of it, to nobody else, and without anyone waiting."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from serve_app.limits.allocator import BudgetAlert
from serve_app.limits.limit import Limit, Unit, Window
from serve_app.observability.webhook import WAITS_S, Webhook
from tests.support.clock import FakeClock
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

LIMIT = Limit("tenant:a/month", Unit.NANO_DOLLARS, Window.MONTH, 10_000_000_000)
ALERT = BudgetAlert(LIMIT, 90, 9_500_000_000, 1_788_220_800.0)


class Ear:
    """A server that takes alerts; it says these statuses, one a call, the last one again and again."""

    def __init__(self) -> None:
        self.statuses = [204]
        self.heard: list[Any] = []
        self.elsewhere = 0
        app = web.Application()
        app.router.add_post("/hook/s3cr3t", self._hear)
        app.router.add_route("*", "/elsewhere", self._strayed)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/hook/s3cr3t?token=s3cr3t"))

    async def _hear(self, request: web.Request) -> web.Response:
        self.heard.append(await request.json())
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def _strayed(self, request: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response()


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    """A server that is running."""
    it = Ear()
    await it.server.start_server()
    yield it
    await it.server.close()


def webhook(url: str, clock: FakeClock | None = None) -> Webhook:
    settings = two_providers(alerts={"webhook": "${ALERTS_URL}"})
    return Webhook(lambda: settings, {"ALERTS_URL": url}, clock or FakeClock())


async def test_an_alert_is_posted_with_the_documented_fields(ear: Ear) -> None:
    hook = webhook(ear.url)

    hook.tell(ALERT)
    assert ear.heard == [], "nobody waits for it"
    await hook.stop()

    [told] = ear.heard
    assert told == {
        "event": "budget_alert",
        "id": "tenant:a/month@1788220800/90/10000000000",
        "level": "critical",
        "threshold": 90,
        "current_usage": 9.5,
        "budget_limit": 10.0,
        "message": "90 % of the budget 'tenant:a/month' is spent",
        "budget": "tenant:a/month",
        "window": "month",
        "window_start": "2026-09-01T00:00:00+00:00",
    }


async def test_what_fails_is_tried_three_times_with_growing_waits(ear: Ear) -> None:
    ear.statuses = [500, 429, 200]
    clock = FakeClock()
    hook = webhook(ear.url, clock)
    started = clock.monotonic()

    hook.tell(ALERT)
    await hook.stop()

    assert len(ear.heard) == 3
    assert clock.monotonic() - started == sum(WAITS_S)


@pytest.mark.parametrize("status", [302, 307, 401, 503])
async def test_a_webhook_that_never_takes_it_is_given_up_and_its_address_not_shown(
    ear: Ear, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    ear.statuses = [status]
    hook = webhook(ear.url)

    with caplog.at_level(logging.ERROR, "sekha"):
        hook.tell(ALERT)
        await hook.stop()

    assert len(ear.heard) == 3
    assert ear.elsewhere == 0, "a redirect is not followed"
    [line] = caplog.messages
    assert line == (
        f"the alert on budget 'tenant:a/month' could not be posted to ${{ALERTS_URL}}: HTTP {status}"
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/s3cr3t", "s3cr3t", "file:///s3cr3t", "http://[s3cr3t/"])
async def test_an_address_that_leads_nowhere_is_logged_without_it(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    hook = webhook(url)

    with caplog.at_level(logging.ERROR, "sekha"):
        hook.tell(ALERT)
        await hook.stop()

    assert len(caplog.messages) == 1
    assert "s3cr3t" not in caplog.text


async def test_a_reference_to_nothing_is_logged_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    settings = two_providers(alerts={"webhook": "${NOT_SET}"})
    hook = Webhook(lambda: settings, {}, FakeClock())

    hook.tell(ALERT)
    await hook.stop()

    assert caplog.messages == ["alerts.webhook: ${NOT_SET} is not set"]


async def test_without_a_webhook_nothing_is_begun() -> None:
    hook = Webhook(two_providers, {}, FakeClock())
    before = asyncio.all_tasks()

    hook.tell(ALERT)
    Webhook(lambda: None, {}, FakeClock()).tell(ALERT)

    assert asyncio.all_tasks() == before
    await hook.stop()


async def test_who_stops_does_not_wait_for_a_webhook_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silence:
        hook = webhook(f"http://127.0.0.1:{silence.getsockname()[1]}/")
        before = asyncio.all_tasks()

        hook.tell(ALERT)
        await hook.stop(within_s=0.05)

        assert asyncio.all_tasks() == before
