"""Scores in the answers of models."""

import pytest

from serve_app.services.importance import LONGEST_REASONING, failed, importance_in, importance_question


@pytest.mark.contract(71)
@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Score: 7", 7.0),
        ("8/10 for importance", 8.0),
        ("9.5", 9.5),
        ("Score: 15", 10.0),
        ("Score: 0", 1.0),
        ("No score here", 5.0),
    ],
)
def test_a_score_in_words_is_read_and_kept_within_the_scale(text: str, score: float) -> None:
    assert importance_in(text) == (score, text)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("score 7", 7.0),
        ("The score is 6.5 because", 6.5),
        ("**Score:** 8", 8.0),
        ("Score (1-10): 7", 7.0),
        ("I give it 7 / 10.", 7.0),
        ("It has 3 parts.\n9 - a decision", 9.0),
        ("Punkte: 8,5/10", 8.5),
        ("Score: -3", 1.0),
        ("118/100", 10.0),
        ("2 of 3 agreed; 7/10", 7.0),
        ("", 5.0),
        ('{"score": 8, "reasoning": "a decision tha', 8.0),
    ],
)
def test_other_ways_to_write_a_score_are_understood(text: str, score: float) -> None:
    assert importance_in(text).score == score


@pytest.mark.parametrize(
    ("written", "score"),
    [("8", 8.0), ("8.5", 8.5), ('"8"', 8.0), ('" 8,5 "', 8.5), ("15", 10.0), ("-1", 1.0), ("1e300", 10.0)],
)
def test_json_is_read_with_its_reasoning(written: str, score: float) -> None:
    text = f'```json\n{{"score": {written}, "reasoning": " A decision. "}}\n```'

    assert importance_in(text) == (score, "A decision.")


@pytest.mark.parametrize("written", ["null", "true", "[]", "{}", '"high"', '""'])
def test_json_without_a_number_has_the_neutral_score(written: str) -> None:
    assert importance_in(f'{{"score": {written}, "reasoning": "why"}}').score == 5.0


def test_there_is_always_a_reasoning_of_bounded_length() -> None:
    assert importance_in("").reasoning == "The model gave no score"
    assert importance_in('{"score": 3}').reasoning == '{"score": 3}'
    assert len(importance_in("Score: 7 " + "x" * 100_000).reasoning) == LONGEST_REASONING


@pytest.mark.contract(71)
def test_a_failure_has_the_neutral_score_and_says_so() -> None:
    assert failed("provider 'x' is down") == (5.0, "Failed to score: provider 'x' is down")


def test_the_context_is_quoted_with_the_conversation() -> None:
    assert importance_question("hi", "they are friends").material == (
        "Context:\nthey are friends\n\nConversation:\nhi"
    )
