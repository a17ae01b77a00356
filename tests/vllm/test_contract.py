"""
What every provider must keep (tests/contract), on the real engine and through its handle.

And what one engine can host besides its model: adapters on top of it, vectors instead of words.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve_app.deployments.provider_handle import HandleProvider
from serve_app.errors import FailureKind, UpstreamError
from serve_app.providers.base import Answer, Call, HealthStatus, StreamEnd, StreamHead
from tests.support.api import Api, text_of
from tests.support.items import chunks_in, items_of, text_in
from tests.support.serving import Cluster
from tests.vllm.graph import WINDOW, deployed, hosted, served_by
from tests.vllm.tiny import make_adapter

pytestmark = [pytest.mark.timeout(600), pytest.mark.anyio]

APP = "contract"


@pytest.fixture(scope="module")
def api(cluster: Cluster, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    adapter = make_adapter(tmp_path_factory.mktemp("adapter"))
    chats = hosted(
        weights,
        {"model_id": "tiny", "task": "chat_small"},
        {"model_id": "tiny-tuned", "task": "chat_small"},
        local={"adapters": {"tiny-tuned": str(adapter)}},
    )
    vectors = hosted(
        weights,
        {"model_id": "tiny-vectors", "task": "embedding", "dimension": 256},
        id="vectors",
        engine={"runner": "pooling", "convert": "embed"},
    )
    with deployed(cluster, APP, chats, vectors) as api:
        yield api


@pytest.fixture
async def provider(api: Api) -> HandleProvider:
    return handle_of("home")


def handle_of(provider_id: str) -> HandleProvider:
    from ray import serve

    return HandleProvider(provider_id, serve.get_deployment_handle(f"provider-{provider_id}", APP))


def call(text: str, model: str = "tiny", wants_usage: bool = False, **fields: Any) -> Call:
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 16, **fields}
    return Call(model, json.dumps(body).encode(), 60, "req-1", wants_usage, idle_s=30)


async def test_answers_in_openais_words(provider: HandleProvider) -> None:
    answer = await provider.chat(call("good morning"))

    assert isinstance(answer, Answer)
    body = json.loads(answer.body)
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["finish_reason"] in ("stop", "length")


async def test_a_stream_is_a_head_then_whole_frames_then_an_end(provider: HandleProvider) -> None:
    first, *blocks, last = await items_of(provider, call("tell me a story"))

    assert isinstance(first, StreamHead)
    assert isinstance(last, StreamEnd)
    assert all(isinstance(block, bytes) and block.endswith(b"\n\n") for block in blocks)
    assert b"[DONE]" not in b"".join(block for block in blocks if isinstance(block, bytes))
    assert last.output_chars > 0


@pytest.mark.contract(75)
async def test_a_stream_says_the_same_and_tells_the_same_usage_as_a_whole_answer(
    provider: HandleProvider,
) -> None:
    answer = await provider.chat(call("tell me a story"))
    items = await items_of(provider, call("tell me a story"))

    assert isinstance(answer, Answer)
    assert isinstance(items[-1], StreamEnd)
    assert text_in(items) == json.loads(answer.body)["choices"][0]["message"]["content"]
    assert answer.usage is not None
    assert answer.usage == items[-1].usage


async def test_the_usage_is_shown_to_those_who_ask_for_it(provider: HandleProvider) -> None:
    asked = chunks_in(await items_of(provider, call("one", wants_usage=True)))
    others = chunks_in(await items_of(provider, call("one")))

    assert asked[-1]["usage"]["prompt_tokens"] > 0
    assert all("usage" not in chunk and chunk["choices"] for chunk in others)


async def test_several_answers_to_one_question_all_end(provider: HandleProvider) -> None:
    items = await items_of(provider, call("hi", n=3, temperature=1, seed=4))

    assert isinstance(items[-1], StreamEnd)
    assert {choice["index"] for chunk in chunks_in(items) for choice in chunk["choices"]} == {0, 1, 2}


@pytest.mark.parametrize("streams", [False, True])
async def test_what_is_too_long_comes_back_as_a_value(provider: HandleProvider, streams: bool) -> None:
    asked = call("too long " * WINDOW)

    refused = (await items_of(provider, asked))[-1] if streams else await provider.chat(asked)

    assert isinstance(refused, UpstreamError)
    assert refused.failure is FailureKind.CONTEXT_LENGTH
    assert refused.code == "context_length_exceeded"


@pytest.mark.parametrize("streams", [False, True])
async def test_what_is_not_understood_comes_back_as_a_value(provider: HandleProvider, streams: bool) -> None:
    asked = call("hi", top_p="much")

    refused = (await items_of(provider, asked))[-1] if streams else await provider.chat(asked)

    assert isinstance(refused, UpstreamError)
    assert refused.failure is FailureKind.REJECTED
    assert "top_p" in (refused.param or "")


async def test_a_model_that_it_does_not_have_comes_back_as_a_value(provider: HandleProvider) -> None:
    refused = await provider.chat(call("hi", model="another"))

    assert isinstance(refused, UpstreamError)
    assert refused.failure is FailureKind.NOT_FOUND


async def test_two_requests_of_one_id_do_not_disturb_each_other(provider: HandleProvider) -> None:
    first, second = await asyncio.gather(provider.chat(call("hi")), provider.chat(call("hi")))

    assert isinstance(first, Answer)
    assert isinstance(second, Answer)


async def test_it_is_well_while_its_engine_lives(provider: HandleProvider) -> None:
    await provider.chat(call("hi"))

    health = await provider.health()

    assert health.status is HealthStatus.HEALTHY
    assert health.models_available == ("tiny", "tiny-tuned")


async def test_embeds_one_text_or_several(api: Api) -> None:
    vectors = handle_of("vectors")

    one = await vectors.embed(Call("tiny-vectors", b'{"input":"a cat"}', 60))
    several = await vectors.embed(Call("tiny-vectors", b'{"input":["a cat","a dog"]}', 60))

    assert isinstance(one, Answer)
    assert isinstance(several, Answer)
    assert one.usage is not None
    assert one.usage.input_tokens > 0
    rows = [row["embedding"] for row in json.loads(several.body)["data"]]
    assert len(rows[0]) == 256
    assert rows[0] != rows[1]


def test_an_adapter_is_a_model_of_its_own(api: Api) -> None:
    exact = {"temperature": 0, "max_tokens": 16}

    plain = api.chat("hello", model="tiny", **exact)
    tuned = api.chat("hello", model="tiny-tuned", **exact)

    assert served_by(tuned) == "home"
    assert tuned.json()["model"] == "tiny-tuned"
    assert text_of(tuned) != text_of(plain)


def test_vectors_come_over_http_as_from_anyone(api: Api) -> None:
    answer = api.post("/v1/embeddings", {"model": "tiny-vectors", "input": ["a cat", "a dog"]})

    assert answer.status_code == 200, answer.text
    assert [len(row["embedding"]) for row in answer.json()["data"]] == [256, 256]
