"""Reranking, as an upstream is asked for it."""

from collections.abc import Mapping
from math import ceil, isfinite
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.formats.rerank import PER_SEARCH_UNIT
from serve_app.pricing.reported_usage import usage_of
from serve_app.pricing.usage import Usage
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.failures import broken
from serve_app.providers.openai_compatible.json_endpoint import JsonEndpoint
from serve_app.providers.whole_answer import checked

MOST_UNITS = 10**9  # a larger count of search units is a mistake


class RerankEndpoint(JsonEndpoint):
    """`POST /rerank` of one upstream, below its versioned address; it has no streams."""

    path = "/rerank"

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        answer = checked(body, self._id, "results", secret=self._api_key)
        if isinstance(answer, UpstreamError):
            return answer
        documents = len(fields["documents"])
        if (wrong := _wrong_in(answer.answer["results"], documents)) is not None:
            return broken(self._id, wrong, 200)
        return WholeAnswer(answer.body, _usage(answer.answer, documents))


def _wrong_in(results: list[Any], documents: int) -> str | None:
    """Return what is wrong with the results; None: each scores another one of the documents."""
    if len(results) > documents:
        return f"sent {len(results)} results, where {documents} documents were given"
    seen: set[int] = set()
    for result in results:
        place = result.get("index") if isinstance(result, dict) else None
        if type(place) is not int or not 0 <= place < documents or place in seen:
            return "sent a result without the index of a document"
        seen.add(place)
        score = result.get("relevance_score")
        if type(score) not in (int, float) or not isfinite(score):
            return "sent a result without a relevance_score"
    return None


def _usage(answer: Mapping[str, Any], documents: int) -> Usage | None:
    """
    Return the usage: search units of Cohere and OpenRouter, tokens of the others.

    Without search units, a unit for every hundred documents counts, in case the price is for those.
    """
    meta, reported = _object(answer, "meta"), _object(answer, "usage")
    billed = _object(meta, "billed_units")
    read = _count(reported, "prompt_tokens") or _count(reported, "total_tokens")
    read = read or _count(billed, "input_tokens") or _count(_object(meta, "tokens"), "input_tokens")
    units = _count(billed, "search_units") or _count(reported, "search_units")
    if not read and not units:
        return None
    usage = usage_of({"prompt_tokens": read}) or Usage()
    return usage._replace(searches=units or -(-documents // PER_SEARCH_UNIT))


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = value.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _count(value: Mapping[str, Any], name: str) -> int:
    """Return a count that is possible; 0 for anything else. Cohere writes `1.0` as well as `1`."""
    number = value.get(name)
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= MOST_UNITS:
        return 0
    return ceil(number)
