"""
The callers, in a process of their own: `python -m tests.chaos.load`.

Open loop: a request starts every 1/`per_s` seconds, whatever has become of the ones before it. On stdin
comes a Load as a line of JSON, and a newer one whenever it changes; the end of stdin ends the load. On stdout
goes every Request as a line of JSON, once it has ended. No request is ever sent twice.
"""

import asyncio
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import uvloop

from tests.bench.upstream import ANSWER, TOKEN

WAIT_S = 30.0  # an answer that takes longer has failed
TOKENS = 25  # half a second of stream
SENTENCE = json.loads(ANSWER)["choices"][0]["message"]["content"]


@dataclass(frozen=True)
class Load:
    """What to send, and where: to each URL in turn; every `stream_every`-th request is a stream."""

    urls: list[str]
    model: str
    per_s: float
    stream_every: int


@dataclass(frozen=True)
class Request:
    """
    One request that has ended; times on the machine's monotonic clock.

    `failure` is empty for a correct, whole answer and for nothing else.
    """

    started: float
    ended: float
    streamed: bool
    url: str
    provider: str = ""
    failure: str = ""


def body_of(load: Load, streamed: bool) -> dict[str, Any]:
    question = {"role": "user", "content": "How many pebbles lie on the shore?"}
    body: dict[str, Any] = {"model": load.model, "messages": [question]}
    return {**body, "stream": True, "max_tokens": TOKENS} if streamed else body


def fault_in(status: int, answer: bytes, streamed: bool) -> str:
    """What is wrong with an answer; nothing, as a rule."""
    if status != 200:
        return refusal(status, answer)
    if streamed:
        if b'"error"' in answer:
            return "error in the stream"
        if b"data: [DONE]" not in answer:
            return "stream without its end"
        return "" if answer.count(TOKEN) == TOKENS else "stream with words missing"
    try:
        said = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return "garbled answer"
    return "" if said == SENTENCE else "wrong answer"


async def ask(session: aiohttp.ClientSession, load: Load, url: str, streamed: bool) -> Request:
    """Send one request and read its answer to the end."""
    started, provider = time.monotonic(), ""
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body_of(load, streamed)) as response:
            provider = response.headers.get("x-sekha-provider", "")
            answer = await response.read()
            failure = fault_in(response.status, answer, streamed)
    except TimeoutError:
        failure = f"no answer within {WAIT_S:g} s"
    except aiohttp.ClientError as error:
        failure = type(error).__name__
    return Request(started, time.monotonic(), streamed, url, provider, failure)


def refusal(status: int, answer: bytes) -> str:
    """The status, and the code behind it where there is one."""
    try:
        return f"{status} {json.loads(answer)['error']['code']}"
    except (ValueError, KeyError, TypeError):
        return f"{status} {answer[:40].decode(errors='replace')!r}"


async def loads() -> asyncio.StreamReader:
    """The lines on stdin."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


class Callers:
    """Sends until told otherwise."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.enough = asyncio.Event()

    async def send(self) -> None:
        """By the clock and not by pauses: a late start does not delay the ones after it."""
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(WAIT_S)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as requests,
        ):
            due = time.monotonic()
            for number in itertools.count():
                try:
                    await asyncio.wait_for(self.enough.wait(), max(0.0, due - time.monotonic()))
                except TimeoutError:
                    due += 1 / self.load.per_s
                    requests.create_task(self.ask_one(session, number))
                else:
                    return

    async def ask_one(self, session: aiohttp.ClientSession, number: int) -> None:
        load = self.load
        url = load.urls[number % len(load.urls)]
        print(json.dumps(asdict(await ask(session, load, url, number % load.stream_every == 0))), flush=True)


async def main() -> None:
    lines = await loads()
    callers = Callers(Load(**json.loads(await lines.readline())))
    sending = asyncio.create_task(callers.send())
    async for line in lines:
        callers.load = Load(**json.loads(line))
    callers.enough.set()
    await sending


if __name__ == "__main__":
    uvloop.run(main())
