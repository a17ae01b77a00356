"""
The catalogue: every vendor, one row each.

A vendor with the OpenAI API needs one row here, and the line that a test prints for docs/vendors.md.
A type without a row is called through LiteLLM, with the type as prefix.
"""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.catalogue.families import (
    CLAUDE_MODELS,
    EXTRAS,
    LOGPROBS,
    OPENAI_MODELS,
    PENALTIES,
    SIGNED_THOUGHTS,
    SYSTEM,
    THOUGHTS,
)
from serve_app.providers.catalogue.vendor import NO_LINK, Adapter, ModelFamily, NativeApi, Starter, Vendor
from serve_app.providers.catalogue.wire_format import OPENAI as OPENAI_FORMATS
from serve_app.providers.catalogue.wire_format import WireFormat


def _chat(model_id: str, task: str, window: int) -> Mapping[str, Any]:
    return {
        "model_id": model_id,
        "task": task,
        "context_window": window,
        "supports_vision": True,
        "supports_function_calling": True,
    }


# Named, because code elsewhere refers to them.
OPENAI = Vendor(
    "openai",
    base_url="https://api.openai.com/v1",
    key_variable="OPENAI_API_KEY",
    families=OPENAI_MODELS,
    starter=Starter(
        "openai_cloud",
        (
            _chat("gpt-5.4", "chat_smart", 1_050_000),
            _chat("gpt-5.4-mini", "chat_small", 272_000),
            {
                "model_id": "text-embedding-3-small",
                "task": "embedding",
                "context_window": 8191,
                "dimension": 1536,
            },
        ),
        date(2026, 11, 30),
    ),
    formats=OPENAI_FORMATS | {WireFormat.OPENAI_COMPLETIONS, WireFormat.OPENAI_RESPONSES},
    free_tasks=frozenset({"moderation"}),  # platform.openai.com/docs/guides/moderation
    formats_elsewhere=OPENAI_FORMATS,  # compatible servers have chat completions
    quality_rank=1,
    speed_rank=2,
)
ANTHROPIC = Vendor(
    "anthropic",
    base_url="https://api.anthropic.com",
    key_variable="ANTHROPIC_API_KEY",
    image_links=frozenset({"https"}),  # the vendor fetches them
    reset_headers="anthropic-ratelimit-",
    formats=frozenset({WireFormat.ANTHROPIC_MESSAGES}),
    counts_tokens=True,
    key_header="x-api-key",
    token_prefix="sk-ant-oat",  # noqa: S106 (how OAuth tokens begin)
    headers={"anthropic-version": "2023-06-01"},
    extra_ends=("/messages",),
    families=CLAUDE_MODELS,
    # Claude has three classes, so that the tiers `haiku`, `sonnet` and `opus` each reach their own.
    starter=Starter(
        "anthropic_direct",
        (
            _chat("claude-sonnet-4-6", "chat_smart", 1_000_000),
            _chat("claude-haiku-4-5", "chat_small", 200_000),
            _chat("claude-opus-4-6", "chat_large", 1_000_000),
        ),
        date(2026, 11, 30),
    ),
    quality_rank=0,
    speed_rank=3,
)
OLLAMA = Vendor(
    "ollama",
    base_url="http://localhost:11434",
    is_own=True,
    address_variable="OLLAMA_BASE_URL",
    image_links=NO_LINK,
    families=(
        ModelFamily(
            "all",
            Dialect(
                drops=EXTRAS | {"n", "logit_bias", "service_tier", "parallel_tool_calls"},
                output_limit="max_tokens",
                roles=SYSTEM,
            ),
            "docs.ollama.com/api/openai-compatibility",
        ),
    ),
    starter=Starter("ollama_local"),
    quality_rank=3,
    speed_rank=0,
)
VLLM = Vendor(
    "vllm",
    is_own=True,
    hosts_models=True,
    formats=OPENAI_FORMATS
    | {WireFormat.OPENAI_COMPLETIONS, WireFormat.OPENAI_RESPONSES, WireFormat.ANTHROPIC_MESSAGES},
    address_variable="VLLM_ENDPOINT",
    rate_variable="VLLM_HOURLY_RATE",
    litellm_prefix="hosted_vllm",
    families=(
        ModelFamily(
            "all",
            Dialect(drops=EXTRAS | {"service_tier"}, roles=SYSTEM),
            "docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        ),
    ),
    # Expected of a server that does not answer yet: the model that the tier `qwen` stands for.
    starter=Starter("vllm_own", ({"model_id": "Qwen/Qwen2.5-7B-Instruct", "context_window": 32_768},)),
)
SCRIPTED = Vendor(
    "scripted",
    Adapter.SCRIPTED,
    is_own=True,
    starter=Starter(
        "simulator",
        (
            {"model_id": "sim-small", "task": "chat_small"},
            {
                "model_id": "sim-smart",
                "task": "chat_smart",
                "supports_vision": True,
                "supports_function_calling": True,
            },
            {"model_id": "sim-embed", "task": "embedding", "dimension": 64},
        ),
    ),
)

_ROWS = (
    OPENAI,
    ANTHROPIC,
    OLLAMA,
    Vendor(
        "openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        reads_provider_preferences=True,
        takes_cache_marks=True,
        starter=Starter(
            "openrouter",
            (
                _chat("openai/gpt-5.4", "chat_smart", 1_050_000),
                _chat("openai/gpt-5.4-mini", "chat_small", 272_000),
            ),
            date(2026, 11, 30),
        ),
    ),
    VLLM,
    Vendor("openai_compatible", litellm_prefix="openai", families=OPENAI_MODELS),
    Vendor(
        "lmstudio",
        base_url="http://localhost:1234/v1",
        is_own=True,
        litellm_prefix="lm_studio",
        image_links=NO_LINK,
        families=(
            ModelFamily(
                "all",
                Dialect(output_limit="max_tokens", roles=SYSTEM),
                "lmstudio.ai/docs/app/api/endpoints/openai",
            ),
        ),
    ),
    Vendor(
        "gemini",
        Adapter.LITELLM,
        base_url="https://generativelanguage.googleapis.com",
        key_variable="GEMINI_API_KEY",
        image_links=NO_LINK,  # LiteLLM would fetch a link itself, from inside our network
        native=NativeApi(
            "/openai/models",
            "Authorization",
            extra_ends=("/openai",),
            version="v1beta",
            preview_version="v1alpha",
            preview_models=r"gemini-([3-9]|\d\d)",
        ),
        families=(
            ModelFamily(
                "all",
                Dialect(
                    drops=frozenset({
                        "logit_bias", "top_logprobs", "user", "metadata", "store", "prediction", "audio",
                        "verbosity", "prompt_cache_key", "prompt_cache_retention", "safety_identifier",
                        "function_call",
                    })
                ),
                "ai.google.dev/api/generate-content",
            ),
        ),
        quality_rank=2,
        speed_rank=1,
    ),
    Vendor(
        "deepseek",
        base_url="https://api.deepseek.com/v1",
        key_variable="DEEPSEEK_API_KEY",
        families=(
            ModelFamily(
                "deepseek-reasoner",
                Dialect(
                    drops=LOGPROBS
                    | PENALTIES
                    | EXTRAS
                    | {"temperature", "top_p", "n", "seed", "logit_bias", "service_tier"}
                    | {"parallel_tool_calls", "response_format.json_schema"},
                    output_limit="max_tokens",
                    roles=SYSTEM,
                    message_drops=SIGNED_THOUGHTS,
                ),
                "api-docs.deepseek.com/guides/reasoning_model",
                r"^deepseek-reasoner",
            ),
            ModelFamily(
                "all others",
                Dialect(
                    drops=EXTRAS
                    | {"n", "seed", "logit_bias", "service_tier", "parallel_tool_calls"}
                    | {"response_format.json_schema"},
                    output_limit="max_tokens",
                    roles=SYSTEM,
                    message_drops=SIGNED_THOUGHTS,
                ),
                "api-docs.deepseek.com/api/create-chat-completion",
            ),
        ),
    ),
    Vendor(
        "moonshot",
        base_url="https://api.moonshot.ai/v1",
        key_variable="MOONSHOT_API_KEY",
        families=(
            ModelFamily(
                "kimi-k2.5 and later",
                Dialect(
                    drops=PENALTIES | {"temperature", "top_p", "n", "functions"},
                    roles=SYSTEM,
                    message_drops=SIGNED_THOUGHTS,
                ),
                "platform.moonshot.ai/docs/api/chat",
                r"^kimi-k?(2\.[5-9]|[3-9])",
            ),
            ModelFamily(
                "all others",
                Dialect(
                    drops=frozenset({"functions"}),
                    at_most={"temperature": 1},
                    roles=SYSTEM,
                    message_drops=SIGNED_THOUGHTS,
                ),
                "platform.moonshot.ai/docs/api/chat",
            ),
        ),
    ),
    Vendor(
        "groq",
        base_url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        families=(
            ModelFamily(
                "all",
                Dialect(drops=LOGPROBS | {"logit_bias", "n"}, message_drops=THOUGHTS | {"name"}),
                "console.groq.com/docs/openai",
            ),
        ),
    ),
    Vendor(
        "mistral",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        families=(
            ModelFamily(
                "all",
                Dialect(
                    drops=LOGPROBS
                    | {"logit_bias", "user", "service_tier", "store", "modalities", "audio", "verbosity"}
                    | {"web_search_options", "safety_identifier"},
                    renames={"seed": "random_seed"},
                    output_limit="max_tokens",
                    roles=SYSTEM,
                    include_usage=False,
                    message_drops=THOUGHTS,
                ),
                "docs.mistral.ai/api",
            ),
        ),
    ),
    Vendor(
        "together",
        base_url="https://api.together.xyz/v1",
        key_variable="TOGETHER_API_KEY",
        litellm_prefix="together_ai",
        families=(
            ModelFamily(
                "all",
                Dialect(output_limit="max_tokens", roles=SYSTEM, message_drops=THOUGHTS),
                "docs.together.ai/reference/chat-completions",
            ),
        ),
    ),
    Vendor(
        "xai",
        base_url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        families=(
            ModelFamily(
                "grok-3-mini, grok-4, grok-code (the reasoning ones)",
                Dialect(drops=PENALTIES | {"stop", "logit_bias"}, message_drops=THOUGHTS),
                "docs.x.ai/docs/guides/reasoning",
                r"^grok-(3-mini|4|code)(?!.*non-reasoning)",
            ),
            ModelFamily(
                "all others",
                Dialect(drops=frozenset({"logit_bias"}), message_drops=THOUGHTS),
                "docs.x.ai/docs/api-reference",
            ),
        ),
    ),
    Vendor("litellm", Adapter.LITELLM, litellm_prefix="", image_links=NO_LINK),
    SCRIPTED,
)  # fmt: skip

VENDORS = {row.type: row for row in _ROWS}

# Variables that describe servers of one's own.
VARIABLES = tuple(name for row in _ROWS for name in (row.address_variable, row.rate_variable) if name)

RESET_HEADERS = tuple(row.reset_headers for row in _ROWS if row.reset_headers)

# LiteLLM's names for those whose requests it passes on as they are.
UNTRANSLATED = frozenset({"openai", "azure", "custom_openai", VLLM.litellm_prefix})

# Types that only LiteLLM knows, by how they begin, with an identity that LiteLLM looks up instead of a key.
_BY_IDENTITY = ("azure", "bedrock", "sagemaker", "vertex_ai", "watsonx", "oci", "sap", "github_copilot")


@lru_cache(maxsize=1024)
def vendor(type_: str) -> Vendor:
    """Return the vendor of that type; one without a row is called through LiteLLM, under its own name."""
    return VENDORS.get(type_) or Vendor(
        type_,
        Adapter.LITELLM,
        has_machine_identity=type_.startswith(_BY_IDENTITY),
        image_links=NO_LINK,
    )
