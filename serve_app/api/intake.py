"""
Reading of request bodies: with bounded size and time, unpacked, and counted.

A body is held once, in one piece, from its first byte until the end of its request.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from typing import NamedTuple, TypeVar

from serve_app.api.asgi import CallerGone, Receive, Scope, announced_length, header, printable, too_large
from serve_app.api.encodings import encoding_of, unpacked
from serve_app.api.in_flight import InFlight
from serve_app.caller import ANYONE, Caller
from serve_app.config.settings import RouterConfig
from serve_app.errors import InvalidRequest

T = TypeVar("T")

MEGABYTE = 1_000_000
LARGE = 250_000  # bytes; parsing a larger body would delay other requests


class Pace(NamedTuple):
    """
    The required speed of a body: within `total_s`, and after `grace_s` at `slowest` bytes/s on average.
    """

    total_s: float
    grace_s: float = 10.0
    slowest: float = 10_000.0

    def allowed_s(self, arrived: int) -> float:
        """Return the latest time for the piece after `arrived` bytes, in seconds from the body's start."""
        return min(self.total_s, self.grace_s + arrived / self.slowest)


class Intake:
    """The reader of one router's request bodies."""

    def __init__(self, config: RouterConfig) -> None:
        self.most = int(config.max_body_mb * MEGABYTE)
        self.pace = Pace(config.body_timeout_s)
        self.in_flight = InFlight(
            max(self.most, int(config.max_bodies_in_flight_mb * MEGABYTE)),
            max(self.most, int(config.max_bodies_per_key_mb * MEGABYTE)),
        )
        # One at a time: parsing holds the GIL anyway, and needs many times the body's memory.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="bodies")

    @asynccontextmanager
    async def body(
        self, scope: Scope, receive: Receive, caller: Caller = ANYONE, most: int | None = None
    ) -> AsyncIterator[bytes]:
        """
        Yield the whole body, unpacked, and count it until the block is left.

        Raises:
            InvalidRequest: 400 damaged, 408 too slow, 413 over `most` bytes or the configured limit, 415 of
                an unknown encoding, 417 for an expectation other than `100-continue`.
            TooMuchInFlight: 429 or 503, the bodies in flight leave no room.
            CallerGone: the connection was closed before the body was complete.
        """
        most = self.most if most is None else min(most, self.most)
        key = None if caller is ANYONE else (caller.tenant, caller.name)
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            self.in_flight.take(key, size)
            held += size

        try:
            encoding = _checked_head(scope)
            announced = announced_length(scope)
            if announced is not None:
                if announced > most:
                    raise too_large(most)
                self.in_flight.check(key, announced)
            raw = await read_body(receive, most, self.pace, hold)
            if encoding is not None:
                raw = await self._run(unpacked, raw, encoding, most)
                hold(len(raw))
            yield raw
        finally:
            self.in_flight.give_back(key, held)

    async def parsed(self, read: Callable[[bytes], T], raw: bytes, more: int = 0) -> T:
        """
        Return the result of `read` on a body; a large one is read in a thread, to not block the others.

        `more` are bytes that are read with it.
        """
        if len(raw) + more <= LARGE:
            return read(raw)
        return await self._run(read, raw)

    @contextmanager
    def holding(self, caller: Caller, size: int) -> Iterator[None]:
        """
        Count bytes that belong to a caller's body until the block is left.

        Raises:
            TooMuchInFlight: 429 or 503, the bodies in flight leave no room.
        """
        key = None if caller is ANYONE else (caller.tenant, caller.name)
        self.in_flight.take(key, size)
        try:
            yield
        finally:
            self.in_flight.give_back(key, size)

    async def _run(self, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, *given)


async def read_body(
    receive: Receive, most: int, pace: Pace, hold: Callable[[int], None] = lambda size: None
) -> bytes:
    """
    Return the whole body.

    `hold` is called with the size of each piece before it is kept, and may raise to refuse it.

    Raises:
        InvalidRequest: 408 if it arrives more slowly than `pace`, 413 as soon as it is over `most` bytes.
        CallerGone: the connection was closed before it was complete.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    whole: BytesIO | None = None
    size = 0
    try:
        async with asyncio.timeout_at(began + pace.allowed_s(0)) as limit:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise CallerGone
                piece = message.get("body", b"")
                size += len(piece)
                if size > most:
                    raise too_large(most)
                hold(len(piece))
                if not message.get("more_body", False):
                    break
                whole = whole or BytesIO()
                whole.write(piece)
                limit.reschedule(began + pace.allowed_s(size))
    except TimeoutError:
        raise InvalidRequest(
            f"The body did not arrive in time: {size:,} bytes in {loop.time() - began:.0f} s",
            code="request_timeout",
            status=408,
        ) from None
    if whole is None:
        return bytes(piece)
    whole.write(piece)
    return whole.getvalue()  # the buffer itself: nothing is copied


def _checked_head(scope: Scope) -> str | None:
    """Return the encoding in the head. Raises InvalidRequest for an unsupported encoding or expectation."""
    expected = header(scope, b"expect")
    if expected is not None and expected.strip().lower() != "100-continue":
        shown = printable(expected, 40)
        raise InvalidRequest(f"The expectation '{shown}' is not met here", code="invalid_request", status=417)
    return encoding_of(scope)
