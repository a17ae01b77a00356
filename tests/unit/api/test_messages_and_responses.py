"""Anthropic's clients and those of Responses at the door: keys, errors, headers, what goes on upstream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import orjson
import pytest

from serve_app.api.app import build_api
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.formats.openai_responses.events import frames_of
from serve_app.gateway import token_counter
from serve_app.observability.metrics import exposition
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call, StreamEnd, StreamHead
from serve_app.providers.catalogue.wire_format import WireFormat
from tests.support.clients import MESSAGES, PATHS, RESPONSES, Heard, body_for
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.keyrings import keyring
from tests.support.settings import two_providers
from tests.unit.api.test_limits import StillClock
from tests.unit.formats.anthropic_messages.samples import EVENTS, MESSAGE, stream_of
from tests.unit.providers.openai_compatible.test_response_frames import RESPONSE

pytestmark = pytest.mark.anyio

COUNT = "/v1/messages/count_tokens"
USAGE = Usage(12, 31)
VENDORS: Mapping[str, Mapping[str, Any]] = {
    MESSAGES: {"type": "anthropic", "api_key": "k"},
    RESPONSES: {"type": "openai", "api_key": "k", "formats": ["openai_chat", "openai_responses"]},
}
ANSWERS = {
    MESSAGES: Answer(orjson.dumps(MESSAGE), USAGE, 0.1, dropped=("top_k",)),
    RESPONSES: Answer(orjson.dumps(RESPONSE), USAGE, 0.1, dropped=("top_k",)),
}
STREAMS = {
    MESSAGES: [StreamHead(0.1), stream_of(*EVENTS[:4]), stream_of(*EVENTS[4:]), StreamEnd(USAGE, 0.1, 8)],
    RESPONSES: [StreamHead(0.1), frames_of(RESPONSE), StreamEnd(USAGE, 0.1, 8)],
}
SMALL = {"max_body_mb": 0.001}
WIRES = pytest.mark.parametrize("wire", [MESSAGES, RESPONSES])

Ask = Callable[..., Any]


class Caller:
    """A client of one format, and the provider behind the gateway that it asks."""

    def __init__(
        self, wire: str, provider: ListedProvider, http: httpx.AsyncClient, harness: Harness
    ) -> None:
        self.harness = harness
        self.wire = wire
        self.provider = provider
        self.http = http

    async def ask(self, streams: bool = False, headers: Any = None, **fields: Any) -> Heard:
        body = {**body_for(self.wire, "hi", streams), **fields}
        return await self.post(PATHS[self.wire], orjson.dumps(body), headers)

    async def post(self, path: str, content: bytes, headers: Any = None) -> Heard:
        answer = await self.http.post(path, content=content, headers=headers)
        return Heard(self.wire, answer.status_code, answer.headers, answer.content)


@pytest.fixture
async def caller() -> AsyncIterator[Callable[..., Caller]]:
    """Makes a caller of a gateway whose first provider gives this answer, or one that is well."""
    made: list[httpx.AsyncClient] = []

    def make(wire: str, answer: Any = None, keys: tuple[str, ...] = (), **more: Any) -> Caller:
        provider = more.pop("vendor", None) or ListedProvider(ANSWERS[wire] if answer is None else answer)
        providers = {"first": provider, "second": ListedProvider(answer or ANSWERS[wire])}
        vendor = {**VENDORS[wire], **more.pop("provider", {})}
        around, clock = more.pop("middlewares", ()), more.pop("clock", FakeClock())
        harness = Harness(two_providers(vendor, **more), providers, clock, middlewares=around)
        app = build_api(harness.running, keyring(*keys), exposition)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
        made.append(httpx.AsyncClient(transport=transport, base_url="http://localhost"))
        return Caller(wire, provider, made[-1], harness)

    yield make
    for opened in made:
        await opened.aclose()


Make = Callable[..., Caller]


# Whole answers and streams


@WIRES
async def test_a_whole_answer_says_who_gave_it_and_what_was_left_out(caller: Make, wire: str) -> None:
    asking = caller(wire)

    heard = await asking.ask(store=False)

    told = orjson.loads(heard.body)
    assert told.pop("sekha_metadata")["routing"]["provider_id"] == "first"
    assert told == orjson.loads(ANSWERS[wire].body)
    assert heard.headers["x-sekha-provider"] == "first"
    assert heard.headers["x-sekha-model"] == "first-chat"
    assert heard.headers["x-sekha-dropped-params"] == "top_k"
    assert asking.provider.calls[0].format is (
        WireFormat.ANTHROPIC_MESSAGES if wire == MESSAGES else WireFormat.OPENAI_RESPONSES
    )


@WIRES
async def test_the_metadata_can_be_switched_off(caller: Make, wire: str) -> None:
    heard = await caller(wire, routing={"metadata": False}).ask(store=False)

    assert heard.body == ANSWERS[wire].body


@WIRES
async def test_a_stream_tells_its_routing_once_where_a_client_finds_it(caller: Make, wire: str) -> None:
    heard = await caller(wire, STREAMS[wire]).ask(streams=True)

    assert heard.is_stream
    assert heard.shows_an_end
    assert heard.body.count(b"sekha_metadata") == 1
    first = heard.payloads[0]
    holder = first["message"] if wire == MESSAGES else first
    assert holder["sekha_metadata"]["routing"]["provider_id"] == "first"
    assert heard.headers["x-sekha-model"] == "first-chat"


@WIRES
async def test_a_stream_that_breaks_off_ends_with_an_error_of_its_format(caller: Make, wire: str) -> None:
    items = [*STREAMS[wire][:2], upstream_error("cut", "first", FailureKind.OVERLOADED)]
    items[1] = (
        stream_of(*EVENTS[:4]) if wire == MESSAGES else frames_of(RESPONSE)[:300].rpartition(b"event")[0]
    )

    heard = await caller(wire, items).ask(streams=True)

    assert heard.error is not None
    assert heard.error["code"] == "upstream_overloaded"
    assert not heard.shows_an_end


# Keys


@WIRES
@pytest.mark.parametrize("shown", [{"x-api-key": "k1"}, {"authorization": "Bearer k1"}])
async def test_a_key_is_taken_in_either_header(caller: Make, wire: str, shown: dict[str, str]) -> None:
    heard = await caller(wire, keys=("k1",)).ask(headers=shown)

    assert heard.status == 200


@pytest.mark.parametrize("path", [PATHS[MESSAGES], COUNT, PATHS[RESPONSES]])
@pytest.mark.parametrize("shown", [{}, {"x-api-key": "k2"}, {"authorization": "Bearer k2"}])
async def test_without_a_key_nobody_is_asked(caller: Make, path: str, shown: dict[str, str]) -> None:
    asking = caller(RESPONSES if path == PATHS[RESPONSES] else MESSAGES, keys=("k1",))

    heard = await asking.post(path, b"{}", shown)

    assert heard.status == 401
    assert heard.error is not None
    assert heard.headers["www-authenticate"] == "Bearer"
    assert asking.wire == RESPONSES or heard.error["type"] == "authentication_error"
    assert asking.provider.calls == []


@WIRES
async def test_a_key_of_the_callers_does_not_go_on_to_the_vendor(caller: Make, wire: str) -> None:
    asking = caller(wire, keys=("k1",))

    await asking.ask(headers={"x-api-key": "k1", "x-app": "cli", "anthropic-version": "2023-06-01"})

    assert {name for name, _ in asking.provider.calls[0].headers} <= {"anthropic-version"}


# Errors


FAULTY = [
    (b"{", 400, "invalid_request_error"),
    (b"[]", 400, "invalid_request_error"),
    (b"{}", 422, "invalid_request_error"),
    (b'{"messages":[{"role":"user","content":"hi"}],"input":"hi","max_tokens":"x","max_output_tokens":"x"}',
     422, "invalid_request_error"),
    (b'{"messages":[{"role":"user","content":"hi"}],"input":"hi","max_tokens":9,"model":"nobodys"}',
     404, "not_found_error"),
    (b" " * 2000, 413, "request_too_large"),
]  # fmt: skip


@WIRES
@pytest.mark.parametrize(("body", "status", "kind"), FAULTY)
async def test_what_is_wrong_is_said_in_the_format_of_the_caller(
    caller: Make, wire: str, body: bytes, status: int, kind: str
) -> None:
    heard = await caller(wire, router=SMALL).post(PATHS[wire], body, {"x-request-id": "r-7"})

    assert heard.status == status
    assert heard.error is not None
    assert heard.error["message"]
    if wire == MESSAGES:
        assert heard.error["type"] == kind
        assert heard.headers["request-id"] == "r-7"
    else:
        assert "detail" in orjson.loads(heard.body)


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [
        (FailureKind.RATE_LIMITED, 429, "rate_limit_error"),
        (FailureKind.OVERLOADED, 503, "overloaded_error"),
        (FailureKind.BROKEN, 502, "api_error"),
        (FailureKind.TIMEOUT, 504, "timeout_error"),
        (FailureKind.CONTEXT_LENGTH, 400, "invalid_request_error"),
    ],
)
async def test_a_failure_upstream_has_the_type_that_anthropics_clients_know(
    caller: Make, kind: FailureKind, status: int, type_: str
) -> None:
    error = upstream_error("no", "first", kind, retry_after_s=1.2)

    heard = await caller(MESSAGES, error, routing={"request_timeout": 1}).ask()

    assert heard.status == status
    assert heard.error is not None
    assert heard.error["type"] == type_
    assert heard.headers["retry-after"] == "2"
    assert heard.headers["x-sekha-provider"] == "first"
    assert heard.headers["request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", PATHS[MESSAGES], 405, "method_not_allowed"),
        ("POST", f"{PATHS[MESSAGES]}/batches", 404, "unknown_url"),
        ("GET", COUNT, 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
    ],
)
async def test_paths_that_are_not_there_answer_in_anthropics_shape(
    caller: Make, method: str, path: str, status: int, code: str
) -> None:
    answer = await caller(MESSAGES).http.request(method, path, headers={"anthropic-version": "2023-06-01"})

    assert answer.status_code == status
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["code"] == code
    assert answer.headers["request-id"]
    assert len(answer.headers.get_list("allow")) == (status == 405)


@pytest.mark.parametrize("path", [*PATHS.values(), COUNT])
async def test_a_slash_at_the_end_leads_nowhere_else(caller: Make, path: str) -> None:
    asking = caller(MESSAGES)

    plain, slashed = await asking.post(path, b"{}"), await asking.post(f"{path}/", b"{}")

    assert (slashed.status, slashed.body) == (plain.status, plain.body) == (422, plain.body)


async def test_the_id_of_a_request_is_told_once_and_goes_upstream(caller: Make) -> None:
    asking = caller(MESSAGES)

    heard = await asking.ask(headers={"x-request-id": "r-7"})
    nameless = await asking.ask()

    assert heard.headers.get_list("request-id") == ["r-7"]
    assert asking.provider.calls[0].request_id == "r-7"
    assert nameless.headers["request-id"] == asking.provider.calls[1].request_id != ""


async def test_a_bad_id_is_refused_and_not_repeated(caller: Make) -> None:
    heard = await caller(MESSAGES).ask(headers={"x-request-id": "x" * 200})

    assert heard.status == 400
    assert len(heard.headers["request-id"]) == 32


async def test_the_id_is_anthropics_header_alone(caller: Make) -> None:
    heard = await caller(RESPONSES).ask()

    assert "request-id" not in heard.headers


# Headers of the format


async def test_version_and_betas_go_on_as_they_were_sent(caller: Make) -> None:
    asking = caller(MESSAGES)

    await asking.ask(headers=[("anthropic-version", "2026-10-21"), ("anthropic-beta", "a-1,b-2"),
                              ("anthropic-beta", "c-3")])  # fmt: skip

    assert dict(asking.provider.calls[0].headers) == {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "a-1,b-2,c-3",
    }


@pytest.mark.parametrize("value", ["x" * 4097, "a\tb", b"\xff".decode("latin-1")])
async def test_betas_that_no_vendor_could_read_are_refused(caller: Make, value: str) -> None:
    asking = caller(MESSAGES)

    heard = await asking.ask(headers={"anthropic-beta": value.encode("latin-1")})

    assert heard.status == 400
    assert heard.error is not None
    assert heard.error["param"] == "anthropic-beta"
    assert asking.provider.calls == []


async def test_betas_say_nothing_to_other_formats(caller: Make) -> None:
    asking = caller(RESPONSES)

    await asking.ask(headers={"anthropic-beta": "a-1"})

    assert asking.provider.calls[0].headers == ()


# Tokens of a prompt


class CountingProvider(ListedProvider):
    """A provider whose vendor counts tokens: with this answer, or not at all."""

    def __init__(self, count: Answer | UpstreamError | BaseException | None) -> None:
        super().__init__(RuntimeError())
        self._count = count

    async def count_tokens(self, call: Call) -> Answer | UpstreamError:
        self.calls.append(call)
        if self._count is None:
            await asyncio.sleep(60)
        if isinstance(self._count, Answer | UpstreamError):
            return self._count
        assert self._count is not None
        raise self._count


COUNTED = Answer(b'{"input_tokens":7,"context_management":null}', Usage(7), 0.1)
PROMPT = b'{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "folder": "f"}'


async def test_tokens_are_counted_by_the_vendor_that_would_answer(caller: Make) -> None:
    vendor = CountingProvider(COUNTED)

    heard = await caller(MESSAGES, vendor=vendor).post(COUNT, PROMPT, {"anthropic-beta": "a-1"})

    assert heard.body == COUNTED.body
    assert heard.headers["x-sekha-token-count"] == "exact"
    assert (heard.headers["x-sekha-provider"], heard.headers["x-sekha-model"]) == ("first", "first-chat")
    [call] = vendor.calls
    assert (call.model, call.body, call.headers) == ("first-chat", PROMPT, (("anthropic-beta", "a-1"),))
    assert call.timeout_s == 5.0


@pytest.mark.parametrize(
    "count",
    [
        upstream_error("no", "first", FailureKind.OVERLOADED),
        upstream_error("no", "first", FailureKind.AUTH),
        ValueError("ours"),
        None,
    ],
    ids=["overloaded", "key refused", "bug", "silent"],
)
async def test_where_the_vendor_does_not_count_the_tokens_are_estimated(
    caller: Make, count: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_counter, "MOST_S", 0.05)
    asking = caller(MESSAGES, vendor=CountingProvider(count))

    heard = [await asking.post(COUNT, PROMPT) for _ in range(6)]

    assert [one.status for one in heard] == [200] * 6
    assert {one.headers["x-sekha-token-count"] for one in heard} == {"estimated"}
    assert orjson.loads(heard[0].body) == {"input_tokens": 1}
    assert not asking.harness.control.breakers.is_open("first")
    assert asking.harness.control.breakers.of("first").failure_count == 0


@pytest.mark.parametrize(
    "more",
    [
        {"provider": {"type": "vllm", "base_url": "http://h"}},
        {"middlewares": [lambda request, call: call(request)]},
    ],
    ids=["of another vendor", "behind a middleware"],
)
async def test_a_prompt_goes_to_no_vendor_that_counts_nothing_nor_past_a_middleware(
    caller: Make, more: dict[str, Any]
) -> None:
    vendor = CountingProvider(COUNTED)

    heard = await caller(MESSAGES, vendor=vendor, **more).post(COUNT, PROMPT)

    assert heard.headers["x-sekha-token-count"] == "estimated"
    assert vendor.calls == []


async def test_a_count_by_the_vendor_is_within_its_callers_rate_and_costs_nothing(caller: Make) -> None:
    limits = {"rates": [{"requests_per_minute": 2}], "budgets": [{"limit": 5}], "default_models": {}}
    priced = {"models": [{"model_id": "first-chat", "task": "chat_smart", "cost_per_1k_tokens": 0.001}]}
    asking = caller(
        MESSAGES,
        vendor=CountingProvider(COUNTED),
        provider=priced,
        clock=StillClock(1_000_050.5),
        **limits,
    )
    control = asking.harness.control
    await control.start()
    try:
        heard = [await asking.post(COUNT, PROMPT) for _ in range(3)]
    finally:
        await control.stop()

    assert [one.status for one in heard] == [200, 200, 429]
    assert heard[2].error is not None
    assert heard[2].error["type"] == "rate_limit_error"
    assert control.next_page()[1] == 1, "nothing was written into the ledger"


async def test_tokens_are_estimated_without_asking_anybody(caller: Make) -> None:
    sees = {"models": [{"model_id": "eye", "task": "chat_smart", "supports_vision": True}]}
    asking = caller(MESSAGES, provider=sees, default_models={})
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    text = {"type": "text", "text": "x" * 400}

    async def counted(*content: Any) -> int:
        body = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": list(content)}]})
        return int(orjson.loads((await asking.post(COUNT, body)).body)["input_tokens"])

    assert 100 <= await counted(text) <= 110
    assert await counted(text, image) - await counted(text) == 1600
    assert asking.provider.calls == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"{}", 422), (b'{"messages":[{"role":"user","content":"a"}],"model":"nobodys"}', 404)],
)
async def test_a_prompt_that_cannot_be_counted_is_an_error(caller: Make, body: bytes, status: int) -> None:
    heard = await caller(MESSAGES).post(COUNT, body)

    assert heard.status == status
    assert heard.error is not None
    assert heard.headers["request-id"]


# Models


async def test_models_are_listed_in_the_shape_that_a_client_expects(caller: Make) -> None:
    http = caller(MESSAGES).http
    version = {"anthropic-version": "2023-06-01"}

    theirs = (await http.get("/v1/models?limit=1000", headers=version)).json()
    one = (await http.get("/v1/models/first-chat", headers=version)).json()
    ours = (await http.get("/v1/models")).json()

    names = [model["id"] for model in ours["data"]]
    assert ours["object"] == "list"
    assert [model["id"] for model in theirs["data"]] == names
    assert (await http.get("/v1/models", headers=version)).headers["request-id"]
    assert (theirs["first_id"], theirs["last_id"], theirs["has_more"]) == (names[0], names[-1], False)
    assert one in theirs["data"]
    assert one.keys() == {"type", "id", "display_name", "created_at"}


async def test_a_model_that_is_not_there_is_an_error_in_the_shape_of_the_client(caller: Make) -> None:
    http = caller(MESSAGES).http

    theirs = await http.get("/v1/models/nobodys", headers={"anthropic-version": "2023-06-01"})
    ours = await http.get("/v1/models/nobodys")

    assert (theirs.status_code, ours.status_code) == (404, 404)
    assert ours.json()["error"]["code"] == "model_not_found"
    assert theirs.json()["error"]["type"] == "not_found_error"
