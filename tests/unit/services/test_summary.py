"""Questions for summaries."""

import pytest

from serve_app.errors import InvalidRequest
from serve_app.services.summary import MOST_MESSAGES, Level, level_of, summary_question, tokens_used


@pytest.mark.contract(69)
def test_messages_are_numbered_and_separated_by_blank_lines() -> None:
    assert summary_question(["a", "b\nc"], Level.DAILY).material == "[1] a\n\n[2] b\nc"


def test_each_level_asks_for_something_else() -> None:
    asked = {level: summary_question(["a"], level) for level in Level}

    assert "what was decided" in asked[Level.DAILY].instruction
    assert "themes" in asked[Level.WEEKLY].instruction
    assert "patterns" in asked[Level.MONTHLY].instruction
    assert "monthly summary" in asked[Level.MONTHLY].task


def test_the_number_of_words_is_asked_for_and_has_room() -> None:
    few, many = (summary_question(["a"], Level.DAILY, words) for words in (50, 1000))

    assert "at most 50 words" in few.task
    assert (few.max_tokens, many.max_tokens) == (500, 2000)


@pytest.mark.contract(69)
def test_another_level_is_refused_with_the_three_there_are() -> None:
    assert level_of("weekly") is Level.WEEKLY

    with pytest.raises(InvalidRequest, match=r"^Invalid level: hourly\. Must be daily, weekly, or monthly$"):
        level_of("hourly")


def test_a_refusal_repeats_only_the_beginning_of_a_level() -> None:
    with pytest.raises(InvalidRequest) as caught:
        level_of("\ud800" + "x" * 10_000)

    assert len(caught.value.message.encode()) < 200


@pytest.mark.parametrize("words", [0, -1, 5001])
def test_a_number_of_words_out_of_bounds_is_refused(words: int) -> None:
    with pytest.raises(InvalidRequest, match=f"max_words: {words} must be from 1 to 5,000"):
        summary_question(["a"], Level.DAILY, words)


def test_no_messages_and_too_many_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="messages: there must be at least one"):
        summary_question([], Level.DAILY)
    with pytest.raises(InvalidRequest, match="messages: 2,001 are too many"):
        summary_question(["a"] * (MOST_MESSAGES + 1), Level.DAILY)
    with pytest.raises(InvalidRequest, match="messages: 400,002 characters are too many"):
        summary_question(["a" * 200_001] * 2, Level.DAILY)


def test_tokens_are_estimated_for_what_is_read_and_what_is_written() -> None:
    assert tokens_used(["abcd", "abcd"], "abcdefg") == 2 + 1
