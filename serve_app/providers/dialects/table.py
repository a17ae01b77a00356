"""
The table: one row for each vendor and family of models that is known not to take everything.

A row lists what the vendor refuses, or ignores although it would change the answer. Where nothing is known,
everything passes: a missing row costs a refusal that the caller can read, a wrong one loses what was asked.
`docs/vendors.md` shows the table; a test compares the two.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from serve_app.config.parameters import Parameters
from serve_app.config.provider import ProviderConfig
from serve_app.providers.dialects.dialect import Dialect

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Row:
    """
    The dialect of the models of some vendors whose ids match `models`, a regular expression.

    `title` names the family in the documentation, `source` says where it is written. The first row that
    matches counts.
    """

    types: tuple[str, ...]
    title: str
    dialect: Dialect
    source: str
    models: str = ""


_SYSTEM = {"developer": "system"}
_PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})
_LOGPROBS = frozenset({"logprobs", "top_logprobs"})
_NO_OTHER_WORDS = frozenset({"prediction", "audio", "modalities", "web_search_options", "verbosity"})

# Whoever passes OpenAI's models on has their limits too.
_OPENAI = ("openai", "openai_compatible")
_OPENAI_SAYS = "platform.openai.com/docs/guides/reasoning, …/guides/latest-model"
_REASONS = _PENALTIES | {"logit_bias", "prediction", "audio", "modalities"}

_ANTHROPIC = frozenset({
    "n", "seed", "logit_bias", "response_format.json_object", "service_tier", "metadata", "store",
    "prediction", "modalities", "audio", "verbosity", "prompt_cache_key", "prompt_cache_retention",
    "safety_identifier", "functions", "function_call", "betas", *_LOGPROBS, *_PENALTIES,
})  # fmt: skip
_ANTHROPIC_SAYS = "docs.anthropic.com/en/api/messages, …/en/api/openai-sdk"

ROWS: tuple[Row, ...] = (
    Row(
        _OPENAI,
        "gpt-5 chat and search models",
        Dialect(output_limit="max_completion_tokens"),
        _OPENAI_SAYS,
        r"^(openai/)?gpt-5[\d.]*-(chat|search)",
    ),
    Row(
        _OPENAI,
        "gpt-5, gpt-5-mini, gpt-5-nano, gpt-5-codex, gpt-5-pro",
        Dialect(
            drops=_REASONS | _LOGPROBS | {"stop", "web_search_options"},
            only={"temperature": 1, "top_p": 1},
            output_limit="max_completion_tokens",
        ),
        _OPENAI_SAYS,
        r"^(openai/)?gpt-5(-(mini|nano|codex|pro))?(-\d{4}-\d\d-\d\d)?$",
    ),
    Row(
        _OPENAI,
        "gpt-5.1 and later",
        Dialect(
            drops=_REASONS | {"stop", "web_search_options"},
            while_reasoning=_LOGPROBS | {"temperature", "top_p"},
            output_limit="max_completion_tokens",
        ),
        _OPENAI_SAYS,
        r"^(openai/)?gpt-(5\.\d|[6-9])",
    ),
    Row(
        _OPENAI,
        "o3, o4-mini",
        Dialect(
            drops=_REASONS | _LOGPROBS | {"stop", "parallel_tool_calls"},
            only={"temperature": 1, "top_p": 1},
            output_limit="max_completion_tokens",
        ),
        _OPENAI_SAYS,
        r"^(openai/)?(o3(-pro|-deep-research)?|o4-mini(-deep-research)?)(-\d{4}-\d\d-\d\d)?$",
    ),
    Row(
        _OPENAI,
        "o1, o3-mini",
        Dialect(
            drops=_REASONS | _LOGPROBS | {"parallel_tool_calls"},
            only={"temperature": 1, "top_p": 1},
            output_limit="max_completion_tokens",
        ),
        _OPENAI_SAYS,
        r"^(openai/)?(o1(-pro)?|o3-mini)(-\d{4}-\d\d-\d\d)?$",
    ),
    Row(
        ("deepseek",),
        "deepseek-reasoner",
        Dialect(
            drops=_LOGPROBS
            | _PENALTIES
            | _NO_OTHER_WORDS
            | {"temperature", "top_p", "n", "seed", "logit_bias", "service_tier", "parallel_tool_calls"}
            | {"response_format.json_schema"},
            output_limit="max_tokens",
            roles=_SYSTEM,
        ),
        "api-docs.deepseek.com/guides/reasoning_model",
        r"^deepseek-reasoner",
    ),
    Row(
        ("deepseek",),
        "all others",
        Dialect(
            drops=_NO_OTHER_WORDS
            | {"n", "seed", "logit_bias", "service_tier", "parallel_tool_calls"}
            | {"response_format.json_schema"},
            output_limit="max_tokens",
            roles=_SYSTEM,
        ),
        "api-docs.deepseek.com/api/create-chat-completion",
    ),
    Row(
        ("moonshot",),
        "kimi-k2.5 and later",
        Dialect(drops=_PENALTIES | {"temperature", "top_p", "n", "functions"}, roles=_SYSTEM),
        "platform.moonshot.ai/docs/api/chat",
        r"^kimi-k?(2\.[5-9]|[3-9])",
    ),
    Row(
        ("moonshot",),
        "all others",
        Dialect(drops=frozenset({"functions"}), at_most={"temperature": 1}, roles=_SYSTEM),
        "platform.moonshot.ai/docs/api/chat",
    ),
    Row(
        ("groq",),
        "all",
        Dialect(drops=_LOGPROBS | {"logit_bias", "n"}, message_drops=frozenset({"name"})),
        "console.groq.com/docs/openai",
    ),
    Row(
        ("mistral",),
        "all",
        Dialect(
            drops=_LOGPROBS
            | {"logit_bias", "user", "service_tier", "store", "modalities", "audio", "verbosity"}
            | {"web_search_options", "safety_identifier"},
            renames={"seed": "random_seed"},
            output_limit="max_tokens",
            roles=_SYSTEM,
            include_usage=False,
        ),
        "docs.mistral.ai/api",
    ),
    Row(
        ("together",),
        "all",
        Dialect(output_limit="max_tokens", roles=_SYSTEM),
        "docs.together.ai/reference/chat-completions",
    ),
    Row(
        ("xai",),
        "grok-3-mini, grok-4, grok-code (the reasoning ones)",
        Dialect(drops=_PENALTIES | {"stop", "logit_bias"}),
        "docs.x.ai/docs/guides/reasoning",
        r"^grok-(3-mini|4|code)(?!.*non-reasoning)",
    ),
    Row(("xai",), "all others", Dialect(drops=frozenset({"logit_bias"})), "docs.x.ai/docs/api-reference"),
    Row(
        ("ollama",),
        "all",
        Dialect(
            drops=_NO_OTHER_WORDS | {"n", "logit_bias", "service_tier", "parallel_tool_calls"},
            output_limit="max_tokens",
            roles=_SYSTEM,
        ),
        "docs.ollama.com/api/openai-compatibility",
    ),
    Row(
        ("vllm",),
        "all",
        Dialect(drops=_NO_OTHER_WORDS | {"service_tier"}, roles=_SYSTEM),
        "docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    ),
    Row(
        ("lmstudio",),
        "all",
        Dialect(output_limit="max_tokens", roles=_SYSTEM),
        "lmstudio.ai/docs/app/api/endpoints/openai",
    ),
    Row(
        ("anthropic",),
        "Claude 4.7 and later",
        Dialect(
            drops=_ANTHROPIC | {"top_p", "top_k"},
            only={"temperature": 1},
            output_limit="max_tokens",
        ),
        _ANTHROPIC_SAYS,
        r"^claude-(opus|sonnet|haiku|fable|mythos)-(4-[7-9]|[5-9])",
    ),
    Row(
        ("anthropic",),
        "Claude 4.1, 4.5, 4.6",
        Dialect(
            drops=_ANTHROPIC,
            at_most={"temperature": 1},
            not_with={"top_p": "temperature"},
            output_limit="max_tokens",
        ),
        _ANTHROPIC_SAYS,
        r"^claude-(opus|sonnet|haiku)-4-[156](?!\d)",
    ),
    Row(
        ("anthropic",),
        "Claude 3.5 and earlier",
        Dialect(
            drops=_ANTHROPIC | {"reasoning_effort", "thinking"},
            at_most={"temperature": 1},
            output_limit="max_tokens",
        ),
        _ANTHROPIC_SAYS,
        r"^claude-(2|instant|3-5|3-haiku|3-opus|3-sonnet)",
    ),
    Row(
        ("anthropic",),
        "all others",
        Dialect(drops=_ANTHROPIC, at_most={"temperature": 1}, output_limit="max_tokens"),
        _ANTHROPIC_SAYS,
    ),
    Row(
        ("gemini",),
        "all",
        Dialect(
            drops=frozenset({
                "logit_bias", "top_logprobs", "user", "metadata", "store", "prediction", "audio", "verbosity",
                "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "function_call",
            })
        ),
        "ai.google.dev/api/generate-content",
    ),
)  # fmt: skip

_EVERYTHING = Dialect()
_UNKNOWN = Dialect(is_known=False)

# Types of the wire that take what they are sent; every other type without a row is the translator's.
_TAKE_EVERYTHING = frozenset({"openai", "openai_compatible", "openrouter", "scripted"})


@lru_cache(maxsize=4096)
def _row_of(type_: str, model_id: str) -> Dialect:
    for row in ROWS:
        if type_ in row.types and re.search(row.models, model_id):
            return row.dialect
    return _EVERYTHING if type_ in _TAKE_EVERYTHING else _UNKNOWN


def dialect_of(type_: str, model_id: str, *said: Parameters | None) -> Dialect:
    """The dialect of a vendor's model; `said` is what operators say of it, the last word last."""
    dialect = _row_of(type_, model_id)
    for parameters in said:
        if parameters is not None:
            dialect = _amended(dialect, parameters)
    return dialect


def dialect_for(config: ProviderConfig, model_id: str) -> Dialect:
    """The dialect of a configured provider's model, with what the configuration says of both."""
    of_model = (model.parameters for model in config.models if model.model_id == model_id)
    return dialect_of(config.type, model_id, config.parameters, next(filter(None, of_model), None))


def _amended(dialect: Dialect, said: Parameters) -> Dialect:
    takes = frozenset(said.take)
    renames = {**_without(dialect.renames, takes), **said.other_renames}
    # Whoever names the vendor's word for a parameter says that the vendor takes it.
    taken = takes.union(said.rename)
    limit = None if takes.intersection(("max_tokens", "max_completion_tokens")) else dialect.output_limit
    return replace(
        dialect,
        drops=frozenset(
            name for name in dialect.drops if taken.isdisjoint((name, name.partition(".")[0]))
        ).union(said.drop),
        while_reasoning=dialect.while_reasoning - takes,
        only=_without(dialect.only, takes),
        at_most=_without(dialect.at_most, takes),
        not_with=_without(dialect.not_with, takes),
        renames=renames,
        output_limit=said.output_limit or limit,
        roles={**dialect.roles, **said.roles},
        include_usage=dialect.include_usage if said.include_usage is None else said.include_usage,
    )


def _without(rules: Mapping[str, V], names: frozenset[str]) -> dict[str, V]:
    return {name: rule for name, rule in rules.items() if name not in names}
