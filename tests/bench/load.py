"""
The callers, in a process of their own: `python -m tests.bench.load`; a Load on stdin, an Outcome on stdout.

Closed loop: each of `concurrency` callers sends its next request when the last one is answered.
Streams: `concurrency` callers open one stream each, evenly spread over the first second.
"""

import asyncio
import json
import resource
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter
from typing import cast

import uvloop

from tests.bench.upstream import TOKEN
from tests.bench.wire import KEY, Address, ResponseReader, chat_request

GRACE_S = 40.0  # how long after its due time an answer is still waited for
STALL_S = 1.0


@dataclass(frozen=True)
class Load:
    """
    What to send: for `seconds` in a closed loop, or streams of `tokens` when there are any; with this `key`.

    The loop runs `warm_up_s` before its answers count: the callers of a slow subject need a while to fall
    out of step, and all of them ask until the end, so neither end of the window distorts the rate.
    It begins at `starts_at`, on the clock that all processes share (`perf_counter`); streams begin at once.
    """

    url: str
    model: str
    concurrency: int
    seconds: float
    warm_up_s: float = 0.0
    tokens: int = 0
    key: str | None = KEY
    starts_at: float = 0.0

    @property
    def window(self) -> tuple[float, float]:
        """From when to when answers count."""
        since = self.starts_at + self.warm_up_s
        return since, since + self.seconds


@dataclass
class Tally:
    """What comes back, as it comes. `latencies` are of the closed loop, within the window; all in seconds."""

    answered: int = 0  # in the window or not
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    longest_gaps: list[float] = field(default_factory=list)
    stalled: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Outcome:
    """A tally in a few numbers; times in milliseconds."""

    answered: int
    in_window: int
    errors: dict[str, int]
    latency_p50_ms: float
    latency_p99_ms: float
    first_p50_ms: float
    first_p99_ms: float
    longest_gap_ms: float
    stalled: int
    tokens: int
    own_cpu_s: float

    @classmethod
    def of(cls, tally: Tally) -> "Outcome":
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(
            answered=tally.answered,
            in_window=len(tally.latencies),
            errors={kind: count for kind, count in tally.errors.items() if count},
            latency_p50_ms=percentile_ms(tally.latencies, 50),
            latency_p99_ms=percentile_ms(tally.latencies, 99),
            first_p50_ms=percentile_ms(tally.first_tokens, 50),
            first_p99_ms=percentile_ms(tally.first_tokens, 99),
            longest_gap_ms=max(tally.longest_gaps, default=float("nan")) * 1e3,
            stalled=tally.stalled,
            tokens=tally.tokens,
            own_cpu_s=used.ru_utime + used.ru_stime,
        )


def percentile_ms(seconds: Sequence[float], percent: int) -> float:
    """Not-a-number when there are none."""
    if len(seconds) < 2:
        return seconds[0] * 1e3 if seconds else float("nan")
    return quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1e3


class Caller(asyncio.Protocol):
    """One connection and the request on it; what happens to it goes into the tally."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self.request = request
        self.tally = tally
        self.reader = ResponseReader()
        self.waiting = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.send()

    def send(self) -> None:
        self.reader.reset()
        self.waiting = True
        self.sent_at = perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        try:
            body = self.reader.feed(data)
        except ValueError:
            self.fail("garbled")
            return
        self.arrived(body)
        if self.reader.complete:
            self.waiting = False
            self.answered()

    def arrived(self, body: bytes) -> None:
        """A piece of the body is here."""

    def answered(self) -> None:
        """The response is complete."""
        raise NotImplementedError

    def fail(self, reason: str) -> None:
        self.waiting = False
        self.tally.errors[reason] += 1
        self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self.waiting:
            self.tally.errors["cut off"] += 1
        if not self.closed.done():
            self.closed.set_result(None)


class LoopCaller(Caller):
    """Asks again until the time is up; what is answered after `since` and before `until` counts."""

    def __init__(self, request: bytes, tally: Tally, since: float, until: float) -> None:
        super().__init__(request, tally)
        self.since, self.until = since, until

    def answered(self) -> None:
        now = perf_counter()
        if self.reader.status == 200:
            self.tally.answered += 1
            if self.since <= now <= self.until:
                self.tally.latencies.append(now - self.sent_at)
        else:
            self.tally.errors[str(self.reader.status)] += 1
        if now < self.until and self.reader.keep_alive:
            self.send()
        else:
            self.transport.close()


class StreamCaller(Caller):
    """Opens one stream and watches its clock."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        super().__init__(request, tally)
        self.last_at = 0.0
        self.longest_gap = 0.0
        self.ended = False

    def arrived(self, body: bytes) -> None:
        tokens = body.count(TOKEN)
        self.ended = self.ended or b"[DONE]" in body
        if not tokens and not self.ended:
            return  # the opening event holds nothing that a reader would see
        now = perf_counter()
        if self.last_at:
            self.longest_gap = max(self.longest_gap, now - self.last_at)
        else:
            self.tally.first_tokens.append(now - self.sent_at)
        self.last_at = now
        self.tally.tokens += tokens

    def answered(self) -> None:
        if self.reader.status != 200:
            self.fail(str(self.reader.status))
        elif not self.ended:
            self.fail("truncated")
        else:
            self.tally.answered += 1
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.tally.longest_gaps.append(self.longest_gap)
        self.tally.stalled += self.longest_gap > STALL_S
        super().connection_lost(error)


async def keep_asking(load: Load, tally: Tally) -> None:
    """One caller of the closed loop; it connects anew when it is cut off."""
    since, until = load.window
    address, request = Address.of(load.url), chat_request(load.url, load.model, load.key)
    await asyncio.sleep(load.starts_at - perf_counter())
    loop = asyncio.get_running_loop()
    while perf_counter() < until:
        try:
            _, caller = await loop.create_connection(
                lambda: LoopCaller(request, tally, since, until), address.host, address.port
            )
        except OSError:
            tally.errors["refused"] += 1
            await asyncio.sleep(0.05)
        else:
            await caller.closed


async def read_a_stream(load: Load, tally: Tally, request: bytes, delay_s: float) -> None:
    address = Address.of(load.url)
    await asyncio.sleep(delay_s)
    try:
        _, caller = await asyncio.get_running_loop().create_connection(
            lambda: StreamCaller(request, tally), address.host, address.port
        )
    except OSError:
        tally.errors["refused"] += 1
    else:
        await caller.closed


async def run(load: Load) -> Outcome:
    tally = Tally()
    if load.tokens:
        options = {"include_usage": True}
        request = chat_request(
            load.url, load.model, stream=True, stream_options=options, max_tokens=load.tokens
        )
        callers = [read_a_stream(load, tally, request, n / load.concurrency) for n in range(load.concurrency)]
    else:
        callers = [keep_asking(load, tally) for _ in range(load.concurrency)]
    tasks = [asyncio.ensure_future(caller) for caller in callers]
    _, unfinished = await asyncio.wait(tasks, timeout=load.warm_up_s + load.seconds + GRACE_S)
    tally.errors["unanswered"] += len(unfinished)
    for task in unfinished:
        task.cancel()
    return Outcome.of(tally)


if __name__ == "__main__":
    print(json.dumps(vars(uvloop.run(run(Load(**json.load(sys.stdin)))))))
