"""Answers to a rerank request: what is checked, and what they say was used."""

from typing import Any

import orjson
import pytest

from serve_app.errors import FailureKind, UpstreamError
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Call
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.rerank_endpoint import RerankEndpoint

ENDPOINT = RerankEndpoint("p", "a key", keeps_provider=False)
ASKED = {"query": "q", "documents": ["a", "b", "c"]}
BEST = {"index": 2, "relevance_score": 0.9}


def answered(results: Any, **members: Any) -> WholeAnswer | UpstreamError:
    return ENDPOINT.whole(orjson.dumps({"results": results, **members}), ASKED)


def test_the_request_is_sent_without_what_is_for_the_gateway() -> None:
    body = {**ASKED, "model": "auto", "max_cost": 1, "models": ["x"], "provider": {"only": ["p"]}, "top_n": 2}

    fitted = ENDPOINT.fitted(Call("rerank-v3.5", orjson.dumps(body), 5))

    assert fitted.fields == {**ASKED, "model": "rerank-v3.5", "top_n": 2}


@pytest.mark.parametrize(
    ("members", "usage"),
    [
        ({"usage": {"total_tokens": 30}}, Usage(30, searches=1)),
        ({"usage": {"prompt_tokens": 29, "total_tokens": 30}}, Usage(29, searches=1)),
        ({"usage": {"search_units": 2, "total_tokens": 30}}, Usage(30, searches=2)),
        ({"meta": {"billed_units": {"search_units": 3}}}, Usage(searches=3)),
        ({"meta": {"billed_units": {"search_units": 1.0}}}, Usage(searches=1)),
        (
            {"meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 9}}},
            Usage(9, searches=1),
        ),
    ],
    ids=str,
)
def test_tokens_and_search_units_are_read(members: dict[str, Any], usage: Usage) -> None:
    whole = answered([BEST], **members)

    assert isinstance(whole, WholeAnswer)
    assert whole.usage == usage


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"usage": None},
        {"usage": 5},
        {"usage": {"total_tokens": "many"}},
        {"usage": {"total_tokens": -5}},
        {"usage": {"total_tokens": True}},
        {"usage": {"search_units": 1e300}},
        {"meta": []},
    ],
    ids=str,
)
def test_without_a_count_nothing_is_reported(members: dict[str, Any]) -> None:
    whole = answered([BEST], **members)

    assert isinstance(whole, WholeAnswer)
    assert whole.usage is None


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "without 'results'"),
        (None, "without 'results'"),
        (["a"], "without the index"),
        ([{"relevance_score": 1}], "without the index"),
        ([{"index": 3, "relevance_score": 1}], "without the index"),
        ([{"index": -1, "relevance_score": 1}], "without the index"),
        ([{"index": True, "relevance_score": 1}], "without the index"),
        ([BEST, BEST], "without the index"),
        ([{"index": 0}], "without a relevance_score"),
        ([{"index": 0, "relevance_score": "high"}], "without a relevance_score"),
        ([{"index": n, "relevance_score": 1} for n in range(4)], "4 results, where 3 documents"),
    ],
    ids=str,
)
def test_an_answer_that_does_not_rank_the_documents_is_a_failure(results: Any, message: str) -> None:
    failure = answered(results)

    assert isinstance(failure, UpstreamError)
    assert failure.failure is FailureKind.BROKEN
    assert message in failure.message


def test_an_error_in_a_whole_answer_is_a_failure_without_our_key() -> None:
    failure = ENDPOINT.whole(b'{"error":{"message":"no credit for a key","code":"x"}}', ASKED)

    assert isinstance(failure, UpstreamError)
    assert "a key" not in failure.message
