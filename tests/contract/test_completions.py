"""Text completions through the whole application, asked with OpenAI's official client."""

from typing import Any

import httpx
import openai
import pytest

from tests.contract.test_formats_and_faults import ANTHROPIC, OPENAI, scene
from tests.support.jumping import JUMPING

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    return JUMPING


def client_of(api: httpx.AsyncClient) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="k", base_url="http://localhost/v1", http_client=api, max_retries=0)


async def test_every_prompt_is_answered_by_an_upstream_that_speaks_the_format() -> None:
    async with scene(OPENAI, {}, is_alone=True) as at:
        answer = await client_of(at.api).completions.create(
            model="same", prompt=["one", "two"], n=2, echo=True, max_tokens=5
        )
        sent = at.upstreams[0].last

    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[3].text == f"Hello from {answer.model}: two"
    assert answer.usage is not None
    assert (sent.path, sent.json["prompt"], sent.json["echo"]) == ("/v1/completions", ["one", "two"], True)


@pytest.mark.parametrize("upstream", [OPENAI, ANTHROPIC])
async def test_a_stream_of_texts_ends_with_the_usage_that_was_asked_for(upstream: str) -> None:
    async with scene(upstream, {}, is_alone=True) as at:
        stream = await client_of(at.api).completions.create(
            model="same", prompt="a b c", stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]

    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert text.endswith(": a b c")
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    assert [chunk.usage for chunk in chunks if chunk.usage is not None][-1].completion_tokens > 0


@pytest.mark.parametrize("more", [{"prompt": [1, 2]}, {"suffix": "z"}, {"echo": True}, {"best_of": 2}])
async def test_what_an_upstream_of_chats_cannot_do_is_refused_and_not_sent(more: dict[str, Any]) -> None:
    async with scene(ANTHROPIC, {}, is_alone=True) as at:
        with pytest.raises(openai.BadRequestError) as refused:
            await client_of(at.api).completions.create(**{"model": "same", "prompt": "a", **more})
        asked = at.asked

    assert refused.value.param == next(iter(more))
    assert asked == [0]
