"""
Why an answer ended, in a vendor's words and in OpenAI's.

A reason that says that the answer is cut must not look like one that says it is whole, and one that says that
the vendor failed is a failure. A reason nobody here knows is passed on as it is, and told in the log.
"""

import logging
from dataclasses import dataclass
from functools import lru_cache

from serve_app.errors import FailureKind

logger = logging.getLogger("sekha.providers")

_OPENAIS = ("stop", "length", "tool_calls", "function_call", "content_filter")

# Cut, and for want of room: clients look for `length` to tell.
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

# Other vendors' words that LiteLLM puts into OpenAI's as they are meant.
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
    An ending: `word` is the reason for the caller.

    `failure` is set where the answer did not end but fail; `is_known` is False where nobody here knows what
    the word means.
    """

    word: str
    failure: FailureKind | None = None
    is_known: bool = True


def finish_of(reason: str) -> Finish:
    """Return what a vendor's reason means."""
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
    Return what a reason means that a translator has put into OpenAI's word.

    Its word stands where it knows the vendor's; it says `stop` for whatever it does not know.
    """
    finish = finish_of(reason)
    if finish.failure is not None or finish.word == "length":
        return finish
    if finish.is_known or reason.lower() in _TRANSLATED:
        return Finish(word)
    return finish


@lru_cache(maxsize=256)
def tell_unknown_finish(provider_id: str, reason: str) -> None:
    """Log a reason that nobody here knows, once for each provider."""
    logger.warning("provider '%s' ends answers with the unknown finish_reason '%.64s'", provider_id, reason)
