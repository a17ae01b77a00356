"""The authority in the gateway's own process, for a gateway without Ray and for tests."""

import asyncio

from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.control.plane import Plane
from serve_app.control.port import Report, Snapshot, Totals


class LocalControl:
    """A `Control` around a plane in memory; its `watch` is what the control actor runs as well."""

    def __init__(self, plane: Plane, clock: Clock) -> None:
        self._plane = plane
        self._clock = clock
        self._news = asyncio.Event()

    async def hello(self, replica_id: str, settings: Settings, known: Snapshot) -> Snapshot:
        return self._told(self._plane.hello(replica_id, settings, known, self._clock.now()))

    async def report(self, report: Report) -> Snapshot:
        return self._told(self._plane.report(report, self._clock.now()))

    async def watch(self, generation: str, version: int, timeout_s: float) -> Snapshot:
        snapshot = self._plane.snapshot(self._clock.now())
        if (snapshot.generation, snapshot.version) == (generation, version):
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                pass
            snapshot = self._plane.snapshot(self._clock.now())
        return snapshot

    async def probe(self, provider_id: str) -> float | None:
        granted = self._plane.probe(provider_id, self._clock.now())
        self._wake()
        return granted

    async def totals(self) -> Totals:
        return self._plane.totals(self._clock.now())

    def _told(self, snapshot: Snapshot) -> Snapshot:
        self._wake()
        return snapshot

    def _wake(self) -> None:
        """Wake every watcher if there is something newer than what they sleep on."""
        if self._plane.version != self._woken_at:
            self._woken_at = self._plane.version
            self._news.set()
            self._news = asyncio.Event()

    _woken_at = 0
