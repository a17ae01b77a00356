"""
For how long a stream may say nothing before somebody else is asked.

Most models begin within seconds. One that thinks first, one with a long prompt to read, and one on a machine
of one's own, which may have to load it, take longer without being ill.
"""

import re

SOON_S = 15.0
PATIENT_S = 60.0
LONG_PROMPT = 32_000  # tokens

# Models that think before they speak, unless they are told not to. Others do so only when they are asked to.
_THINKS = re.compile(
    r"(^|[/:._-])"
    r"(o[134](?![a-z0-9])|gpt-5(?!.*chat)|gpt-oss|gemini-(2[.]5|[3-9])|grok-(3-mini|[4-9])|qwen3|qwq|r1"
    r"|magistral|minimax-m|glm-(4[.][5-9]|[5-9]|z1)|nemotron|seed-oss)"
    r"|thinking|reason|deep-?research"
)


def thinks(model_id: str) -> bool:
    """Return whether a model of this name is known to think before its first token."""
    return _THINKS.search(model_id.lower()) is not None


def first_token_limit(
    configured_s: float | None, model_id: str, *, is_asked_to_think: bool, input_tokens: int, is_own: bool
) -> float:
    """
    Return how many seconds a stream may take to its first token; what is configured counts exactly.

    `is_own`: the model runs on a machine of one's own.
    """
    if configured_s is not None:
        return configured_s
    takes_long = is_own or is_asked_to_think or input_tokens > LONG_PROMPT or thinks(model_id)
    return PATIENT_S if takes_long else SOON_S
