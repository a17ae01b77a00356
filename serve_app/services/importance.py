"""Scores of importance: from 1, trivial, to 10, critical."""

import re
from typing import Any, NamedTuple

from serve_app.services.answer import object_in
from serve_app.services.material import check_length, check_text
from serve_app.services.question import Form, Question

LEAST, MOST = 1.0, 10.0
NEUTRAL = 5.0  # where nobody says a score
LONGEST_REASONING = 2_000  # characters

_FORM = Form(
    "importance",
    {
        "type": "object",
        "properties": {"score": {"type": "number"}, "reasoning": {"type": "string"}},
        "required": ["score", "reasoning"],
        "additionalProperties": False,
    },
)
_INSTRUCTION = (
    "You judge how important it is to remember a conversation. The scale: 1 to 3 is trivial (small talk, "
    "greetings), 4 to 6 is useful (information that may be needed again), 7 to 9 is important (decisions, "
    "plans, commitments, facts about people), 10 is critical (losing it would do harm). Answer with one JSON "
    'object and nothing else: {"score": a number from 1 to 10, "reasoning": one or two sentences}.'
)

_NUMBER = r"(-?\d{1,6}(?:[.,]\d{1,6})?)"
# In this order: "Score: 8", also "Score (1-10): 8" and "**Score:** 8"; "8/10"; a number at a line's start.
_WRITTEN = (
    re.compile(
        rf"score[*_\"'`]{{0,3}}(?:\s(?:is|of))?(?:\s?\([^()\n]{{0,40}}\))?[\s:=*_\"'`]{{0,8}}{_NUMBER}",
        re.IGNORECASE,
    ),
    re.compile(rf"(?<![\d.,]){_NUMBER}\s{{0,3}}/\s{{0,3}}10(?!\d)"),
    re.compile(rf"^[ \t*_]{{0,8}}{_NUMBER}", re.MULTILINE),
)


class Importance(NamedTuple):
    """A score, and why."""

    score: float
    reasoning: str


def importance_question(
    conversation: str, context: str | None = None, param: str = "conversation"
) -> Question:
    """
    Return the question for a score.

    Args:
        conversation: what to judge.
        context: what else the judge should know; quoted like the conversation.
        param: what the caller calls the conversation, for messages.

    Raises:
        InvalidRequest: they are too long.
    """
    check_text(conversation, param)
    if context:
        check_text(context, "context")
        check_length(len(conversation) + len(context), f"{param} and context")
        material = f"Context:\n{context}\n\nConversation:\n{conversation}"
    else:
        material = conversation
    return Question(
        instruction=_INSTRUCTION,
        material=material,
        task="Score the importance of the conversation in this material as the JSON object.",
        temperature=0.3,
        max_tokens=200,
        form=_FORM,
    )


def importance_in(text: str) -> Importance:
    """Return the score that a model's answer says, in JSON or in words; the neutral one where none is."""
    found = object_in(text)
    if found is not None and (score := _number(found.get("score"))) is not None:
        reasoning = found.get("reasoning")
        return Importance(score, _shortened(reasoning if isinstance(reasoning, str) else text))
    for pattern in _WRITTEN:
        if match := pattern.search(text):
            return Importance(_clamped(float(match[1].replace(",", "."))), _shortened(text))
    return Importance(NEUTRAL, _shortened(text) or "The model gave no score")


def failed(reason: str) -> Importance:
    """Return the score of a conversation that no model could judge; `reason` says why."""
    return Importance(NEUTRAL, _shortened(f"Failed to score: {reason}"))


def _number(value: Any) -> float | None:
    if isinstance(value, str) and re.fullmatch(_NUMBER, value.strip(), re.ASCII):
        value = float(value.strip().replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _clamped(value)


def _clamped(value: float) -> float:
    return float(min(MOST, max(LEAST, value)))


def _shortened(text: str) -> str:
    return text.strip()[:LONGEST_REASONING]
