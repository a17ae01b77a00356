"""The callers of a soak: they come by chance, so many a second, and write down what they get."""

import asyncio
import json
from collections import Counter, defaultdict
from random import Random
from time import monotonic

import aiohttp

from tests.soak.traffic import KINDS, Kind
from tests.support.leaving import leave_somewhere

ANSWERED, LEFT = "answered", "left"
PATIENCE_S = 60.0
MOST_AT_ONCE = 150  # one more waits outside: a gateway that hangs must not fill the machine with callers
LEAVE_WITHIN_S = 0.6


class Callers:
    """Everybody who asks; `outcomes` is how it ended, by kind of request."""

    def __init__(self, url: str, per_s: float, rng: Random) -> None:
        self._url = url
        self._per_s = per_s
        self._rng = rng
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)

    @property
    def count(self) -> int:
        return sum(counted.total() for counted in self.outcomes.values())

    @property
    def unexplained(self) -> dict[str, int]:
        """What no fault of an upstream explains, by kind and outcome."""
        return {
            f"{kind.name}: {outcome}": count
            for kind in KINDS
            for outcome, count in self.outcomes[kind.name].items()
            if not _is_explained(kind, outcome)
        }

    async def keep_coming(self, seconds: float) -> None:
        """For so long, and until the last of them has gone."""
        weights = [kind.weight for kind in KINDS]
        due = monotonic()
        until = due + seconds
        timeout = aiohttp.ClientTimeout(PATIENCE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            while due < until:
                due += self._rng.expovariate(self._per_s)
                await asyncio.sleep(due - monotonic())
                await self._places.acquire()
                kind = self._rng.choices(KINDS, weights)[0]
                group.create_task(self._come(session, kind))

    async def _come(self, session: aiohttp.ClientSession, kind: Kind) -> None:
        try:
            self.outcomes[kind.name][await self._ask(session, kind)] += 1
        finally:
            self._places.release()

    async def _ask(self, session: aiohttp.ClientSession, kind: Kind) -> str:
        body = kind.body(self._rng)
        try:
            if kind.leaves:
                await leave_somewhere(self._url, kind.path, body, LEAVE_WITHIN_S, self._rng)
                return LEFT
            async with session.post(self._url + kind.path, json=body, headers=kind.headers) as answer:
                return outcome_of(answer.status, await answer.read(), streamed=bool(body.get("stream")))
        except TimeoutError:
            return "no answer"
        except (aiohttp.ClientError, OSError) as error:
            return f"connection: {type(error).__name__}"


def outcome_of(status: int, body: bytes, *, streamed: bool) -> str:
    """In a few words, of which there are not too many."""
    if status != 200:
        return f"{status} {_code(body)}"
    if not streamed:
        return ANSWERED if b'"choices"' in body or b'"embedding"' in body else "garbled"
    if body.endswith(b"data: [DONE]\n\n"):
        return ANSWERED
    last = body.rstrip().rpartition(b"data: ")[2]
    return f"broke off, told: {_code(last)}" if b'"error"' in last else "broke off without a word"


def _code(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return str(error["code"] or error["type"])
    except (ValueError, KeyError, TypeError):
        return "without a reason"


def _is_explained(kind: Kind, outcome: str) -> bool:
    if outcome in (ANSWERED, LEFT):
        return kind.good
    if kind.good:
        return outcome.startswith(("502 ", "503 ", "504 ", "429 ", "broke off, told"))
    return outcome.startswith("4")
