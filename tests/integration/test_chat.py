"""Chat completions through the whole gateway."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import Api, chunks_of, frames_of, streamed_text, text_of, user
from tests.support.serving import Gateway, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

SMART = {"model_id": "gpt-4o", "task": "chat_smart"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/completions"])
@pytest.mark.contract(73)
def test_a_minimal_chat_is_answered_in_openais_words(local: Api, path: str) -> None:
    answer = local.post(path, {"messages": [user("hi")]})

    assert answer.status_code == 200
    told = answer.json()
    assert told["id"].startswith("chatcmpl-")
    assert told["object"] == "chat.completion"
    assert told["choices"][0]["message"] == {"role": "assistant", "content": "Hello from llama3.1:8b: hi"}
    usage = told["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": [user("hi")], "temperature": 2.1},
        {"messages": [user("hi")], "temperature": -0.1},
        {"messages": [user("hi")], "max_tokens": 0},
    ],
    ids=["no messages", "too hot", "too cold", "no tokens"],
)
@pytest.mark.contract(73)
def test_what_is_out_of_range_is_422(local: Api, body: dict[str, Any]) -> None:
    answer = local.post("/v1/chat/completions", body)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize("temperature", [0, 2])
@pytest.mark.contract(73)
def test_a_temperature_reaches_the_upstream_as_it_is(
    local: Api, ollama_upstream: ScriptedUpstream, temperature: int
) -> None:
    assert local.chat(temperature=temperature).status_code == 200

    assert ollama_upstream.last.json["temperature"] == temperature


@pytest.mark.contract(75)
def test_a_stream_says_what_a_whole_answer_says(local: Api) -> None:
    whole = local.chat("tell me a story")
    stream = local.chat("tell me a story", stream=True)

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert frames_of(stream)[-1] == "[DONE]"
    assert {chunk["object"] for chunk in chunks_of(stream)} == {"chat.completion.chunk"}
    assert len(chunks_of(stream)) > 3
    assert streamed_text(stream) == text_of(whole)


@pytest.fixture(scope="module")
def overloaded(gateway: Gateway) -> Iterator[Api]:
    """Two providers with the same model; the first one is overloaded."""
    with ScriptedUpstream() as one, ScriptedUpstream() as two:
        one.mode = {"status": 503}
        first = inline("first", one.url, SMART, priority=1)
        second = inline("second", two.url, SMART, priority=2)
        yield gateway(gateway_config(first, second))


@pytest.mark.contract(76)
def test_the_second_provider_answers_when_the_first_is_overloaded(overloaded: Api) -> None:
    before = overloaded.breaker("first")["failure_count"]

    answer = overloaded.chat()

    assert answer.status_code == 200
    assert answer.headers["x-sekha-provider"] == "second"
    assert overloaded.breaker("first")["failure_count"] == before + 1


@pytest.mark.contract(76)
def test_a_stream_falls_back_as_long_as_nothing_was_sent(overloaded: Api) -> None:
    before = overloaded.breaker("first")["failure_count"]

    stream = overloaded.chat(stream=True)

    assert stream.headers["x-sekha-provider"] == "second"
    assert streamed_text(stream) == "Hello from gpt-4o: hi"
    assert overloaded.breaker("first")["failure_count"] == before + 1


@pytest.mark.contract(76)
def test_without_automatic_fallback_the_first_failure_is_the_answer(gateway: Gateway) -> None:
    with ScriptedUpstream() as one, ScriptedUpstream() as two:
        one.mode = {"status": 503}
        once_more = {"max_retries": 1, "first_delay_s": 0}
        first = inline("first", one.url, SMART, priority=1, retry=once_more)
        second = inline("second", two.url, SMART, priority=2)
        api = gateway(gateway_config(first, second, routing={"auto_fallback": False}))

        answer = api.chat()

        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "scripted failure 503"
        assert (len(one.asked), two.asked) == (2, [])
