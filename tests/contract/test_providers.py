"""
One contract for every provider: the same scenarios, over real HTTP where there is an upstream.

`REMOTE` are the adapters that speak to somebody: the wire as three vendors use it, and LiteLLM as a
translator to Anthropic. `LOCAL` is a model in our own process, whose engine has the same upstream answer for
it; it has no headers, no key and no connection, so nothing is asked about those. `EVERYONE` is all of them
and the simulator.
"""

import asyncio
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path
from typing import Any

import psutil
import pytest

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import (
    FailureKind,
    ProviderAuthError,
    ProviderError,
    ProviderRateLimitError,
    ProviderTimeoutError,
    UpstreamError,
)
from serve_app.providers.base import Answer, Call, Health, Provider, StreamEnd, StreamHead
from serve_app.providers.vllm_engine import LocalProvider
from tests.support.engine import HttpEngine
from tests.support.items import chunks_in, items_of, text_in
from tests.support.providers import chat_provider
from tests.support.upstream import ScriptedUpstream

pytestmark = [
    pytest.mark.anyio,
    # LiteLLM's types are loaded when they are first used, and pydantic has something to say about them.
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
]

WIRE = ["openai", "ollama", "vllm"]
REMOTE = [*WIRE, "anthropic"]
LOCAL = "local"
ANSWERED = [*REMOTE, LOCAL]  # by the scripted upstream, in one way or the other
EVERYONE = [*ANSWERED, "scripted"]
KEY = "sk-canary-0123456789"
MODEL = "gpt-4o-mini"
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture
async def provider(request: pytest.FixtureRequest, upstream: ScriptedUpstream) -> AsyncIterator[Provider]:
    """The provider whose type is the test's parameter, pointed at the upstream."""
    suffix = "/v1" if request.param == "hosted_vllm" else ""  # a type without a row: LiteLLM adds no version
    built = build(request.param, upstream.url + suffix)
    upstream.requests.clear()
    yield built
    upstream.recover()
    await built.aclose()


def build(type_: str, url: str, environ: dict[str, str] | None = None, **fields: Any) -> Provider:
    if type_ == LOCAL:
        model = {"model_id": MODEL, "task": "chat_small"}
        hosted = ProviderConfig.model_validate({"id": "p", "type": "vllm", "models": [model], "local": {}})
        return LocalProvider(hosted, HttpEngine(url), SystemClock())
    models = [{"model_id": MODEL, "task": "chat_small"}, {"model_id": "embedder", "task": "embedding"}]
    config = {"id": "p", "type": type_, "base_url": url, "api_key": KEY, "timeout": 5, "models": models}
    return chat_provider(ProviderConfig(**{**config, **fields}), environ or {}, SystemClock())


def call(
    text: str,
    timeout_s: float = 5,
    wants_usage: bool = False,
    first_byte_s: float = inf,
    idle_s: float = 5,
    **fields: Any,
) -> Call:
    body = {"model": "whatever", "messages": [{"role": "user", "content": text}], **fields}
    if wants_usage:
        body["stream_options"] = {"include_usage": True}
    return Call(MODEL, json.dumps(body).encode(), timeout_s, "req-1", wants_usage, first_byte_s, idle_s)


def orders(**what: Any) -> str:
    return f"hi [[{json.dumps(what)}]]"


async def until(condition: Any) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 (the upstream lives in another thread)
            await asyncio.sleep(0.01)


# What works


@pytest.mark.parametrize("provider", EVERYONE, indirect=True)
async def test_answers_in_openais_words(provider: Provider) -> None:
    answer = await provider.chat(call("good morning"))

    assert isinstance(answer, Answer)
    body = json.loads(answer.body)
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert "good morning" in body["choices"][0]["message"]["content"]
    assert body["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("provider", EVERYONE, indirect=True)
@pytest.mark.contract(75)
async def test_a_stream_says_the_same_as_a_whole_answer(provider: Provider) -> None:
    answer = await provider.chat(call("tell me a story"))
    items = await items_of(provider, call("tell me a story"))

    assert isinstance(answer, Answer)
    assert text_in(items) == json.loads(answer.body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("provider", EVERYONE, indirect=True)
async def test_a_stream_is_a_head_then_whole_frames_then_an_end(provider: Provider) -> None:
    first, *blocks, last = await items_of(provider, call("tell me a story"))

    assert isinstance(first, StreamHead)
    assert isinstance(last, StreamEnd)
    assert all(isinstance(block, bytes) and block.endswith(b"\n\n") for block in blocks)
    assert b"[DONE]" not in b"".join(block for block in blocks if isinstance(block, bytes))
    assert last.output_chars > 0


@pytest.mark.parametrize("provider", EVERYONE, indirect=True)
async def test_tells_the_same_usage_with_and_without_a_stream(provider: Provider) -> None:
    answer = await provider.chat(call("one two three"))
    *_, end = await items_of(provider, call("one two three"))

    assert isinstance(answer, Answer)
    assert isinstance(end, StreamEnd)
    assert answer.usage is not None
    assert answer.usage.input_tokens == 3
    assert end.usage == answer.usage


@pytest.mark.parametrize("provider", [*WIRE, "hosted_vllm"], indirect=True)
async def test_a_usage_that_is_not_told_is_counted_with_the_models_tokenizer(provider: Provider) -> None:
    untold = call(orders(no_usage=True) + " tell me a story about counting")

    answer = await provider.chat(untold)
    *_, end = await items_of(provider, untold)

    assert isinstance(answer, Answer)
    assert isinstance(end, StreamEnd)
    assert answer.usage is not None
    assert answer.usage.estimated
    assert 10 < answer.usage.input_tokens < 40
    assert 5 < answer.usage.output_tokens < 40
    assert end.usage == answer.usage


@pytest.mark.parametrize("provider", [*WIRE, LOCAL], indirect=True)
async def test_a_usage_that_nobody_can_count_is_none(provider: Provider) -> None:
    untold = call(orders(no_usage=True))._replace(model="some-llama")

    answer = await provider.chat(untold)
    *_, end = await items_of(provider, untold)

    assert isinstance(answer, Answer)
    assert isinstance(end, StreamEnd)
    assert answer.usage is end.usage is None
    assert answer.output_chars > 0 < end.output_chars


@pytest.mark.parametrize("provider", EVERYONE, indirect=True)
async def test_shows_the_usage_to_a_caller_who_asked_for_it(provider: Provider) -> None:
    chunks = chunks_in(await items_of(provider, call("one two three", wants_usage=True)))

    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize("provider", EVERYONE, indirect=True)
async def test_hides_the_usage_from_a_caller_who_did_not_ask(provider: Provider) -> None:
    chunks = chunks_in(await items_of(provider, call("one two three")))

    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)


@pytest.mark.parametrize("provider", EVERYONE, indirect=True)
async def test_calls_the_tool_it_is_told_to_call(provider: Provider) -> None:
    answer = await provider.chat(call("rain?", tools=[TOOL], tool_choice="required"))

    assert isinstance(answer, Answer)
    choice = json.loads(answer.body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "weather"


@pytest.mark.parametrize("provider", [*WIRE, LOCAL, "scripted", "hosted_vllm"], indirect=True)
async def test_embeds_one_text_or_several(provider: Provider) -> None:
    one = await provider.embed(Call("embedder", b'{"input":"a cat"}', 5))
    several = await provider.embed(Call("embedder", b'{"input":["a cat","a dog"]}', 5))

    assert isinstance(one, Answer)
    assert isinstance(several, Answer)
    assert one.usage is not None
    assert one.usage.input_tokens > 0
    vectors = [row["embedding"] for row in json.loads(several.body)["data"]]
    assert vectors[0] == json.loads(one.body)["data"][0]["embedding"]
    assert vectors[0] != vectors[1]


# What reaches the upstream


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
async def test_unknown_fields_reach_the_upstream(provider: Provider, upstream: ScriptedUpstream) -> None:
    answer = await provider.chat(call("hi", top_k=7, brand_new={"a": [1, None]}, temperature=0.5))

    assert isinstance(answer, Answer)
    assert upstream.last.json["top_k"] == 7
    if "brand_new" not in answer.dropped:
        assert upstream.last.json["brand_new"] == {"a": [1, None]}
    assert upstream.last.json["temperature"] == 0.5
    assert upstream.last.json["model"] == MODEL


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
async def test_hints_to_the_gateway_stay_here(provider: Provider, upstream: ScriptedUpstream) -> None:
    await provider.chat(call("hi", preferred_model="x", require_vision=True, max_cost=1, context_size=9))

    assert not {"preferred_model", "require_vision", "max_cost", "context_size"} & set(upstream.last.json)


@pytest.mark.parametrize("provider", [*WIRE, LOCAL], indirect=True)
@pytest.mark.contract(74)
async def test_the_upstream_receives_the_images(provider: Provider, upstream: ScriptedUpstream) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}}
    content = [{"type": "text", "text": "what is this"}, image]
    body = {"model": "x", "messages": [{"role": "user", "content": content}]}

    answer = await provider.chat(Call(MODEL, json.dumps(body).encode(), 5))

    assert isinstance(answer, Answer)
    assert upstream.last.json["messages"][0]["content"] == content


@pytest.mark.parametrize("provider", [*WIRE, LOCAL], indirect=True)
async def test_a_stream_always_asks_for_its_usage(provider: Provider, upstream: ScriptedUpstream) -> None:
    await items_of(provider, call("hi", stream_options={"include_obfuscation": False}))

    assert upstream.last.json["stream"] is True
    assert upstream.last.json["stream_options"] == {"include_obfuscation": False, "include_usage": True}


@pytest.mark.parametrize("provider", WIRE, indirect=True)
async def test_a_connection_is_used_again_even_after_a_stream(
    provider: Provider, upstream: ScriptedUpstream
) -> None:
    for _ in range(3):
        await items_of(provider, call("hi"))
        await provider.chat(call("hi"))

    assert len({seen.port for seen in upstream.requests}) == 1


@pytest.mark.parametrize("provider", ["anthropic"], indirect=True)
async def test_a_caller_cannot_steer_the_translator(provider: Provider, upstream: ScriptedUpstream) -> None:
    steering = {
        "api_base": "http://127.0.0.1:9",
        "base_url": "http://127.0.0.1:9",
        "api_key": "stolen",
        "mock_response": "forged",
        "mock_tool_calls": [{"id": "forged"}],
        "callbacks": ["forged"],
        "success_callback": ["forged"],
        "failure_callback": ["forged"],
        "cache_control_injection_points": [{"location": "message", "role": "user"}],
        "custom_llm_provider": "openai",
        "extra_headers": {"x-forged": "1"},
        "headers": {"x-forged": "1"},
        "aws_bedrock_runtime_endpoint": "http://127.0.0.1:9",
    }

    answer = await provider.chat(call("hi", **steering))

    assert isinstance(answer, Answer)
    assert b"forged" not in answer.body
    assert upstream.last.headers["x-api-key"] == KEY
    assert "x-forged" not in upstream.last.headers
    assert not set(steering) & set(upstream.last.json)
    assert b"cache_control" not in json.dumps(upstream.last.json).encode()
    litellm = sys.modules["litellm"]
    assert "forged" not in [*litellm.callbacks, *litellm.success_callback, *litellm.failure_callback]


LINKS = {
    "a picture": {"type": "image_url", "image_url": {"url": "{}/cat.png"}},
    "a file by its address": {"type": "file", "file": {"file_id": "{}/cat.png"}},
    "a file's contents": {"type": "file", "file": {"file_data": "{}/cat.png"}},
    "a picture as others write it": {"type": "input_image", "image_url": "{}/cat.png"},
}


@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize("part", LINKS)
@pytest.mark.parametrize("provider", ["anthropic", "gemini"], indirect=True)
async def test_no_link_in_a_request_is_fetched(
    provider: Provider, upstream: ScriptedUpstream, part: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import litellm

    monkeypatch.setattr(litellm, "user_url_validation", False)  # else it lets this machine be anyway
    called = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    said = {
        "user": {"role": "user", "content": [linked(LINKS[part], upstream.url)]},
        "tool": {"role": "tool", "tool_call_id": "1", "content": [linked(LINKS[part], upstream.url)]},
    }
    before = [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [called]}]
    body = {"model": "x", "messages": [*(before if role == "tool" else []), said[role]]}

    await provider.chat(Call(MODEL, json.dumps(body).encode(), 5))

    assert [seen.path for seen in upstream.requests if "cat.png" in seen.path] == []


def linked(part: Any, url: str) -> Any:
    """The part with its link to that place."""
    return json.loads(json.dumps(part).replace("{}", url))


class Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody to another address."""

    to: str

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(307)
        self.send_header("location", self.to + self.path)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


@pytest.fixture
def elsewhere(upstream: ScriptedUpstream) -> Iterator[str]:
    """The address of a server that sends everybody to the upstream."""
    handler = type("Handler", (Elsewhere,), {"to": upstream.url})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("type_", [*REMOTE, "gemini"])
async def test_our_key_goes_to_its_own_address_and_to_none_that_this_one_points_to(
    type_: str, elsewhere: str, upstream: ScriptedUpstream
) -> None:
    provider = build(type_, elsewhere)
    upstream.requests.clear()

    whole = await provider.chat(call("hi"))
    streamed = await items_of(provider, call("hi"))
    await provider.aclose()

    assert isinstance(whole, UpstreamError)
    assert isinstance(streamed[-1], UpstreamError)
    assert upstream.requests == []


@pytest.mark.parametrize("provider", ["anthropic", "gemini"], indirect=True)
async def test_no_tool_of_a_request_starts_a_process(provider: Provider, tmp_path: Path) -> None:
    tool = {
        "type": "mcp",
        "server_label": "x",
        "server_url": "litellm_proxy/mcp/x",
        "transport": "stdio",
        "command": "touch",
        "args": [str(tmp_path / "started")],
        "require_approval": "never",
    }
    before = {process.pid for process in psutil.Process().children()}

    await provider.chat(call("hi", tools=[tool], mcp_servers=[tool]))

    assert {process.pid for process in psutil.Process().children()} <= before
    assert not (tmp_path / "started").exists()
    assert "litellm.proxy.proxy_server" not in sys.modules  # nothing of it is ever loaded


# What fails

CASE_50 = [
    ({"status": 401}, ProviderAuthError, FailureKind.AUTH, False),
    ({"status": 403}, ProviderAuthError, FailureKind.AUTH, False),
    ({"stall": True}, ProviderTimeoutError, FailureKind.TIMEOUT, True),
    ({"status": 429, "retry_after": 7}, ProviderRateLimitError, FailureKind.RATE_LIMITED, True),
    ({"status": 500}, ProviderError, FailureKind.BROKEN, True),
    ({"status": 503}, ProviderError, FailureKind.OVERLOADED, True),
    ({"status": 529}, ProviderError, FailureKind.OVERLOADED, True),
    ({"reset": True}, ProviderError, FailureKind.UNREACHABLE, True),
    ({"status": 404}, ProviderError, FailureKind.NOT_FOUND, False),
    ({"status": 400}, ProviderError, FailureKind.REJECTED, False),
]


@pytest.mark.parametrize(
    ("told", "class_", "kind", "retryable"),
    CASE_50,
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
@pytest.mark.contract(50)
async def test_a_failure_keeps_its_kind_streamed_or_not(
    provider: Provider, told: dict[str, Any], class_: type[UpstreamError], kind: FailureKind, retryable: bool
) -> None:
    if isinstance(provider, LocalProvider):
        told = {name: value for name, value in told.items() if name != "retry_after"}  # no header says it
        if "reset" in told:
            kind = FailureKind.BROKEN  # no way to it can break, only the engine itself
    asked = call(orders(**told), timeout_s=0.3 if "stall" in told else 5)

    whole = await provider.chat(asked)
    streamed = await items_of(provider, asked)

    assert isinstance(whole, class_)
    assert len(streamed) == 1
    assert isinstance(streamed[0], class_)
    for failure in (whole, streamed[0]):
        assert (failure.failure, failure.retryable) == (kind, retryable)
        assert failure.upstream_status == told.get("status")
        assert failure.retry_after_s == told.get("retry_after")
        assert KEY not in failure.message


@pytest.mark.parametrize("type_", REMOTE)
@pytest.mark.contract(50)
async def test_a_refused_connection_may_be_tried_again(type_: str) -> None:
    provider = build(type_, "http://127.0.0.1:9")

    failure = await provider.chat(call("hi"))
    streamed = await items_of(provider, call("hi"))
    await provider.aclose()

    assert isinstance(failure, ProviderError)
    assert failure.failure is FailureKind.UNREACHABLE
    assert failure.retryable
    assert "127.0.0.1" not in failure.message
    assert [type(item) for item in streamed] == [UpstreamError]


@pytest.mark.parametrize("provider", WIRE, indirect=True)
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("context_length_exceeded", FailureKind.CONTEXT_LENGTH),
        ("content_filter", FailureKind.CONTENT_FILTER),
        ("model_not_found", FailureKind.NOT_FOUND),
    ],
)
async def test_openais_codes_tell_the_reasons_for_a_400_apart(
    provider: Provider, code: str, kind: FailureKind
) -> None:
    failure = await provider.chat(call(orders(error_code=code)))

    assert isinstance(failure, UpstreamError)
    assert failure.failure is kind


@pytest.mark.parametrize("provider", ["anthropic"], indirect=True)
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("prompt is too long: 205000 tokens > 200000 maximum", FailureKind.CONTEXT_LENGTH),
        ("Output blocked by content filtering policy", FailureKind.CONTENT_FILTER),
        ("messages: roles must alternate", FailureKind.REJECTED),
    ],
)
async def test_anthropics_words_tell_the_reasons_for_a_400_apart(
    provider: Provider, words: str, kind: FailureKind
) -> None:
    whole = await provider.chat(call(orders(error_code=words)))
    (streamed,) = await items_of(provider, call(orders(error_code=words)))

    for failure in (whole, streamed):
        assert isinstance(failure, UpstreamError)
        assert (failure.failure, failure.upstream_status) == (kind, 400)


@pytest.mark.parametrize(
    "told", [{"status": 429}, {"status": 500}, {"status": 503}, {"reset": True}], ids=str
)
@pytest.mark.parametrize("type_", [*WIRE, LOCAL, "anthropic", "hosted_vllm", "litellm"])
async def test_a_failure_is_asked_for_once(
    type_: str, upstream: ScriptedUpstream, told: dict[str, Any]
) -> None:
    """Whether to ask again is the gateway's decision: no SDK has a say in it."""
    prefix = "openai/" if type_ == "litellm" else ""  # LiteLLM's way through OpenAI's own SDK
    address = upstream.url if type_ in ("anthropic", LOCAL, *WIRE) else f"{upstream.url}/v1"
    provider = build(type_, address)
    text = json.dumps({"input": orders(**told)}).encode()
    asked = call(orders(**told), timeout_s=30)._replace(model=f"{prefix}{MODEL}")
    embeds = type_ != "anthropic"
    upstream.requests.clear()

    failures = [await provider.chat(asked), *await items_of(provider, asked)]
    if embeds:
        failures.append(await provider.embed(Call(f"{prefix}embedder", text, 30)))
    await provider.aclose()

    assert all(isinstance(failure, UpstreamError) for failure in failures)
    assert len(upstream.requests) == len(failures) == 2 + embeds


@pytest.mark.parametrize("provider", [*ANSWERED, "hosted_vllm"], indirect=True)
@pytest.mark.parametrize("told", [{"html": True}, {"empty": True}], ids=str)
async def test_a_200_without_an_answer_is_a_failure(provider: Provider, told: dict[str, Any]) -> None:
    whole = await provider.chat(call(orders(**told)))
    streamed = await items_of(provider, call(orders(**told)))

    for failure in (whole, *streamed):
        assert isinstance(failure, UpstreamError)
        assert (failure.failure, failure.upstream_status) == (FailureKind.BROKEN, 200)


@pytest.mark.parametrize("provider", [*ANSWERED, "hosted_vllm"], indirect=True)
async def test_broken_json_is_a_failure(provider: Provider) -> None:
    failure = await provider.chat(call(orders(malformed=True)))

    assert isinstance(failure, UpstreamError)
    assert failure.failure is FailureKind.BROKEN


@pytest.mark.parametrize("provider", [*WIRE, LOCAL], indirect=True)
async def test_behind_a_broken_frame_the_rest_arrives_but_the_answer_has_no_end(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        items = await items_of(provider, call(orders(malformed=True)))

    assert isinstance(items[-1], UpstreamError)
    assert items[-1].failure is FailureKind.BROKEN
    assert all(choice["finish_reason"] is None for chunk in chunks_in(items) for choice in chunk["choices"])
    assert text_in(items) == f"Hello from {MODEL}: hi"
    assert "not JSON" in caplog.text


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
@pytest.mark.parametrize("told", [{"cut_after": 2}, {"error_after": 2}], ids=str)
async def test_an_answer_that_was_cut_never_looks_complete(provider: Provider, told: dict[str, Any]) -> None:
    items = await items_of(provider, call(orders(**told)))

    assert isinstance(items[0], StreamHead)
    assert text_in(items) == "Hello from"
    assert isinstance(items[-1], UpstreamError)
    assert not any(isinstance(item, StreamEnd) for item in items)
    assert all(choice["finish_reason"] is None for chunk in chunks_in(items) for choice in chunk["choices"])


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
@pytest.mark.parametrize("told", [{"cut_after": 0}, {"error_after": 0}], ids=str)
async def test_a_stream_that_fails_before_its_first_token_has_no_head(
    provider: Provider, told: dict[str, Any]
) -> None:
    items = await items_of(provider, call(orders(**told)))

    assert len(items) == 1
    assert isinstance(items[0], UpstreamError)


@pytest.mark.parametrize("provider", [*WIRE, LOCAL], indirect=True)
async def test_a_stream_that_has_told_why_it_ended_needs_no_done(provider: Provider) -> None:
    items = await items_of(provider, call(orders(no_done=True)))

    assert isinstance(items[-1], StreamEnd)


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
async def test_a_stream_that_falls_silent_is_given_up(provider: Provider) -> None:
    items = await items_of(provider, call(orders(stall_after=2), idle_s=0.2))

    assert isinstance(items[0], StreamHead)
    assert text_in(items) == "Hello from"
    last = items[-1]
    assert isinstance(last, ProviderTimeoutError)
    assert last.message == (
        "Provider 'p' fell silent for 0.2 s in the middle of its answer (stream_idle_timeout_s)"
    )


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
@pytest.mark.parametrize(
    ("limits", "whole_says", "stream_says"),
    [
        (
            {"timeout_s": 0.2},
            "did not finish its answer within 0.2 s (timeout or the deadline)",
            "sent no first token within 0.2 s (first_token_timeout_s or the deadline)",
        ),
        (
            {"first_byte_s": 0.2},
            "did not begin to answer within 0.2 s (first_byte_timeout_s)",
            "did not begin to answer within 0.2 s (first_byte_timeout_s)",
        ),
    ],
    ids=str,
)
async def test_a_limit_that_runs_out_is_named(
    provider: Provider, limits: dict[str, float], whole_says: str, stream_says: str
) -> None:
    asked = call(orders(stall=True), **limits)  # type: ignore[arg-type]

    whole = await provider.chat(asked)
    (streamed,) = await items_of(provider, asked)

    for failure, says in ((whole, whole_says), (streamed, stream_says)):
        assert isinstance(failure, ProviderTimeoutError)
        assert failure.message == f"Provider 'p' {says}"
        assert failure.upstream_status is None


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
async def test_a_failure_that_passes_is_followed_by_an_answer(provider: Provider) -> None:
    told = orders(status=500, times=1, who=str(id(provider)))

    assert isinstance(await provider.chat(call(told)), UpstreamError)
    assert isinstance(await provider.chat(call(told)), Answer)


# What is let go


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
async def test_closing_a_stream_closes_the_connection(provider: Provider, upstream: ScriptedUpstream) -> None:
    stream = provider.chat_stream(call(orders(chunks=500, chunk_delay_s=0.02)))
    assert isinstance(await anext(stream), StreamHead)
    assert isinstance(await anext(stream), bytes)
    assert upstream.open_streams == 1

    await stream.aclose()  # type: ignore[attr-defined]

    await until(lambda: upstream.open_streams == 0)


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
async def test_a_cancelled_call_closes_the_connection(provider: Provider, upstream: ScriptedUpstream) -> None:
    waiting = asyncio.create_task(provider.chat(call(orders(stall=True))))
    await until(lambda: upstream.open_requests == 1)

    waiting.cancel()

    await until(lambda: upstream.open_requests == 0)


# How it is


@pytest.mark.parametrize("provider", EVERYONE, indirect=True)
@pytest.mark.contract(79)
async def test_a_provider_is_healthy_and_knows_its_models(provider: Provider) -> None:
    health = await provider.health()

    assert (health.status, health.error) == ("healthy", None)
    assert MODEL in health.models_available
    assert health.latency_ms is not None


@pytest.mark.parametrize("provider", ANSWERED, indirect=True)
@pytest.mark.parametrize("told", [{"status": 500}, {"status": 401}, {"html": True}, {"reset": True}], ids=str)
async def test_is_unhealthy_when_the_upstream_is(
    provider: Provider, upstream: ScriptedUpstream, told: dict[str, Any]
) -> None:
    upstream.models_mode = told

    health = await provider.health()

    assert health.status == "unhealthy"
    assert health.error
    assert health.latency_ms is None


@pytest.mark.parametrize("provider", REMOTE, indirect=True)
async def test_a_look_is_free(provider: Provider, upstream: ScriptedUpstream) -> None:
    await provider.health()

    assert [(seen.method, seen.path) for seen in upstream.requests] == [("GET", "/v1/models")]


@pytest.mark.parametrize("provider", REMOTE, indirect=True)
@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_without_a_list_of_models_is_there_all_the_same(
    provider: Provider, upstream: ScriptedUpstream, status: int
) -> None:
    upstream.models_mode = {"status": status}

    health = await provider.health()

    assert (health.status, health.error, health.models_available) == ("healthy", None, ())
    assert health.latency_ms is not None


@pytest.mark.parametrize("provider", WIRE, indirect=True)
async def test_a_list_of_models_without_an_envelope_is_read(
    provider: Provider, upstream: ScriptedUpstream
) -> None:
    upstream.models_mode = {"bare": True}

    assert (await provider.health()).models_available == tuple(upstream.models)


# Looks that cost a token: where the vendor has no free list, and only if that is allowed

EMBEDDER = {"model_id": "embedder", "task": "embedding"}
SMALL = {"model_id": "small", "task": "chat_small"}
SMART = {"model_id": "smart", "task": "chat_smart"}
HEARER = {"model_id": "hearer", "task": "audio"}


async def paid_look(
    upstream: ScriptedUpstream, *models: dict[str, str], allowed: bool = True
) -> tuple[Health, list[tuple[str, str]]]:
    """What a look at a vendor without a free list finds, and whom it asked where."""
    upstream.requests.clear()
    provider = build("hosted_vllm", f"{upstream.url}/v1", models=list(models), paid_probes=allowed)
    health = await provider.health()
    await provider.aclose()
    return health, [(seen.path, seen.json["model"]) for seen in upstream.requests]


async def test_where_looking_costs_money_nothing_is_sent_and_nothing_claimed(
    upstream: ScriptedUpstream,
) -> None:
    health, asked = await paid_look(upstream, EMBEDDER, SMALL, allowed=False)

    assert asked == []
    assert (health.status, health.latency_ms, health.error) == ("unknown", None, None)
    assert health.models_available == ()


async def test_an_embedding_model_is_never_sent_a_chat(upstream: ScriptedUpstream) -> None:
    health, asked = await paid_look(upstream, EMBEDDER)

    assert asked == [("/v1/embeddings", "embedder")]
    assert (health.status, health.models_available) == ("healthy", ("embedder",))
    assert health.latency_ms is not None


async def test_a_chat_model_is_asked_for_one_token_and_never_for_a_vector(upstream: ScriptedUpstream) -> None:
    health, asked = await paid_look(upstream, SMALL)

    assert asked == [("/v1/chat/completions", "small")]
    assert upstream.last.json["max_tokens"] == 1
    assert health.status == "healthy"


@pytest.mark.parametrize(
    ("models", "asked"),
    [((SMART, SMALL), "small"), ((SMART, SMALL, EMBEDDER), "embedder"), ((HEARER, SMART), "smart")],
    ids=["a small one", "an embedder", "never one for audio"],
)
async def test_a_look_asks_the_model_that_costs_least(
    upstream: ScriptedUpstream, models: tuple[dict[str, str], ...], asked: str
) -> None:
    assert [model for _, model in (await paid_look(upstream, *models))[1]] == [asked]


async def test_where_no_model_takes_text_there_is_nothing_to_ask(upstream: ScriptedUpstream) -> None:
    health, asked = await paid_look(upstream, HEARER)

    assert (health.status, asked) == ("unknown", [])


@pytest.mark.parametrize("models", [EMBEDDER, SMALL], ids=["embedder", "chat"])
@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"status": 401}, "unhealthy"),
        ({"status": 403}, "unhealthy"),
        ({"status": 404}, "unhealthy"),
        ({"status": 500}, "unhealthy"),
        ({"reset": True}, "unhealthy"),
        ({"status": 400}, "healthy"),
    ],
    ids=str,
)
async def test_a_paid_look_tells_a_refused_key_from_a_refused_question(
    upstream: ScriptedUpstream, models: dict[str, str], told: dict[str, Any], status: str
) -> None:
    upstream.mode = told

    health, _ = await paid_look(upstream, models)
    upstream.recover()

    assert health.status == status
    assert bool(health.error) is (status == "unhealthy")
    assert KEY not in str(health.error)


@pytest.mark.parametrize("type_", [*REMOTE, "scripted"])
async def test_is_unhealthy_without_models(type_: str, upstream: ScriptedUpstream) -> None:
    health = await build(type_, upstream.url, models=[]).health()

    assert (health.status, health.error) == ("unhealthy", "No models configured")


@pytest.mark.parametrize("type_", ["openai", "anthropic"])
async def test_without_its_key_it_calls_nobody_and_names_the_variable(
    type_: str, upstream: ScriptedUpstream
) -> None:
    upstream.requests.clear()
    provider = build(type_, upstream.url, environ={}, api_key="${MY_SECRET_KEY}")

    health = await provider.health()
    failures = [await provider.chat(call("hi")), *await items_of(provider, call("hi"))]

    assert health.status == "unhealthy"
    assert "MY_SECRET_KEY" in str(health.error)
    assert all(isinstance(failure, ProviderAuthError) and not failure.retryable for failure in failures)
    assert upstream.requests == []
