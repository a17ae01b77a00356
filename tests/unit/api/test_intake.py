"""Bodies come in within bounds: of size, of time, and of what is held at once."""

import asyncio
import gzip
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import orjson
import pytest
import zstandard

from serve_app.api.app import build_api
from serve_app.api.asgi import Message, Scope, announced_length
from serve_app.api.encodings import unpacked
from serve_app.api.in_flight import InFlight, TooMuchInFlight
from serve_app.api.intake import LARGE, Intake, Pace, read_body
from serve_app.caller import Caller
from serve_app.config.settings import RouterConfig
from serve_app.errors import InvalidRequest
from serve_app.observability.metrics import exposition
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.keyrings import keyring
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

HI = orjson.dumps({"messages": [{"role": "user", "content": "hi"}]})
QUICK = Pace(total_s=0.05, grace_s=0.05, slowest=1000)
ANN, BOB = Caller("acme", "ann"), Caller("acme", "bob")


def sent(*pieces: bytes, ends: bool = True) -> Callable[[], Awaitable[Message]]:
    """A `receive` that gives these pieces and then, unless it `ends`, nothing any more."""
    left = list(pieces)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or not ends}

    return receive


def head(**headers: str) -> Scope:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/v1/embeddings", "headers": named}


@pytest.fixture
def harness() -> Harness:
    answer = Answer(b'{"id":"1"}', Usage(10, 5), 0.1)
    return Harness(two_providers(), {n: ListedProvider(answer) for n in ("first", "second")}, FakeClock())


@pytest.fixture
async def client(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    app = build_api(harness.running, keyring(), exposition)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as made:
        yield made


# Time


@pytest.mark.parametrize("pieces", [[], [b"x"], [b"x" * 10]])
async def test_a_body_that_stops_coming_is_a_408(pieces: list[bytes]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await read_body(sent(*pieces, ends=False), 1000, QUICK)

    assert (refused.value.status, refused.value.code) == (408, "request_timeout")


def test_a_body_must_keep_a_pace_and_be_whole_in_the_end() -> None:
    pace = Pace(total_s=60, grace_s=10, slowest=10_000)

    assert [pace.allowed_s(size) for size in (0, 100_000, 32_000_000)] == [10, 20, 60]


async def test_a_body_in_many_pieces_is_whole() -> None:
    assert (
        await read_body(sent(b"a", b"", b"b" * 70_000, b"c"), 100_000, Pace(60))
        == b"a" + b"b" * 70_000 + b"c"
    )


# Room


async def held(intake: Intake, stack: AsyncExitStack, caller: Caller, size: int) -> bytes:
    return await stack.enter_async_context(intake.body(head(), sent(b" " * size), caller))


async def test_what_one_key_holds_leaves_room_for_another_and_is_free_in_the_end() -> None:
    intake = Intake(RouterConfig(max_body_mb=0.1, max_bodies_per_key_mb=0.2, max_bodies_in_flight_mb=0.3))
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await held(intake, stack, ANN, 100_000)
        with pytest.raises(TooMuchInFlight) as full:
            await held(intake, stack, ANN, 1)
        assert (full.value.status, full.value.retry_after_s) == (429, 1.0)
        await held(intake, stack, BOB, 100_000)
        with pytest.raises(TooMuchInFlight) as full:
            await held(intake, stack, BOB, 1)
        assert (full.value.status, full.value.retry_after_s) == (503, 1.0)
    assert intake.in_flight.total == 0

    async with AsyncExitStack() as stack:
        await held(intake, stack, ANN, 100_000)


async def test_a_body_that_was_refused_half_way_holds_nothing() -> None:
    intake = Intake(RouterConfig(max_body_mb=0.1))
    refused: Iterable[Any] = (sent(b" " * 60_000, b" " * 60_000), sent(b" " * 10, b"", ends=True))
    for receive in refused:
        with pytest.raises(InvalidRequest):
            async with intake.body(head(), receive, ANN):
                raise InvalidRequest("It is no JSON")

    assert intake.in_flight.total == 0


async def test_an_announced_body_that_has_no_room_is_not_read() -> None:
    intake = Intake(RouterConfig(max_body_mb=0.1, max_bodies_in_flight_mb=0.1))
    async with AsyncExitStack() as stack:
        await held(intake, stack, ANN, 50_000)
        with pytest.raises(TooMuchInFlight):
            async with intake.body(head(content_length="60000"), sent(ends=False), BOB):
                pass


def test_a_router_always_has_room_for_one_body() -> None:
    intake = Intake(RouterConfig(max_body_mb=2, max_bodies_in_flight_mb=1, max_bodies_per_key_mb=1))

    intake.in_flight.take("key", 2_000_000)


def test_a_key_that_holds_nothing_is_forgotten() -> None:
    room = InFlight(10, 5)
    room.take("key", 5)
    room.give_back("key", 5)

    assert not room._held


async def test_a_full_router_says_when_to_come_again() -> None:
    small = RouterConfig(max_body_mb=0.001, max_bodies_in_flight_mb=0.001)
    harness = Harness(two_providers(router=small), {}, FakeClock())
    app = build_api(harness.running, keyring(), exposition)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as opened:  # type: ignore[arg-type]
        begun = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b" " * 900
            begun.set()
            await asyncio.Event().wait()

        first = asyncio.create_task(opened.post("/v1/chat/completions", content=slowly()))
        await begun.wait()
        second = await opened.post("/v1/chat/completions", content=HI + b" " * 200)
        first.cancel()

    assert second.status_code == 503
    assert second.headers["retry-after"] == "1"
    assert second.json()["error"]["code"] == "bodies_in_flight"


# Encodings

PACKED = {
    "gzip": gzip.compress(HI),
    "x-gzip": gzip.compress(HI),
    "GZIP": gzip.compress(HI[:9]) + gzip.compress(HI[9:]) + b"\0\0",
    "zstd": zstandard.compress(HI),
    "Zstd": zstandard.compress(HI[:9]) + zstandard.compress(HI[9:]),
    "identity": HI,
    "": HI,
    "identity, gzip": gzip.compress(HI),
    "gzip , IDENTITY,": gzip.compress(HI),
    "identity,zstd, identity": zstandard.compress(HI),
    "identity, identity": HI,
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/route"])
@pytest.mark.parametrize("encoding", PACKED)
async def test_a_compressed_body_is_read_as_what_is_in_it(
    client: httpx.AsyncClient, harness: Harness, path: str, encoding: str
) -> None:
    packed = PACKED[encoding]
    if path == "/api/v1/route":
        plain = b'{"task":"chat_smart"}'
        packs = {"gzip": gzip.compress, "zstd": zstandard.compress}
        pack = next((pack for name, pack in packs.items() if name in encoding.lower()), bytes)
        packed = pack(plain)

    answer = await client.post(path, content=packed, headers={"content-encoding": encoding})

    assert answer.status_code == 200, answer.text
    if path == "/v1/chat/completions":
        assert harness.providers["first"].calls[0].body == HI


@pytest.mark.parametrize(
    ("encoding", "raw", "status", "code"),
    [
        ("br", HI, 415, "unsupported_encoding"),
        ("gzip, zstd", HI, 415, "unsupported_encoding"),
        ("gzip, identity, gzip", HI, 415, "unsupported_encoding"),
        ("identity, br", HI, 415, "unsupported_encoding"),
        ("gzip", HI, 400, "invalid_encoding"),
        ("gzip", gzip.compress(HI)[:-9], 400, "invalid_encoding"),
        ("gzip", gzip.compress(b"") * 20, 400, "invalid_encoding"),
        ("zstd", HI, 400, "invalid_encoding"),
        ("gzip", gzip.compress(b" " * 40_000_000, 1), 413, "request_too_large"),
        ("zstd", zstandard.compress(b" " * 40_000_000), 413, "request_too_large"),
    ],
    ids=[
        "br",
        "two",
        "twice",
        "br in a list",
        "no gzip",
        "half",
        "members",
        "no zstd",
        "gzip bomb",
        "zstd bomb",
    ],
)
async def test_what_cannot_be_unpacked_is_told_at_the_door(
    client: httpx.AsyncClient, encoding: str, raw: bytes, status: int, code: str
) -> None:
    answer = await client.post("/v1/chat/completions", content=raw, headers={"content-encoding": encoding})

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    if status == 415:
        assert answer.headers["accept-encoding"] == "gzip, zstd"


def test_a_zstd_body_may_not_ask_for_more_memory_than_the_web_allows() -> None:
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    ).compressobj()
    raw = wide.compress(b"x" * 100) + wide.flush()

    with pytest.raises(InvalidRequest) as refused:
        unpacked(raw, "zstd", 1000)

    assert refused.value.code == "invalid_encoding"


async def test_only_the_usual_expectation_is_met(client: httpx.AsyncClient) -> None:
    usual = await client.post("/v1/chat/completions", content=HI, headers={"expect": "100-Continue"})
    other = await client.post("/v1/chat/completions", content=HI, headers={"expect": "200-ok"})

    assert (usual.status_code, other.status_code) == (200, 417)


# JSON on every route


@pytest.mark.parametrize(
    "kind", [None, "application/x-www-form-urlencoded", "text/plain", "application/json"]
)
async def test_a_body_is_json_whatever_its_content_type_says(
    client: httpx.AsyncClient, kind: str | None
) -> None:
    headers = {} if kind is None else {"content-type": kind}

    answer = await client.post("/api/v1/route", content=b'\xef\xbb\xbf{"task":"chat_smart"}', headers=headers)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "raw",
    [b"{", b"[" * 100_000, b'{"task":' * 200, b'{"max_cost":NaN}', b'{"task":"\\ud800"}', b"\xff\xfe{\0}\0"],
)
async def test_a_body_that_is_no_json_is_a_400_on_every_route(client: httpx.AsyncClient, raw: bytes) -> None:
    for path in ("/api/v1/route", "/api/admin/budget", "/v1/chat/completions", "/v1/embeddings"):
        assert (await client.post(path, content=raw)).status_code == 400, path


@pytest.mark.parametrize(("length", "read"), [("²", None), ("-1", None), ("1_0", None), ("9" * 5000, 10**18)])
def test_a_length_is_a_plain_number_or_none(length: str, read: int | None) -> None:
    assert announced_length({"headers": [(b"content-length", length.encode("latin-1"))]}) == read


# The loop


async def test_a_large_body_is_read_beside_the_loop_and_a_small_one_on_it() -> None:
    intake = Intake(RouterConfig())

    def where(_: bytes) -> int:
        return threading.get_ident()

    assert await intake.parsed(where, b" ") == threading.get_ident()
    assert await intake.parsed(where, b" " * (LARGE + 1)) != threading.get_ident()


async def test_an_error_from_beside_the_loop_is_the_callers(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/chat/completions", content=b"[" + b" " * LARGE + b"]")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_zlib_streams_are_told_apart_from_gzip() -> None:
    with pytest.raises(InvalidRequest):
        unpacked(zlib.compress(HI), "gzip", 1000)
