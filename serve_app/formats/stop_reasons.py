"""Why an answer ended: the words of chat completions and of Anthropic Messages, in both directions."""

from typing import Any, NamedTuple

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


class Stop(NamedTuple):
    """
    The end of a message.

    Fields:
        reason: Anthropic's `stop_reason`.
        sequence: the stop sequence that ended it; None where none did, or where nobody knows which.
        details: Anthropic's `stop_details`; None for everything but a refusal.
    """

    reason: str
    sequence: str | None = None
    details: dict[str, Any] | None = None


def stop_of(
    finish_reason: str | None, has_calls: bool, is_refusal: bool, sequence: str | None = None
) -> Stop:
    """
    Return how a message ended that was a chat completion.

    Args:
        finish_reason: the upstream's; None where it gave none.
        has_calls: whether the answer calls tools; a caller waits for those, whatever the upstream says.
        is_refusal: whether the answer is nothing but a refusal.
        sequence: the stop sequence that the upstream says it met.
    """
    if finish_reason == "length":
        return Stop("max_tokens")
    if finish_reason == "content_filter" or (is_refusal and not has_calls):
        return Stop("refusal", details={"type": "refusal", "category": None, "explanation": None})
    if has_calls:
        return Stop("tool_use")
    return Stop("end_turn") if sequence is None else Stop("stop_sequence", sequence)


def finish_reason_of(stop_reason: object, has_calls: bool) -> str:
    """
    Return the `finish_reason` of a chat completion that was a message.

    Args:
        stop_reason: the upstream's; a word without a counterpart is passed on, because it may say that the
            answer is not whole.
        has_calls: whether the answer calls tools.
    """
    reason = _FINISH_REASONS.get(stop_reason, stop_reason) if isinstance(stop_reason, str) else "stop"
    if reason == "stop" and has_calls:
        return "tool_calls"
    return "stop" if reason == "tool_calls" and not has_calls else reason


def explanation_of(stop_details: object) -> str | None:
    """Return the upstream's words for a refusal; None without any."""
    explanation = stop_details.get("explanation") if isinstance(stop_details, dict) else None
    return explanation if isinstance(explanation, str) and explanation else None
