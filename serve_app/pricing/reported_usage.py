"""
The conversion of vendors' usage into counts that do not overlap.

    OpenAI, chat and embeddings    `prompt_tokens` includes cached, written and audio tokens,
                                   `completion_tokens` the reasoning; likewise vLLM, Ollama's /v1,
                                   OpenRouter, and LiteLLM's translations of others
      DeepSeek                     `prompt_cache_hit_tokens` is the cached part, outside the details
      xAI, Gemini's /openai        `completion_tokens` excludes reasoning; only `total_tokens` includes it
    OpenAI, other endpoints        the same as `input_tokens`, `output_tokens`; or `seconds`
    Anthropic                      `input_tokens` excludes tokens read from or written to the cache
    Gemini                         `promptTokenCount` includes the cached part; thoughts are separate
    Ollama's /api                  `prompt_eval_count`, `eval_count`

The vendor's sum of input tokens is authoritative: details that exceed it are reduced.
"""

from collections.abc import Callable, Iterable, Mapping
from math import ceil, isfinite
from typing import Any

from serve_app.pricing.usage import Tier, Usage, anthropic_tier, tier_of

MOST = 10**12  # a larger count is a mistake, and would not fit into a ledger

# The sums that must be between zero and `MOST`: of input and of output tokens.
_READ = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count")
_WRITTEN = ("completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count")

_READ_FROM_CACHE = "cache_read_input_tokens"
# Steps of an answer that Anthropic leaves out of the sums: it made the conversation shorter, or asked advice.
_BESIDE_THE_SUMS = ("compaction", "advisor_message")
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")
_PLAIN = frozenset(("prompt_tokens", "completion_tokens", "total_tokens", *_DETAILS))


def usage_of(reported: Mapping[str, Any] | None, service_tier: object = None) -> Usage | None:
    """
    Convert a vendor's usage, in any of the formats above.

    Sums that are negative or too large are returned as they are: the code that charges for them rejects them.

    Args:
        reported: the usage object.
        service_tier: the answer's own `service_tier`, used if the usage has none.

    Returns:
        The usage; None if there is none, if its sums are not numbers (a provider's mistake must not fail the
            answer), or if all of them are zero, which LiteLLM reports for a missing usage.
    """
    if not reported:
        return None
    tier = _tier(reported, service_tier)
    try:
        if (wrong := _out_of_range(reported)) is not None:
            return wrong
        usage = _read(reported, tier)
    except (TypeError, ValueError, OverflowError):
        return None
    if searches := _searches(reported):
        usage = usage._replace(searches=searches)
    return usage if usage.total_tokens or usage.seconds or usage.images else None


def message_usage(reported: Mapping[str, Any] | None) -> Usage | None:
    """Read the usage of an answer in Anthropic's format, which may not mention a cache."""
    return usage_of({_READ_FROM_CACHE: 0, **reported}) if reported else None


def _tier(reported: Mapping[str, Any], service_tier: object) -> Tier:
    """Return the service tier; Anthropic reports `speed` and `inference_geo` separately."""
    geo = "us" if reported.get("inference_geo") == "us" else None
    return tier_of(anthropic_tier(reported.get("speed"), geo, reported.get("service_tier") or service_tier))


def _out_of_range(reported: Mapping[str, Any]) -> Usage | None:
    """Return the two sums as reported if one of them is impossible; else None."""
    read = _raw(reported, _READ)
    written = _raw(reported, _WRITTEN)
    return None if 0 <= read <= MOST and 0 <= written <= MOST else Usage(read, written)


def _raw(reported: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """Return the first of these sums that is present, limited to 2**60; raise ValueError if not a number."""
    for name in names:
        value = reported.get(name)
        if value is not None:
            if type(value) is not int:
                value = float(value)
                if not isfinite(value):
                    raise ValueError(f"'{name}' is no count: {value!r}")
            return max(-(2**60), min(2**60, ceil(value)))
    return 0


def _searches(reported: Mapping[str, Any]) -> int:
    """Return the searches that the vendor ran: of Anthropic, Gemini through LiteLLM, Perplexity, or xAI."""
    return (
        _part(_details(reported, "server_tool_use"), "web_search_requests")
        or _part(_details(reported, "prompt_tokens_details"), "web_search_requests")
        or _part(reported, "num_search_queries")
        or _part(reported, "num_sources_used")
    )


def _read(reported: Mapping[str, Any], tier: Tier) -> Usage:
    if "promptTokenCount" in reported or "candidatesTokenCount" in reported:
        return _gemini(reported, tier)
    if "prompt_eval_count" in reported or "eval_count" in reported:
        return _ollama(reported)
    if "prompt_tokens" in reported or "completion_tokens" in reported:
        return _openai_chat(reported, tier)
    if _READ_FROM_CACHE in reported or "cache_creation_input_tokens" in reported:
        return _anthropic(reported, tier)
    return _openai(reported, tier)


def _openai_chat(reported: Mapping[str, Any], tier: Tier) -> Usage:
    read, written = _sum(reported, "prompt_tokens"), _sum(reported, "completion_tokens")
    inputs = _details(reported, "prompt_tokens_details")
    outputs = _details(reported, "completion_tokens_details")
    is_plain = reported.keys() <= _PLAIN and not any(inputs.values()) and not any(outputs.values())
    if is_plain and _part(reported, "total_tokens") <= read + written:  # the usual case
        return Usage(read, written, tier=tier)
    reasoning = _part(outputs, "reasoning_tokens") or _part(reported, "reasoning_tokens")
    beside = max(0, _part(reported, "total_tokens") - read - written)
    if beside and (beside == reasoning or not outputs):
        reasoning = beside
        written += beside
    cached = (
        _part(inputs, "cached_tokens")
        or _part(reported, "cache_read_input_tokens")
        or _part(reported, "prompt_cache_hit_tokens")
        or _part(reported, "cached_tokens")
    )
    stored = (
        _part(inputs, "cache_write_tokens")
        or _part(inputs, "cache_creation_tokens")
        or _part(reported, "cache_creation_input_tokens")
    )
    held = _details(inputs, "cache_creation_token_details") or _details(reported, "cache_creation")
    return _sorted(read, written, cached, _held(stored, held), reasoning, inputs, outputs)._replace(tier=tier)


def _openai(reported: Mapping[str, Any], tier: Tier) -> Usage:
    """Convert the usage of responses, transcriptions and images."""
    inputs = _details(reported, "input_tokens_details") or _details(reported, "input_token_details")
    outputs = _details(reported, "output_tokens_details") or _details(reported, "output_token_details")
    usage = _sorted(
        _sum(reported, "input_tokens"),
        _sum(reported, "output_tokens"),
        _part(inputs, "cached_tokens"),
        (_part(inputs, "cache_write_tokens"), 0),
        _part(outputs, "reasoning_tokens"),
        inputs,
        outputs,
    )._replace(tier=tier)
    return usage if usage.total_tokens else Usage(seconds=_sum(reported, "seconds"), tier=tier)


def _anthropic(reported: Mapping[str, Any], tier: Tier) -> Usage:
    usage = _anthropic_sums(reported, _sum)
    steps = reported.get("iterations")
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, Mapping) and step.get("type") in _BESIDE_THE_SUMS:
            more = _anthropic_sums(step, _part)
            usage = Usage(
                input=usage.input + more.input,
                output=usage.output + more.output,
                cached_read=usage.cached_read + more.cached_read,
                cache_write_5m=usage.cache_write_5m + more.cache_write_5m,
                cache_write_1h=usage.cache_write_1h + more.cache_write_1h,
                reasoning=usage.reasoning + more.reasoning,
            )
    return usage._replace(tier=tier)


def _anthropic_sums(reported: Mapping[str, Any], count: Callable[[Mapping[str, Any], str], int]) -> Usage:
    stored = _part(reported, "cache_creation_input_tokens")
    for_5m, for_1h = _held(stored, _details(reported, "cache_creation"))
    written = count(reported, "output_tokens")
    thoughts = min(written, _part(_details(reported, "output_tokens_details"), "thinking_tokens"))
    return Usage(
        input=count(reported, "input_tokens"),
        output=written - thoughts,
        cached_read=_part(reported, _READ_FROM_CACHE),
        cache_write_5m=for_5m,
        cache_write_1h=for_1h,
        reasoning=thoughts,
    )


def _gemini(reported: Mapping[str, Any], tier: Tier) -> Usage:
    read = _sum(reported, "promptTokenCount")
    of_cache = _modalities(reported.get("cacheTokensDetails"))
    inputs = {**_modalities(reported.get("promptTokensDetails")), "cached_tokens_details": of_cache}
    thoughts = _part(reported, "thoughtsTokenCount")
    return _sorted(
        read + _part(reported, "toolUsePromptTokenCount"),
        _sum(reported, "candidatesTokenCount") + thoughts,
        min(read, _part(reported, "cachedContentTokenCount")),
        (0, 0),
        thoughts,
        inputs,
        _modalities(reported.get("candidatesTokensDetails")),
    )._replace(tier=tier)


def _ollama(reported: Mapping[str, Any]) -> Usage:
    return Usage(_sum(reported, "prompt_eval_count"), _sum(reported, "eval_count"))


def _sorted(
    read: int,
    written: int,
    cached: int,
    stored: tuple[int, int],
    reasoning: int,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
) -> Usage:
    """Divide the two sums into kinds; every detail gets at most what the ones before it have left."""
    from_cache = _details(inputs, "cached_tokens_details")
    audio = _part(inputs, "audio_tokens") - _part(from_cache, "audio_tokens")
    image = _part(inputs, "image_tokens") - _part(from_cache, "image_tokens")
    (cached, for_5m, for_1h, audio, image), text = _shared(read, (cached, *stored, audio, image))
    (reasoning, audio_output, image_output), output = _shared(
        written, (reasoning, _part(outputs, "audio_tokens"), _part(outputs, "image_tokens"))
    )
    return Usage(
        input=text,
        output=output,
        cached_read=cached,
        cache_write_5m=for_5m,
        cache_write_1h=for_1h,
        reasoning=reasoning,
        audio_input=audio,
        audio_output=audio_output,
        image_input=image,
        image_output=image_output,
        images=_part(inputs, "image_count"),
    )


def _shared(whole: int, amounts: Iterable[int]) -> tuple[list[int], int]:
    """Return each amount limited to what the ones before it leave of the whole, and the rest."""
    shares = []
    for amount in amounts:
        shares.append(min(max(0, amount), whole))
        whole -= shares[-1]
    return shares, whole


def _held(stored: int, details: Mapping[str, Any]) -> tuple[int, int]:
    """Return the tokens cached for five minutes and for an hour; the former without details."""
    for_5m = _part(details, "ephemeral_5m_input_tokens")
    for_1h = _part(details, "ephemeral_1h_input_tokens")
    return max(for_5m, stored - for_1h), for_1h


def _modalities(counts: object) -> dict[str, Any]:
    """Convert Gemini's counts by modality to OpenAI's names."""
    found: dict[str, Any] = {}
    for count in counts if isinstance(counts, list) else ():
        if isinstance(count, Mapping):
            name = f"{str(count.get('modality')).lower()}_tokens"
            found[name] = found.get(name, 0) + _part(count, "tokenCount")
    return found


def _details(reported: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = reported.get(name)
    return details if isinstance(details, Mapping) else {}


def _sum(reported: Mapping[str, Any], name: str) -> int:
    """Return one of the sums; raise TypeError, ValueError or OverflowError if it is not a number."""
    value = reported.get(name)
    if value is None:
        return 0
    if type(value) is int and 0 <= value <= MOST:  # the usual case
        return value
    number = float(value)
    if not isfinite(number) or number > MOST:
        raise ValueError(f"'{name}' is no count: {value!r}")
    return max(0, ceil(number))


def _part(reported: Mapping[str, Any], name: str) -> int:
    """Return one of the details; 0 if it is not a number."""
    try:
        return _sum(reported, name)
    except (TypeError, ValueError, OverflowError):
        return 0
