"""How soon the upstream connection is closed after its caller has left, while everything else goes on."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from time import perf_counter

from tests.soak.gateway import WAYS
from tests.support.leaving import CHAT, MOMENTS, Moment, Visitor, question
from tests.support.upstream import ScriptedUpstream, last_text

LOOK_EVERY_S = 0.001
GIVE_UP_S = 10.0
NEVER = float("inf")

Connection = tuple[ScriptedUpstream, int]


class Meter:
    """
    Leaves one request after the other; `closed_after_s[way, moment]` is what it saw, NEVER for a leak.

    `late_s` is by how much it woke up too late while it looked, each time.
    """

    def __init__(self, url: str, upstreams: Sequence[ScriptedUpstream], rng: Random) -> None:
        self._url = url
        self._upstreams = upstreams
        self._rng = rng
        self.closed_after_s: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.late_s: list[float] = []

    async def keep_measuring(self, every_s: float) -> None:
        while True:
            for way, model in WAYS.items():
                for moment in MOMENTS:
                    await asyncio.sleep(every_s)
                    seconds = await self._measured(model, moment)
                    if seconds is not None:
                        self.closed_after_s[way, moment.name].append(seconds)

    async def _measured(self, model: str, moment: Moment) -> float | None:
        """None: the request did not come through to an upstream, because its provider was down."""
        mark = f"meter-{self._rng.randrange(10**12)}"
        body = question(model, {**moment.orders, "mark": mark}, stream=moment.stream)
        drops = self._rng.random() < 0.5
        try:
            async with Visitor(self._url, CHAT, body, moment.headers, drops_the_line=drops) as visitor:
                async with asyncio.timeout(GIVE_UP_S):
                    await visitor.ask()
                    if moment.hears:
                        await visitor.heard(moment.hears)
                    upstream, port = await self._arrived(mark)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return None
        left = looked = perf_counter()
        late_s = 0.0
        while port in upstream.open_connections and looked - left < GIVE_UP_S:
            await asyncio.sleep(LOOK_EVERY_S)
            late_s = max(late_s, perf_counter() - looked - LOOK_EVERY_S)
            looked = perf_counter()
        self.late_s.append(late_s)
        return looked - left if looked - left < GIVE_UP_S else NEVER

    async def _arrived(self, mark: str) -> Connection:
        """Where the request with this mark is, once it is there; the latest, if it was asked again."""
        while True:
            for upstream in self._upstreams:
                for seen in reversed(upstream.requests[-50:]):
                    if seen.json and mark in last_text(seen.json):
                        return upstream, seen.port
            await asyncio.sleep(LOOK_EVERY_S)


def as_json(closed_after_s: dict[tuple[str, str], list[float]]) -> dict[str, list[float]]:
    return {json.dumps(key): seconds for key, seconds in closed_after_s.items()}
