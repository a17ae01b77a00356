"""
Finish reasons of vendors, mapped to OpenAI's.

A reason for a truncated answer must not look like one for a whole answer, and a reason that reports a failure
becomes a failure. An unknown reason is passed on unchanged and logged.
"""

import logging
from dataclasses import dataclass
from functools import lru_cache

from serve_app.errors import FailureKind

logger = logging.getLogger("sekha.providers")

_OPENAIS = ("stop", "length", "tool_calls", "function_call", "content_filter")

# Truncated: clients recognise that by `length`.
_CUT = (
    "model_length",  # Mistral
    "model_context_window_exceeded",  # Anthropic
    "max_tokens",
    "max_output_tokens",
    "error_limit",  # Cohere
    "incomplete",  # OpenAI's Responses
)

_FAILED = {
    "error": FailureKind.BROKEN,
    "error_toxic": FailureKind.CONTENT_FILTER,  # Cohere
    "network_error": FailureKind.BROKEN,  # Zhipu
    "model_error": FailureKind.BROKEN,
    "unknown_error": FailureKind.BROKEN,
    "abort": FailureKind.BROKEN,  # vLLM, SGLang
    "aborted": FailureKind.BROKEN,
    "cancelled": FailureKind.BROKEN,
    "canceled": FailureKind.BROKEN,
    "user_cancel": FailureKind.BROKEN,  # Cohere
    "timeout": FailureKind.BROKEN,
    "insufficient_system_resource": FailureKind.OVERLOADED,  # DeepSeek
    "finish_reason_unspecified": FailureKind.BROKEN,  # Gemini, with those that follow
    "malformed_function_call": FailureKind.BROKEN,
    "malformed_response": FailureKind.BROKEN,
    "unexpected_tool_call": FailureKind.BROKEN,
    "missing_thought_signature": FailureKind.BROKEN,
}

# Other vendors' reasons that LiteLLM translates correctly.
_TRANSLATED = frozenset(
    {
        *("end_turn", "stop_sequence", "tool_use", "refusal", "compaction", "content_filtered"),  # Anthropic
        *("complete", "tool_call"),  # Cohere
        *("eos", "eos_token"),
        *("safety", "recitation", "language", "other", "blocklist", "prohibited_content", "spii"),  # Gemini
        *("image_safety", "image_prohibited_content", "no_image", "image_recitation", "image_other"),
        *("escalation", "too_many_tool_calls"),
        *("sensitive",),  # Zhipu
        *("guardrail_intervened",),  # Bedrock
    }
)


@dataclass(frozen=True, slots=True)
class Finish:
    """
    The end of an answer.

    Fields:
        word: the finish reason for the caller.
        failure: set if the answer failed.
        is_known: False for an unknown reason.
    """

    word: str
    failure: FailureKind | None = None
    is_known: bool = True


def finish_of(reason: str) -> Finish:
    """Return the meaning of a vendor's reason."""
    name = reason.lower()
    if name in _OPENAIS:
        return Finish(name)
    if name in _CUT:
        return Finish("length")
    if name in _FAILED:
        return Finish(reason, _FAILED[name])
    if "error" in name or "fail" in name:
        return Finish(reason, FailureKind.BROKEN)
    return Finish(reason, is_known=False)


def retold(reason: str, word: str) -> Finish:
    """
    Return the meaning of a reason that a translator has mapped to OpenAI's `word`.

    The translator's word is used only for reasons that it knows; for all others it says `stop`.
    """
    finish = finish_of(reason)
    if finish.failure is not None or finish.word == "length":
        return finish
    if finish.is_known or reason.lower() in _TRANSLATED:
        return Finish(word)
    return finish


@lru_cache(maxsize=256)
def tell_unknown_finish(provider_id: str, reason: str) -> None:
    """Log an unknown reason, once for each provider."""
    logger.warning("provider '%s' ends answers with the unknown finish_reason '%.64s'", provider_id, reason)
