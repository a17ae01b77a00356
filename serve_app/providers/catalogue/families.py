"""
Families of models with rows of their own in the catalogue, and sets of parameters that rows share.

A family lists the parameters that the vendor refuses, or ignores although they would change the answer. A
model of no family gets everything: a missing family causes a refusal that the caller can read, a wrong one
silently loses a parameter.
"""

from typing import Any

from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.catalogue.vendor import ModelFamily

SYSTEM = {"developer": "system"}
PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})
LOGPROBS = frozenset({"logprobs", "top_logprobs"})
EXTRAS = frozenset({"prediction", "audio", "modalities", "web_search_options", "verbosity"})

_OPENAI_DOCS = "platform.openai.com/docs/guides/reasoning, …/guides/latest-model"
_REASONS = PENALTIES | {"logit_bias", "prediction", "audio", "modalities"}

_ANTHROPIC_DOCS = "docs.anthropic.com/en/api/messages, …/en/api/openai-sdk"
_UNKNOWN_TO_CLAUDE = frozenset({
    "n", "seed", "logit_bias", "response_format.json_object", "service_tier", "metadata", "store",
    "prediction", "modalities", "audio", "verbosity", "prompt_cache_key", "prompt_cache_retention",
    "safety_identifier", "functions", "function_call", "betas", *LOGPROBS, *PENALTIES,
})  # fmt: skip


# Members of messages with another vendor's thinking: strict servers refuse unknown members.
SIGNED_THOUGHTS = frozenset({"thinking_blocks"})
THOUGHTS = SIGNED_THOUGHTS | {"reasoning_content"}


def _claude(drops: frozenset[str] = frozenset(), **rules: Any) -> Dialect:
    """Return a dialect of Anthropic's API: what every Claude leaves out, and what this family adds."""
    return Dialect(
        drops=_UNKNOWN_TO_CLAUDE | drops,
        output_limit="max_tokens",
        limit_includes_thinking=True,
        requires_limit=True,
        **rules,
    )


# These hold on any server that offers OpenAI's models.
OPENAI_MODELS = (
    ModelFamily(
        "gpt-5 chat and search models",
        Dialect(output_limit="max_completion_tokens", message_drops=THOUGHTS),
        _OPENAI_DOCS,
        r"^(openai/)?gpt-5[\d.]*-(chat|search)",
    ),
    ModelFamily(
        "gpt-5, gpt-5-mini, gpt-5-nano, gpt-5-codex, gpt-5-pro",
        Dialect(
            drops=_REASONS | LOGPROBS | {"stop", "web_search_options"},
            only={"temperature": 1, "top_p": 1},
            output_limit="max_completion_tokens",
            message_drops=THOUGHTS,
            encrypts_thoughts=True,
        ),
        _OPENAI_DOCS,
        r"^(openai/)?gpt-5(-(mini|nano|codex|pro))?(-\d{4}-\d\d-\d\d)?$",
    ),
    ModelFamily(
        "gpt-5.1 and later",
        Dialect(
            drops=_REASONS | {"stop", "web_search_options"},
            while_reasoning=LOGPROBS | {"temperature", "top_p"},
            output_limit="max_completion_tokens",
            message_drops=THOUGHTS,
            encrypts_thoughts=True,
        ),
        _OPENAI_DOCS,
        r"^(openai/)?gpt-(5\.\d|[6-9])",
    ),
    ModelFamily(
        "o3, o4-mini",
        Dialect(
            drops=_REASONS | LOGPROBS | {"stop", "parallel_tool_calls"},
            only={"temperature": 1, "top_p": 1},
            output_limit="max_completion_tokens",
            message_drops=THOUGHTS,
            encrypts_thoughts=True,
        ),
        _OPENAI_DOCS,
        r"^(openai/)?(o3(-pro|-deep-research)?|o4-mini(-deep-research)?)(-\d{4}-\d\d-\d\d)?$",
    ),
    ModelFamily(
        "o1, o3-mini",
        Dialect(
            drops=_REASONS | LOGPROBS | {"parallel_tool_calls"},
            only={"temperature": 1, "top_p": 1},
            output_limit="max_completion_tokens",
            message_drops=THOUGHTS,
            encrypts_thoughts=True,
        ),
        _OPENAI_DOCS,
        r"^(openai/)?(o1(-pro)?|o3-mini)(-\d{4}-\d\d-\d\d)?$",
    ),
)

CLAUDE_MODELS = (
    ModelFamily(
        "Claude 4.8 and later",
        _claude(
            frozenset({"top_p", "top_k"}),
            only={"temperature": 1},
            thinks_by_effort=True,
            takes_system_turns=True,
        ),
        _ANTHROPIC_DOCS,
        r"^claude-(opus|sonnet|haiku|fable|mythos)-(4-[89]|[5-9])",
    ),
    ModelFamily(
        "Claude 4.7",
        _claude(frozenset({"top_p", "top_k"}), only={"temperature": 1}, thinks_by_effort=True),
        _ANTHROPIC_DOCS,
        r"^claude-(opus|sonnet|haiku)-4-7(?!\d)",
    ),
    ModelFamily(
        "Claude 4.6",
        _claude(at_most={"temperature": 1}, not_with={"top_p": "temperature"}),
        _ANTHROPIC_DOCS,
        r"^claude-(opus|sonnet|haiku)-4-6(?!\d)",
    ),
    ModelFamily(
        "Claude 4.1, 4.5",
        _claude(at_most={"temperature": 1}, not_with={"top_p": "temperature"}, thinks_by_budget=True),
        _ANTHROPIC_DOCS,
        r"^claude-(opus|sonnet|haiku)-4-[15](?!\d)",
    ),
    ModelFamily(
        "Claude 3.5 and earlier",
        _claude(frozenset({"reasoning_effort", "thinking"}), at_most={"temperature": 1}),
        _ANTHROPIC_DOCS,
        r"^claude-(2|instant|3-5|3-haiku|3-opus|3-sonnet)",
    ),
    ModelFamily("all others", _claude(at_most={"temperature": 1}, thinks_by_budget=True), _ANTHROPIC_DOCS),
)
