"""What an embeddings request says, as far as the gateway has to understand it."""

from typing import Any

import orjson
import pytest

from serve_app.formats.json_body import BOM, InvalidField
from serve_app.formats.openai_embeddings import read_embedding
from serve_app.formats.task_request import TaskRequest


def read(value: Any, **fields: Any) -> TaskRequest:
    return read_embedding(orjson.dumps({"input": value, **fields}))


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("x" * 400, 100),
        (["x" * 400, "x" * 40], 110),
        ([1, 2, 3], 3),
        ([1.0, 2, 0], 3),
        ([2_147_483_647], 1),
        ([[1, 2], [3]], 3),
        ([[1.0]], 1),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_input_is_a_text_a_list_of_texts_tokens_or_lists_of_tokens(value: Any, tokens: int) -> None:
    assert read(value).input_tokens == tokens


@pytest.mark.parametrize(
    "value",
    [
        None, 5, {}, True, [], ["a", 1], [1, "a"], [1.5], [-1], [2_147_483_648], [True], [None],
        [[]], [[1], []], [[1], "a"], [["a"]], [[1.5]], [[[1]]],
    ],
    ids=str,
)  # fmt: skip
def test_anything_else_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidField) as wrong:
        read(value)

    assert wrong.value.param == "input"


def test_an_input_has_to_be_there() -> None:
    with pytest.raises(InvalidField) as wrong:
        read_embedding(b'{"model":"m"}')

    assert wrong.value.param == "input"


@pytest.mark.parametrize(
    ("field", "value"),
    [("dimensions", 0), ("dimensions", "5"), ("encoding_format", 5), ("user", 5), ("model", 5),
     ("preferred_model", 5), ("max_cost", -1)],
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidField) as wrong:
        read("hi", **{field: value})

    assert wrong.value.param == field


def test_what_routing_needs_is_read_and_the_bytes_are_kept_without_their_mark() -> None:
    raw = orjson.dumps(
        {"input": "hi", "model": "m", "preferred_model": "p", "max_cost": 0.5, "dimensions": 9}
    )

    request = read_embedding(BOM + raw)

    assert (request.raw, request.model, request.preferred_model) == (raw, "m", "p")
    assert request.max_cost == 500_000_000
    assert request.prompt is not None
    assert request.prompt.size == len(raw)
    assert "dimensions" in request.parameters
