"""Where one answer breaks off, another goes on: what is told twice is left out."""

import itertools
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.formats.anthropic_messages.events import events_in
from serve_app.formats.anthropic_messages.format import ANTHROPIC_MESSAGES
from serve_app.formats.anthropic_messages.stream_conversion import answer_of
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.gateway.streaming.resume import Continuation, Differs, SentText
from tests.unit.formats.anthropic_messages.samples import (
    START,
    STOP,
    block_start,
    block_stop,
    delta,
    end,
    stream_of,
)


def frame(delta: dict[str, Any], chunk_id: str = "a", finish: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return b"data: " + orjson.dumps({"id": chunk_id, "model": chunk_id, "choices": [choice]}) + b"\n\n"


def frames(texts: Sequence[str], chunk_id: str = "a") -> list[bytes]:
    return [
        frame({"role": "assistant", "content": ""}, chunk_id),
        *(frame({"content": text}, chunk_id) for text in texts),
    ]


def told(*texts: str) -> SentText:
    made = SentText(OPENAI_CHAT)
    for block in frames(texts):
        made.listen(block)
    return made


def text_of(blocks: bytes) -> str:
    chunks = [orjson.loads(line[6:]) for line in blocks.split(b"\n\n") if line]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def test_what_the_caller_has_is_left_out_and_the_rest_comes_under_the_old_id() -> None:
    news = Continuation(told("One ", "two ")).feed(
        b"".join(frames(["One", " two three", " four"], "b")) + frame({}, "b", "stop")
    )

    assert text_of(news) == "three four"
    chunks = [orjson.loads(line[6:]) for line in news.split(b"\n\n") if line]
    assert {chunk["id"] for chunk in chunks} == {"a"}
    assert {chunk["model"] for chunk in chunks} == {"b"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("other", [["Two "], ["One tw", "elve"], ["one two "]])
def test_another_answer_is_noticed(other: list[str]) -> None:
    with pytest.raises(Differs):
        Continuation(told("One ", "two ")).feed(b"".join(frames(other, "b")))


def test_an_answer_that_ends_before_it_has_caught_up_is_another_one() -> None:
    with pytest.raises(Differs):
        Continuation(told("One two")).feed(frame({"content": "One"}, "b", "stop"))


def test_an_answer_without_a_finish_has_not_caught_up_until_it_is_as_long() -> None:
    going_on = Continuation(told("One two"))

    assert going_on.feed(frame({"content": "One"}, "b")) == b""
    assert not going_on.has_caught_up
    going_on.feed(frame({"content": " two"}, "b"))
    assert going_on.has_caught_up


@pytest.mark.parametrize(
    "block",
    [
        frame({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}),
        frame({"reasoning_content": "hm"}),
        frame({"content": "x"}, index=1),
    ],
)
def test_only_the_text_of_one_choice_can_be_carried_on(block: bytes) -> None:
    made = told("One ")
    made.listen(block)

    assert not made.can_continue
    with pytest.raises(Differs):
        Continuation(told("")).feed(block)


def test_a_usage_is_passed_on_though_it_says_nothing() -> None:
    block = b'data: {"id":"b","choices":[],"usage":{"total_tokens":3}}\n\n'

    assert b'"total_tokens":3' in Continuation(told("One")).feed(block)


def test_a_frame_that_is_not_json_is_left_out() -> None:
    made = told("One ")
    made.listen(b'data: {"choices": [{"del}\n\n')

    assert made.text == "One "
    assert made.can_continue


def test_half_a_character_is_text_like_any_other() -> None:
    made = SentText(OPENAI_CHAT)
    made.listen(b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"One \\ud83d"}}]}\n\n')

    again = b'data: {"id":"b","choices":[{"index":0,"delta":{"content":"One \\ud83d\\u2028"}}]}\n\n'
    news = Continuation(made).feed(again)

    assert made.text == "One \ud83d"
    assert text_of(news) == "\u2028"


def pieces(text: str, cuts: Sequence[int]) -> list[str]:
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(edges)]


@given(st.text(max_size=40), st.integers(0, 40), st.lists(st.integers(0, 40)), st.lists(st.integers(0, 40)))
def test_the_caller_has_the_whole_text_once_wherever_it_broke_off_and_however_it_was_cut(
    text: str, broke_off: int, first_cuts: list[int], second_cuts: list[int]
) -> None:
    sent = text[:broke_off]
    made = told(*pieces(sent, first_cuts))
    going_on = Continuation(made)

    news = b"".join(going_on.feed(block) for block in frames(pieces(text, second_cuts), "b"))

    assert sent + text_of(news) == text
    assert going_on.has_caught_up


def message_events(*texts: str) -> list[dict[str, Any]]:
    return [
        START,
        {"type": "ping"},
        block_start(0, type="text", text=""),
        *(delta(0, "text_delta", text=text) for text in texts),
        block_stop(0),
        end(output_tokens=3),
        STOP,
    ]


def told_message(*payloads: dict[str, Any]) -> SentText:
    made = SentText(ANTHROPIC_MESSAGES)
    for payload in payloads:
        made.listen(stream_of(payload))
    return made


@given(st.text(min_size=1, max_size=20), st.integers(1, 20), st.lists(st.integers(0, 20)), st.integers(0, 9))
def test_a_message_that_is_carried_on_is_a_stream_like_any_other(
    text: str, broke_off: int, cuts: list[int], kept: int
) -> None:
    first = message_events(*pieces(text[:broke_off], cuts))[: 4 + kept]
    first = [payload for payload in first if payload["type"] not in ("content_block_stop", "message_delta")]
    first = [payload for payload in first if payload["type"] != "message_stop"]
    made = told_message(*first)

    news = Continuation(made).feed(stream_of(*message_events(*pieces(text, cuts))))

    events = [*first, *events_in(news)]
    assert answer_of(events)["content"] == [{"type": "text", "text": text}]
    kinds = [e["type"] for e in events if e["type"] not in ("ping", "content_block_delta")]
    assert kinds == [
        *("message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"),
    ]


@pytest.mark.parametrize("sent", [1, 2, 5, 6])
def test_a_message_is_carried_on_only_within_its_text(sent: int) -> None:
    assert not told_message(*message_events("One")[:sent]).can_continue
    assert told_message(*message_events("One")[:3]).can_continue
    assert told_message(*message_events("One")[:4]).can_continue


def test_a_message_of_which_nothing_was_sent_comes_as_it_is() -> None:
    made = told_message({"type": "ping"})
    block = stream_of(*message_events("One"))

    assert made.can_continue
    assert Continuation(made).feed(block) == block


def test_a_block_that_ends_before_it_has_caught_up_is_another_answer() -> None:
    made = told_message(*message_events("One two")[:4])

    with pytest.raises(Differs):
        Continuation(made).feed(stream_of(*message_events("One")[:5]))
