"""Text completions by way of a chat: the request, the answer, the stream."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.formats.completions_to_chat.translation import CompletionsToChat, completions_to_messages
from serve_app.formats.openai_chat.chunks import chunks_in, frame_of

USAGE = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}


def translated(prompt: Any = "Hi", **fields: Any) -> CompletionsToChat:
    return CompletionsToChat(orjson.dumps({"model": "m", "prompt": prompt, **fields}))


def chunk_of(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return frame_of({"id": "a", "object": "chat.completion.chunk", "choices": choices, **fields})


@pytest.mark.parametrize("prompt", ["Hi", ["Hi"]])
def test_a_text_is_what_the_user_says(prompt: Any) -> None:
    chat = orjson.loads(
        translated(prompt, temperature=0.5, stop=["x"], echo=False, best_of=1, max_cost=1).body
    )

    assert chat == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "stop": ["x"],
        "max_tokens": 16,
    }


def test_the_callers_bound_counts_whatever_it_is_called() -> None:
    assert orjson.loads(translated(n_predict=7).body)["max_tokens"] == 7


def test_what_a_chat_has_no_place_for_is_told() -> None:
    assert translated(logprobs=2, grammar="x", top_p=1).dropped == ("grammar", "logprobs")


@pytest.mark.parametrize(
    ("prompt", "fields", "param"),
    [
        ([1, 2], {}, "prompt"),
        ([[1, 2]], {}, "prompt"),
        (["a", "b"], {}, "prompt"),
        ("a", {"suffix": "z"}, "suffix"),
        ("a", {"echo": True}, "echo"),
        ("a", {"best_of": 2}, "best_of"),
    ],
)
def test_what_a_chat_cannot_do_is_refused(prompt: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        translated(prompt, **fields)

    assert (refused.value.param, refused.value.status) == (param, 400)


def test_a_chats_answer_is_a_text() -> None:
    message = {"role": "assistant", "content": "Hello"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    answer = {"id": "a", "object": "chat.completion", "model": "m", "choices": choices, "usage": USAGE}

    assert orjson.loads(translated().answer(orjson.dumps(answer))) == {
        "id": "a",
        "object": "text_completion",
        "model": "m",
        "choices": [{"text": "Hello", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }


@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_chats_stream_is_one_of_texts_with_its_usage_where_that_is_wanted(wants_usage: bool) -> None:
    block = (
        chunk_of({"role": "assistant", "content": ""}) + chunk_of({"content": "Hello"}) + chunk_of({}, "stop")
    )
    block += frame_of({"id": "a", "choices": [], "usage": USAGE})
    stream = translated(stream=True, stream_options={"include_usage": wants_usage}).stream()

    chunks = list(chunks_in(stream.feed(block) + stream.end()))

    said = [(choice["text"], choice["finish_reason"]) for chunk in chunks for choice in chunk["choices"]]
    assert said == [("Hello", None), ("", "stop")]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert [chunk["usage"] for chunk in chunks if "usage" in chunk] == [USAGE] * wants_usage


def test_an_upstream_of_messages_is_asked_by_way_of_a_chat() -> None:
    by_way = completions_to_messages(b'{"model":"m","prompt":"Hi","logprobs":1}')

    asked = orjson.loads(by_way.body)
    assert asked["max_tokens"] == 16
    assert asked["messages"][0]["role"] == "user"
    assert by_way.dropped == ("logprobs",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "message", "content", "index", "usage", "finish_reason"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["choices", "usage", "id", "object"]), JSON))
def test_no_answer_of_an_upstream_is_too_strange_to_be_read(answer: dict[str, Any]) -> None:
    assert orjson.loads(translated().answer(orjson.dumps(answer)))["object"] == "text_completion"
    translated().stream().feed(frame_of(answer))
