"""
Reading of request bodies: with bounded size and time, unpacked, and counted.

A body is held once, in one piece, from its first byte until the end of its request; the files of a form are
held on disk.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from typing import NamedTuple, TypeVar

from serve_app.api.asgi import CallerGone, Receive, Scope, announced_length, header, printable, too_large
from serve_app.api.encodings import encoding_of, unpacked
from serve_app.api.in_flight import InFlight
from serve_app.api.multipart import (
    MEBIBYTE,
    MOST_FIELD_BYTES,
    FormLimits,
    FormReader,
    boundary_of,
    too_large_file,
)
from serve_app.caller import ANYONE, Caller
from serve_app.config.settings import RouterConfig
from serve_app.errors import GatewayError, InvalidRequest
from serve_app.formats.form import Form

T = TypeVar("T")

MEGABYTE = 1_000_000
LARGE = 250_000  # bytes; parsing a larger body would delay other requests
FORM_OVERHEAD = 100_000  # bytes of boundaries and heads of parts

log = logging.getLogger("sekha.api")


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


class NoRoomForFile(GatewayError):
    """The folder for temporary files takes no more."""

    status = 503
    code = "no_room_for_file"
    kind = "server_error"
    retry_after_s = 5.0

    @property
    def message(self) -> str:
        return "The gateway has no room on its disk for this file at the moment; try again later"


class Intake:
    """The reader of one router's request bodies."""

    def __init__(self, config: RouterConfig) -> None:
        self.most = int(config.max_body_mb * MEGABYTE)
        self.pace = Pace(config.body_timeout_s)
        together = max(self.most, int(config.max_bodies_in_flight_mb * MEGABYTE))
        of_key = max(self.most, int(config.max_bodies_per_key_mb * MEGABYTE))
        self.in_flight = InFlight(together, of_key)
        file = min(int(config.max_upload_mb * MEBIBYTE), together, of_key)
        self.form_limits = FormLimits(file, file)
        self._most_of_form = file + MOST_FIELD_BYTES + FORM_OVERHEAD
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

    @asynccontextmanager
    async def form(self, scope: Scope, receive: Receive, caller: Caller = ANYONE) -> AsyncIterator[Form]:
        """
        Yield the form in the body, and count it until the block is left. Its files end with the block.

        Raises:
            InvalidRequest: 400 damaged, 408 too slow, 413 a file or the fields are too large, 415 not a form
                or compressed, 417 for an expectation other than `100-continue`.
            TooMuchInFlight: 429 or 503, the bodies in flight leave no room.
            NoRoomForFile: 503, the disk is full.
            CallerGone: the connection was closed before the body was complete.
        """
        reader = FormReader(boundary_of(scope), self.form_limits)
        key = None if caller is ANYONE else (caller.tenant, caller.name)
        held = 0

        async def feed(pieces: bytes) -> None:
            nonlocal held
            self.in_flight.take(key, len(pieces))
            held += len(pieces)
            try:
                await self._run(reader.feed, pieces)
            except OSError as error:
                log.error("an uploaded file cannot be written: %s", error)
                raise NoRoomForFile from error

        try:
            if (encoding := _checked_head(scope)) is not None:
                message = f"Content-Encoding '{encoding}' is not supported for forms; send the form as it is"
                raise InvalidRequest(message, code="unsupported_encoding", status=415)
            announced = announced_length(scope)
            if announced is not None:
                if announced > self._most_of_form:
                    raise too_large_file(None, self.form_limits)
                self.in_flight.check(key, announced)
            async for pieces in gathered(receive, self._most_of_form, self.pace):
                await feed(pieces)
            yield reader.form()
        finally:
            self._reader.submit(reader.close)  # in the thread that writes: it may still be writing
            self.in_flight.give_back(key, held)

    async def read_aside(self, read: Callable[[Form], T], form: Form) -> T:
        """Return the result of `read` on a form, whose files are read in a thread."""
        return await self._run(read, form)

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
        raise _too_slow(size, loop.time() - began) from None
    if whole is None:
        return bytes(piece)
    whole.write(piece)
    return whole.getvalue()  # the buffer itself: nothing is copied


async def gathered(receive: Receive, most: int, pace: Pace) -> AsyncIterator[bytes]:
    """
    Yield a body in pieces of about `LARGE` bytes.

    Raises:
        InvalidRequest: 408 if it arrives more slowly than `pace`, 413 as soon as it is over `most` bytes.
        CallerGone: the connection was closed before it was complete.
    """
    loop = asyncio.get_running_loop()
    began, size, more = loop.time(), 0, True
    waiting = bytearray()
    while more:
        try:
            async with asyncio.timeout_at(began + pace.allowed_s(size)):
                message = await receive()
        except TimeoutError:
            raise _too_slow(size, loop.time() - began) from None
        if message["type"] == "http.disconnect":
            raise CallerGone
        piece, more = message.get("body", b""), message.get("more_body", False)
        size += len(piece)
        if size > most:
            raise too_large(most)
        waiting += piece
        if waiting and (len(waiting) >= LARGE or not more):
            yield bytes(waiting)
            waiting.clear()


def _too_slow(size: int, took_s: float) -> InvalidRequest:
    message = f"The body did not arrive in time: {size:,} bytes in {took_s:.0f} s"
    return InvalidRequest(message, code="request_timeout", status=408)


def _checked_head(scope: Scope) -> str | None:
    """Return the encoding in the head. Raises InvalidRequest for an unsupported encoding or expectation."""
    expected = header(scope, b"expect")
    if expected is not None and expected.strip().lower() != "100-continue":
        shown = printable(expected, 40)
        raise InvalidRequest(f"The expectation '{shown}' is not met here", code="invalid_request", status=417)
    return encoding_of(scope)
