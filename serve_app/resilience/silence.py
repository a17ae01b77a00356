"""
The time limit for the first token of a stream.

Most models begin within seconds. A reasoning model, a model with a long prompt to read, and a model on a
local machine, which may have to load it first, take longer without being faulty.
"""

import re

SOON_S = 15.0
PATIENT_S = 60.0
LONG_PROMPT = 32_000  # tokens

# Models that reason by default, unless a request turns it off. Others reason only on request.
_THINKS = re.compile(
    r"(^|[/:._-])"
    r"(o[134](?![a-z0-9])|gpt-5(?!.*chat)|gpt-oss|gemini-(2[.]5|[3-9])|grok-(3-mini|[4-9])|qwen3|qwq|r1"
    r"|magistral|minimax-m|glm-(4[.][5-9]|[5-9]|z1)|nemotron|seed-oss)"
    r"|thinking|reason|deep-?research"
)


def thinks(model_id: str) -> bool:
    """Return whether a model of this name is known to reason before its first token."""
    return _THINKS.search(model_id.lower()) is not None


def first_token_limit(
    configured_s: float | None, model_id: str, *, is_asked_to_think: bool, input_tokens: int, is_own: bool
) -> float:
    """
    Return the seconds that a stream may take until its first token.

    Args:
        configured_s: the configured limit, used as it is; None: choose by the model and the request.
        model_id: the model, whose name may be that of a reasoning model.
        is_asked_to_think: the request turns reasoning on.
        input_tokens: the size of the prompt.
        is_own: the model runs on a local machine.
    """
    if configured_s is not None:
        return configured_s
    takes_long = is_own or is_asked_to_think or input_tokens > LONG_PROMPT or thinks(model_id)
    return PATIENT_S if takes_long else SOON_S
