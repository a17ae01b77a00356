"""
The `usage` of an answer, as each format writes it.

Chat completions count everything read in `prompt_tokens`; Anthropic Messages keeps what came from a cache, or
went into one, out of `input_tokens`.
"""

from typing import Any

from serve_app.pricing.usage import Tier, Usage

# What the formats call a tier; where a model ran has no word in them.
_SERVICE_TIERS = {
    Tier.PRIORITY: "priority", Tier.FAST: "priority", Tier.FAST_US: "priority", Tier.BATCH: "batch",
}  # fmt: skip


def service_tier_of(usage: Usage) -> str | None:
    """Return the `service_tier` of an answer; None for the usual one."""
    return _SERVICE_TIERS.get(usage.tier)


def messages_usage(usage: Usage | None) -> dict[str, Any]:
    """Return the usage of a message; the two counts that clients need are 0 where nobody knows them."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    for_5m, for_1h = max(0, usage.cache_write_5m), max(0, usage.cache_write_1h)
    members: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_read - for_5m - for_1h),
        "cache_read_input_tokens": max(0, usage.cached_read),
        "cache_creation_input_tokens": for_5m + for_1h,
        "output_tokens": max(0, usage.output_tokens),
    }
    if for_1h:
        members["cache_creation"] = {"ephemeral_5m_input_tokens": for_5m, "ephemeral_1h_input_tokens": for_1h}
    if usage.reasoning:
        members["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.searches:
        members["server_tool_use"] = {"web_search_requests": usage.searches}
    if (tier := service_tier_of(usage)) is not None:
        members["service_tier"] = tier
    return members


def chat_usage(usage: Usage) -> dict[str, Any]:
    """Return the usage of a chat completion."""
    read, written = max(0, usage.input_tokens), max(0, usage.output_tokens)
    members: dict[str, Any] = {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
    stored = usage.cache_write_5m + usage.cache_write_1h
    if usage.cached_read or stored:
        inputs: dict[str, Any] = {"cached_tokens": usage.cached_read, "cache_write_tokens": stored}
        if usage.cache_write_1h:
            inputs["cache_creation_token_details"] = {
                "ephemeral_5m_input_tokens": usage.cache_write_5m,
                "ephemeral_1h_input_tokens": usage.cache_write_1h,
            }
        members["prompt_tokens_details"] = inputs
    if usage.reasoning:
        members["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    if usage.searches:
        members["server_tool_use"] = {"web_search_requests": usage.searches}
    return members
