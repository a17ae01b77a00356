"""The simulator does what its script says, and always the same."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, UpstreamError
from serve_app.providers.base import Answer, Call, StreamEnd, StreamHead
from serve_app.providers.simulator import ScriptedProvider, embedding_of
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio


def provider(clock: FakeClock | None = None, **script: Any) -> ScriptedProvider:
    models = [
        {"model_id": "m", "task": "chat_small"},
        {"model_id": "e", "task": "embedding", "dimension": 16},
    ]
    config = ProviderConfig.model_validate(
        {"id": "p", "type": "scripted", "models": models, "script": script}
    )
    return ScriptedProvider(config, clock or FakeClock())


def call(text: Any = "hello there", timeout_s: float = 10, **fields: Any) -> Call:
    body = {
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}],
        **fields,
    }
    return Call("m", json.dumps(body).encode(), timeout_s)


async def answer(asked: Call, **script: Any) -> dict[str, Any]:
    given = await provider(**script).chat(asked)
    assert isinstance(given, Answer)
    whole: dict[str, Any] = json.loads(given.body)
    return whole


async def said(asked: Call, **script: Any) -> str:
    return str((await answer(asked, **script))["choices"][0]["message"]["content"])


async def test_repeats_what_the_user_said_and_names_the_model() -> None:
    assert await said(call()) == "m here. You said: hello there"


async def test_says_what_the_script_says() -> None:
    assert await said(call(), answer="Forty-two.") == "Forty-two."


async def test_reads_the_text_of_a_message_with_images() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:x"}}]

    assert await said(call(parts)) == "m here. You said: look"


async def test_the_same_request_gets_the_same_answer_byte_for_byte() -> None:
    first, second = await provider().chat(call()), await provider().chat(call())

    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.body == second.body


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_stops_at_the_tokens_it_was_allowed(limit: str) -> None:
    whole = await answer(call("x" * 1000, **{limit: 5}))

    assert whole["choices"][0]["finish_reason"] == "length"
    assert len(whole["choices"][0]["message"]["content"]) == 20
    assert whole["usage"]["completion_tokens"] == 5


async def test_gives_as_many_choices_as_were_asked_for() -> None:
    whole = await answer(call(n=3))

    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]


async def test_counts_four_characters_a_token() -> None:
    given = await provider().chat(call("x" * 32))

    assert isinstance(given, Answer)
    assert given.usage is not None
    assert given.usage.input_tokens == 10  # 32 characters, and the 8 of "be brief"


async def test_a_tool_is_called_only_where_there_is_no_way_around_it() -> None:
    tools = [{"type": "function", "function": {"name": "weather"}}, {"function": {"name": "clock"}}]
    named = {"type": "function", "function": {"name": "clock"}}

    assert (await answer(call(tools=tools)))["choices"][0]["finish_reason"] == "stop"
    forced = (await answer(call(tools=tools, tool_choice=named)))["choices"][0]

    assert forced["finish_reason"] == "tool_calls"
    assert forced["message"]["tool_calls"][0]["function"] == {"name": "clock", "arguments": "{}"}


@pytest.mark.parametrize("text", ["one two", " spaced  out \n lines ", "", "   "])
async def test_the_words_of_a_stream_make_the_answer(text: str) -> None:
    items = [item async for item in provider(answer=text).chat_stream(call())]

    frames = [json.loads(item[6:]) for item in items if isinstance(item, bytes)]
    assert "".join(frame["choices"][0]["delta"].get("content", "") for frame in frames) == text
    assert isinstance(items[0], StreamHead)
    assert isinstance(items[-1], StreamEnd)


async def test_a_stream_is_paced_by_the_clock() -> None:
    clock = FakeClock()

    items = [
        item
        async for item in provider(clock, answer="a b c", latency_s=2, chunk_delay_s=0.5).chat_stream(call())
    ]

    assert items[0] == StreamHead(2.0)
    assert isinstance(items[-1], StreamEnd)
    assert items[-1].upstream_s == 2 + 4 * 0.5  # role, three words, the end: four pauses


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.REJECTED),
        (401, FailureKind.AUTH),
        (404, FailureKind.NOT_FOUND),
        (429, FailureKind.RATE_LIMITED),
        (500, FailureKind.BROKEN),
        (503, FailureKind.OVERLOADED),
        (504, FailureKind.TIMEOUT),
    ],
)
async def test_fails_as_it_is_told(status: int, kind: FailureKind) -> None:
    failing = provider(fail_with=status)

    failures = [
        await failing.chat(call()),
        await failing.embed(call()),
        *[item async for item in failing.chat_stream(call())],
    ]

    assert len(failures) == 3
    for failure in failures:
        assert isinstance(failure, UpstreamError)
        assert (failure.failure, failure.upstream_status) == (kind, status)
    assert (await failing.health()).status == "unhealthy"


@pytest.mark.parametrize("script", [{"stall": True}, {"latency_s": 60}], ids=str)
async def test_takes_no_longer_than_it_may(script: dict[str, Any]) -> None:
    clock = FakeClock()

    started = clock.now()
    failure = await provider(clock, **script).chat(call(timeout_s=3))

    assert isinstance(failure, UpstreamError)
    assert failure.failure is FailureKind.TIMEOUT
    assert clock.now() - started == 3


async def test_embeds_in_the_dimension_of_the_model() -> None:
    configured = await provider().embed(Call("e", b'{"input":["a","b"]}', 1))
    default = await provider(dimension=32).embed(Call("other", b'{"input":"a"}', 1))

    assert isinstance(configured, Answer)
    assert isinstance(default, Answer)
    assert [len(row["embedding"]) for row in json.loads(configured.body)["data"]] == [16, 16]
    assert [len(row["embedding"]) for row in json.loads(default.body)["data"]] == [32]


def test_similar_texts_are_near_and_others_are_far() -> None:
    def nearness(one: str, other: str) -> float:
        return sum(a * b for a, b in zip(embedding_of(one, 256), embedding_of(other, 256), strict=True))

    assert nearness("the cat sat on the mat", "a cat sits on a mat") > 0.4
    assert nearness("the cat sat on the mat", "quarterly revenue forecast") < 0.2
    assert nearness("Hello, World!", "hello world") == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "!?", "word", "a longer text with words"])
def test_every_vector_has_length_one(text: str) -> None:
    assert math.hypot(*embedding_of(text, 64)) == pytest.approx(1)


@pytest.mark.process
def test_every_process_makes_the_same_vector() -> None:
    code = "from serve_app.providers.simulator import embedding_of; print(embedding_of('the same', 16))"

    elsewhere = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True
    ).stdout

    assert json.loads(elsewhere) == embedding_of("the same", 16)
