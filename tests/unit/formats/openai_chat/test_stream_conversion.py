"""A whole chat completion made of a stream, however its upstream writes it."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from serve_app.formats.openai_chat.stream_conversion import whole_of
from serve_app.formats.sse import event
from serve_app.providers.frames import ChatFrames

ODD: st.SearchStrategy[Any] = st.sampled_from([
    None, True, 5, 1.5, "x", "", [], {}, [1], [{}], {"a": 1}, {"arguments": {"c": "A"}}, [{"index": "x"}],
])  # fmt: skip


def streamed(*deltas: Any) -> dict[str, Any]:
    """The completion that these deltas make, read as every stream is."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    frames = ChatFrames("p", wants_usage=True)
    shown = frames.feed(b"".join(event(orjson.dumps({"choices": [choice]})) for choice in choices))
    return whole_of(shown + frames.end())


def piece(index: int = 0, **function: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": function}]}


def calls_in(whole: dict[str, Any]) -> list[Any]:
    return [call["function"] for call in whole["choices"][0]["message"]["tool_calls"]]


def test_arguments_are_put_together_whether_they_are_texts_or_an_object() -> None:
    assert calls_in(streamed(piece(name="f", arguments='{"c":'), piece(arguments="1}"))) == [
        {"name": "f", "arguments": '{"c":1}'}
    ]
    assert calls_in(streamed(piece(name="f", arguments={"c": 1}), piece(arguments=""))) == [
        {"name": "f", "arguments": '{"c":1}'}
    ]
    older = streamed(
        {"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}}
    )
    assert older["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": "{}"}


@given(st.lists(st.fixed_dictionaries({}, optional={
    "content": ODD, "tool_calls": ODD | st.lists(st.fixed_dictionaries({}, optional={
        "index": ODD | st.integers(0, 2), "id": ODD, "function": ODD | st.fixed_dictionaries({}, optional={
            "name": ODD, "arguments": ODD,
        }),
    })), "function_call": ODD, "thinking_blocks": ODD,
}) | ODD))  # fmt: skip
def test_no_stream_is_too_strange_to_be_one_answer(deltas: list[Any]) -> None:
    assert orjson.dumps(streamed(*deltas))
