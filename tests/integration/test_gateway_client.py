"""A running gateway called from Python: this process is another driver on the same cluster."""

import asyncio
import json
from typing import Any

import pytest

from serve_app.clients.gateway import GatewayClient
from serve_app.deployments.handle_method import LARGE_BODY
from serve_app.errors import FailureKind, GatewayUnavailable, ModelNotFound, UpstreamError
from serve_app.formats.openai_chat.chunks import text_in
from tests.support.api import Api, eventually, text_of
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(local: Api) -> GatewayClient:
    return GatewayClient("local", timeout_s=60)


def ordered(**orders: Any) -> str:
    return f"hi [[{json.dumps(orders)}]]"


async def test_a_chat_is_answered_as_it_is_over_http(client: GatewayClient, local: Api) -> None:
    answer = await client.chat("hi", model="chat_smart")

    assert answer["choices"][0]["message"]["content"] == text_of(local.chat("hi", model="chat_smart"))
    assert answer["usage"]["total_tokens"] > 0
    over_http = local.chat("hi", model="chat_smart").json()["sekha_metadata"]
    assert answer["sekha_metadata"]["routing"]["provider_id"] == over_http["routing"]["provider_id"]


async def test_a_stream_says_what_a_whole_answer_says(client: GatewayClient) -> None:
    whole = await client.chat("tell me a story")

    chunks = [chunk async for chunk in client.chat_stream("tell me a story")]
    pieces = [text_in(chunk) for chunk in chunks]

    assert len(pieces) > 3
    assert chunks[0]["sekha_metadata"]["routing"]["provider_id"]
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]


async def test_a_stream_that_is_left_early_ends_upstream_as_well(
    client: GatewayClient, ollama_upstream: ScriptedUpstream
) -> None:
    chunks = client.chat_stream(ordered(chunks=10_000, chunk_delay_s=0.01))
    await anext(chunks)
    await chunks.aclose()

    await asyncio.to_thread(eventually, lambda: ollama_upstream.open_streams == 0)


async def test_vectors_come_for_every_text(client: GatewayClient) -> None:
    answer = await client.embed(["one", "two"])

    assert [row["index"] for row in answer["data"]] == [0, 1]


async def test_a_body_beyond_serves_limit_gets_through(client: GatewayClient) -> None:
    text = "x" * (LARGE_BODY * 2)

    answer = await client.chat(text)

    assert answer["choices"][0]["message"]["content"].endswith(text)


async def test_what_the_gateway_refuses_is_raised_as_it_is(client: GatewayClient) -> None:
    with pytest.raises(ModelNotFound, match="'nope' does not exist"):
        await client.chat("hi", model="nope")


async def test_what_an_upstream_refuses_is_raised_with_its_facts(client: GatewayClient) -> None:
    text = ordered(error_code="context_length_exceeded")

    with pytest.raises(UpstreamError) as whole:
        await client.chat(text)
    with pytest.raises(UpstreamError) as stream:
        await anext(client.chat_stream(text))

    assert whole.value.failure is stream.value.failure is FailureKind.CONTEXT_LENGTH
    assert (whole.value.provider_id, whole.value.status) == ("ollama_local", 400)


async def test_many_calls_at_once_are_answered_each_with_its_own(client: GatewayClient) -> None:
    answers = await asyncio.gather(*(client.chat(f"number {n}") for n in range(20)))

    assert [a["choices"][0]["message"]["content"].split()[-1] for a in answers] == [str(n) for n in range(20)]


def test_a_plain_script_needs_no_event_loop(client: GatewayClient) -> None:
    assert client.chat_sync("hi")["choices"][0]["message"]["content"].endswith("hi")
    assert len(client.embed_sync("hi")["data"]) == 1
    assert "".join(map(text_in, client.chat_stream_sync("good day"))).endswith("good day")


def test_a_script_may_run_one_event_loop_after_another(client: GatewayClient) -> None:
    first, second = (asyncio.run(client.chat("hi")) for _ in range(2))

    assert first == second


def test_a_gateway_that_is_not_there_is_answered_with_those_that_are(local: Api) -> None:
    with pytest.raises(GatewayUnavailable, match=r"No gateway 'sekha' among .*: .*local"):
        GatewayClient().chat_sync("hi")
