"""What a rerank request says, as far as the gateway has to understand it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.config.model import ModelTask
from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import BOM, InvalidField
from serve_app.formats.rerank import MOST_DOCUMENTS, read_rerank
from serve_app.formats.task_request import TaskRequest


def read(documents: Any, query: Any = "hi", **fields: Any) -> TaskRequest:
    return read_rerank(orjson.dumps({"query": query, "documents": documents, **fields}))


def test_what_routing_needs_is_read_and_the_bytes_are_kept_without_their_mark() -> None:
    raw = orjson.dumps({"query": "x" * 40, "documents": ["y" * 400, {"text": "z"}], "model": "m", "top_n": 1})

    request = read_rerank(BOM + raw)

    assert (request.raw, request.task, request.model) == (raw, ModelTask.RERANK, "m")
    assert request.input_tokens == 2 * 10 + 100 + 1
    assert request.parameters == {"top_n": 1}


@pytest.mark.parametrize(
    ("documents", "query", "units"),
    [
        (["short"] * 100, "q", 1),
        (["short"] * 101, "q", 2),
        (["x" * 499], "q", 1),
        (["x" * 500] * 51, "q", 2),  # each is two, with the query
        (["é" * 250] * 51, "q", 2),  # which bytes decide
        (["x" * 100] * 100, "q" * 5000, 1),  # a long query leaves a hundred tokens to a chunk
        (["x" * 101] * 100, "q" * 5000, 2),
    ],
    ids=str,
)
def test_search_units_are_bounded_as_cohere_counts_them(documents: list[str], query: str, units: int) -> None:
    assert read(documents, query).pieces.searches == units


@given(
    documents=st.lists(st.text(max_size=2000), min_size=1, max_size=20),
    query=st.text(min_size=1, max_size=600),
)
def test_a_model_reads_no_more_tokens_than_were_bounded(documents: list[str], query: str) -> None:
    prompt = read(documents, query).prompt

    assert prompt is not None
    most_by_bytes = sum(len(document.encode()) + len(query.encode()) for document in documents)
    assert prompt.size >= most_by_bytes + len(documents)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"documents": ["a"]}, "query"),
        ({"documents": ["a"], "query": None}, "query"),
        ({"documents": ["a"], "query": ["q"]}, "query"),
        ({"query": "q"}, "documents"),
        ({"query": "q", "documents": []}, "documents"),
        ({"query": "q", "documents": "a"}, "documents"),
        ({"query": "q", "documents": ["a"] * (MOST_DOCUMENTS + 1)}, "documents"),
        ({"query": "q", "documents": ["a", 5]}, "documents[1]"),
        ({"query": "q", "documents": [{}]}, "documents[0]"),
        ({"query": "q", "documents": [{"text": 5}]}, "documents[0]"),
        ({"query": "q", "documents": [{"text": "a", "image": "http://10.0.0.1/"}]}, "documents[0]"),
        ({"query": "q", "documents": [{"text": "a", "content": [{"type": "image_url"}]}]}, "documents[0]"),
        ({"query": "q", "documents": ["a"], "top_n": 0}, "top_n"),
        ({"query": "q", "documents": ["a"], "top_n": 1.5}, "top_n"),
        ({"query": "q", "documents": ["a"], "max_tokens_per_doc": "5"}, "max_tokens_per_doc"),
        ({"query": "q", "documents": ["a"], "return_documents": "yes"}, "return_documents"),
        ({"query": "q", "documents": ["a"], "model": 5}, "model"),
        ({"query": "q", "documents": ["a"], "max_cost": -1}, "max_cost"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_field_that_is_missing_or_of_the_wrong_kind_is_refused_by_name(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidField) as wrong:
        read_rerank(orjson.dumps(fields))

    assert wrong.value.param == param


def test_words_that_steer_a_request_are_refused_but_not_inside_of_documents() -> None:
    assert read([{"text": "a", "api_key": "of a manual"}]).input_tokens > 0
    with pytest.raises(InvalidRequest) as wrong:
        read(["a"], api_base="http://elsewhere")

    assert wrong.value.code == "forbidden_field"
