"""The control actor without Ray: what it tells of budgets, over its own restarts too."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from serve_app import __version__
from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.config.storage import StorageConfig
from serve_app.control.capacity import Presence
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.control.protocol import Control, ControlUnreachable, Report, Snapshot
from serve_app.deployments import control
from serve_app.deployments.control import CALLS, ControlActor, ControlClient, ReadOnlyControlClient
from tests.support.entries import entry
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

WINDOW = {"limit": 10.0, "window": "total"}


@pytest.fixture
async def heard() -> AsyncIterator[tuple[str, list[Any]]]:
    """Where to post to, and what was posted."""
    posted: list[Any] = []

    async def hear(request: web.Request) -> web.Response:
        posted.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hear)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), posted


async def spend(actor: ControlActor, settings: Settings, number: int, dollars: float) -> None:
    """Say hello, and hand over one entry."""
    await actor.register("r", settings, Snapshot())
    spent = entry(number, journal="r", at=SystemClock().now(), cost=int(dollars * 1e9))
    await actor.report(Report("r", number, entries=(spent,)))


async def end(actor: ControlActor) -> None:
    await actor._webhook.stop()
    await actor._control.stop()


async def test_an_alert_goes_to_the_log_and_the_webhook_and_not_again_after_a_restart(
    heard: tuple[str, list[Any]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, posted = heard
    caplog.set_level(logging.INFO, "sekha")
    monkeypatch.setattr(
        "serve_app.deployments.control.configure_logs", lambda level: None
    )  # it is the test's
    storage = StorageConfig(folder=str(tmp_path))
    settings = two_providers(alerts={"webhook": url}, budgets=WINDOW)

    first = ControlActor("sekha", "INFO", storage)
    await spend(first, settings, 1, 8.0)
    await end(first)
    second = ControlActor("sekha", "INFO", storage)
    await spend(second, settings, 2, 1.5)
    await end(second)

    assert [alert["threshold"] for alert in posted] == [75, 90]
    assert [alert["current_usage"] for alert in posted] == [8.0, 9.5]
    assert (await second.totals()).tally.counters["sekha_budget_alerts", ("gateway", "90")] == 1
    assert "http" not in caplog.text


class Method:
    """A method of an actor, as a handle has it."""

    def __init__(self, answer: Any = None) -> None:
        self._answer = answer
        self.asked: list[Any] = []

    async def remote(self, *asked: Any) -> Any:
        self.asked.extend(asked)
        return self._answer


class Handle:
    """A control actor of some version."""

    def __init__(self, version: str) -> None:
        self.version = Method(version)
        self.heartbeat = Method()


async def test_a_visitor_speaks_to_the_authority_that_is_there_and_makes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there: dict[tuple[str, str], Handle] = {}

    def found(name: str, namespace: str) -> Handle:
        try:
            return there[name, namespace]
        except KeyError:
            raise ValueError(f"no actor '{name}'") from None  # as Ray says it

    monkeypatch.setattr(control.ray, "get_actor", found)
    visitor = ReadOnlyControlClient("sekha", "INFO", StorageConfig())
    presence = Presence("own#1", "own")

    with pytest.raises(ControlUnreachable):
        await visitor.heartbeat(presence)

    there["sekha-control:sekha", control.NAMESPACE] = Handle("1.0.0")
    with pytest.raises(ControlUnreachable):
        await visitor.heartbeat(presence)

    there["sekha-control:sekha", control.NAMESPACE] = newest = Handle(__version__)
    await visitor.heartbeat(presence)
    assert newest.heartbeat.asked == [presence]


def test_every_call_to_the_control_plane_reaches_the_actor_and_is_spelled_once() -> None:
    calls = {name for name in vars(Control) if not name.startswith("_")}

    assert set(CALLS) == calls
    for name in calls:
        assert callable(getattr(ControlActor, name))
        assert callable(getattr(ControlClient, name))
        assert callable(getattr(LocalControlPlane, name))
