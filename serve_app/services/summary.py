"""Summaries of a day's messages, of a week's days, and of a month's weeks."""

from collections.abc import Sequence
from enum import StrEnum

from serve_app.errors import InvalidRequest
from serve_app.services.material import check_length, check_text
from serve_app.services.question import Question

MOST_MESSAGES = 2_000
MOST_WORDS = 5_000
DEFAULT_WORDS = 200

_LONGEST_TOLD = 100  # characters of a caller's text that a message repeats
_CHARS_PER_TOKEN = 4
_LEAST_TOKENS = 500
_TOKENS_PER_WORD = 2  # generous for English; other languages need more tokens a word


class Level(StrEnum):
    """The material of a summary: messages of a day, summaries of days, summaries of weeks."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


_INSTRUCTIONS = {
    Level.DAILY: (
        "The material is the messages of one day, numbered in the order in which they were written. "
        "Summarise the day: the topics that were discussed, what was decided, and what is left to do and "
        "for whom."
    ),
    Level.WEEKLY: (
        "The material is the summaries of the days of one week, numbered in order. Merge them into one "
        "summary of the week: the themes that run through it, what progressed and what stalled, and where "
        "things are heading. Do not go through it day by day."
    ),
    Level.MONTHLY: (
        "The material is the summaries of the weeks of one month, numbered in order. Write an overview of "
        "the month from some distance: the major themes, the developments that mattered, and the patterns "
        "that repeat."
    ),
}
_MANNER = (
    "You write concise, factual summaries. Report only what the material says, with its names, numbers and "
    "dates, in the language of the material. Answer with the summary alone, without an introduction."
)


def level_of(name: str) -> Level:
    """Return the level of this name. Raises InvalidRequest for another one."""
    try:
        return Level(name)
    except ValueError:
        shown = name[:_LONGEST_TOLD].encode("utf-8", "replace").decode()
        raise InvalidRequest(
            f"Invalid level: {shown}. Must be daily, weekly, or monthly", param="level"
        ) from None


def summary_question(messages: Sequence[str], level: Level, max_words: int = DEFAULT_WORDS) -> Question:
    """
    Return the question for a summary of at most so many words.

    Raises:
        InvalidRequest: there are no messages, too many, or too long ones; `max_words` is out of bounds.
    """
    check_messages(messages)
    if not 1 <= max_words <= MOST_WORDS:
        raise InvalidRequest(f"max_words: {max_words} must be from 1 to {MOST_WORDS:,}", param="max_words")
    return Question(
        instruction=f"{_MANNER}\n\n{_INSTRUCTIONS[level]}",
        material="\n\n".join(f"[{number}] {text}" for number, text in enumerate(messages, start=1)),
        task=f"Write the {level} summary of this material, in at most {max_words} words.",
        temperature=0.3,
        max_tokens=max(_LEAST_TOKENS, _TOKENS_PER_WORD * max_words),
    )


def check_messages(messages: Sequence[str]) -> None:
    """Raise InvalidRequest (400, 413) for messages that cannot be summarised, with the reason."""
    if not messages:
        raise InvalidRequest("messages: there must be at least one", param="messages")
    if len(messages) > MOST_MESSAGES:
        raise InvalidRequest(
            f"messages: {len(messages):,} are too many; at most {MOST_MESSAGES:,} at once. Summarise parts "
            "of them, and then the summaries",
            param="messages",
            code="request_too_large",
            status=413,
        )
    check_length(sum(map(len, messages)), "messages")
    for place, text in enumerate(messages):
        check_text(text, f"messages[{place}]")


def tokens_used(messages: Sequence[str], summary: str) -> int:
    """Return the estimate that callers of version 1 know: four characters a token, read and written."""
    return sum(map(len, messages)) // _CHARS_PER_TOKEN + len(summary) // _CHARS_PER_TOKEN
