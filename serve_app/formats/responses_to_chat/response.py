"""A response around what a chat completion says: its ids, what it repeats of the request, and its end."""

import hashlib
from collections.abc import Mapping
from typing import Any

from serve_app.formats.openai_responses.events import usage_told
from serve_app.pricing.reported_usage import usage_of

# What a response repeats of its request, each with what it says where the request says nothing.
_REPEATED: Mapping[str, Any] = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "parallel_tool_calls": True, "previous_response_id": None, "prompt_cache_key": None,
    "safety_identifier": None, "service_tier": None, "store": False, "temperature": None,
    "tool_choice": "auto", "tools": [], "top_logprobs": None, "top_p": None, "truncation": "disabled",
    "user": None,
}  # fmt: skip
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def seed_of(body: bytes, chunk: Mapping[str, Any]) -> str:
    """
    Return what the ids of a response are made of.

    The ids must differ between responses, and some upstreams give every answer the same id: the request and
    the time of the answer are in it as well.
    """
    digest = hashlib.blake2b(body, digest_size=16)
    for name in ("id", "created"):
        value = chunk.get(name)
        digest.update(f"{value if isinstance(value, str | int) else None}\n".encode("utf-8", "replace"))
    return digest.hexdigest()


def begun(asked: Mapping[str, Any], seed: str, chunk: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the response as it is before anything is said.

    Args:
        asked: the request.
        seed: what its ids are made of.
        chunk: the first chunk of the chat's stream, or the whole answer.
    """
    model, created, tier = chunk.get("model"), chunk.get("created"), chunk.get("service_tier")
    given = {name: asked[name] for name in asked.keys() & _REPEATED.keys() if asked[name] is not None}
    reasoning, text = asked.get("reasoning") or {}, asked.get("text") or {}
    return {
        "id": f"resp_{seed}",
        "object": "response",
        "created_at": created if type(created) is int else 0,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        **_REPEATED,
        **given,
        **({"service_tier": tier} if isinstance(tier, str) else {}),
        "model": model if isinstance(model, str) and model else asked.get("model") or "",
        "output": [],
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "usage": None,
    }


def usage_in(chunk: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the usage of a chat's chunk or answer as a response tells it; None where there is none."""
    reported = chunk.get("usage")
    usage = usage_of(reported) if isinstance(reported, dict) else None
    return None if usage is None or usage.input_tokens < 0 or usage.output_tokens < 0 else usage_told(usage)


def reason_of(finish: object, has_refused: bool) -> str | None:
    """Return why a response is incomplete; None where it is whole."""
    if not isinstance(finish, str) or (finish == "content_filter" and has_refused):
        return None
    return _INCOMPLETE.get(finish)


def annotations_in(holder: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the citations of a chat's message or delta as a response has them."""
    given = holder.get("annotations")
    found = []
    for annotation in given if isinstance(given, list) else ():
        cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if isinstance(cited, dict):
            texts = {name: cited[name] for name in ("url", "title") if isinstance(cited.get(name), str)}
            ends = {name: cited[name] for name in _ENDS if type(cited.get(name)) is int}
            found.append({"type": "url_citation", **texts, **ends})
    return found


_ENDS = ("start_index", "end_index")


def logprobs_in(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the log probabilities of a chat's choice as a response has them."""
    holder = choice.get("logprobs")
    given = holder.get("content") if isinstance(holder, dict) else None
    found = []
    for entry in given if isinstance(given, list) else ():
        if isinstance(entry, dict):
            others = entry.get("top_logprobs")
            likely = (
                [other for other in others if isinstance(other, dict)] if isinstance(others, list) else []
            )
            found.append({**_token(entry), "top_logprobs": list(map(_token, likely))})
    return found


def _token(entry: Mapping[str, Any]) -> dict[str, Any]:
    token, logprob, given = entry.get("token"), entry.get("logprob"), entry.get("bytes")
    return {
        "token": token if isinstance(token, str) else "",
        "logprob": logprob if type(logprob) in (int, float) else 0,
        "bytes": [byte for byte in given if type(byte) is int] if isinstance(given, list) else [],
    }
