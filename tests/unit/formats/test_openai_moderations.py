"""What a moderation request says, as far as the gateway has to understand it."""

from typing import Any

import orjson
import pytest

from serve_app.config.model import ModelTask
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_moderations import MOST_INPUTS, read_moderation, results_for
from serve_app.formats.task_request import TaskRequest

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/1.png"}}
TEXT = {"type": "text", "text": "x" * 40}


def read(value: Any, **fields: Any) -> TaskRequest:
    return read_moderation(orjson.dumps({"input": value, **fields}))


@pytest.mark.parametrize(
    ("value", "tokens", "results"),
    [("x" * 400, 100, 1), (["x" * 400, "x" * 40], 110, 2), ([TEXT, IMAGE], 10, 1), ([IMAGE], 0, 1)],
    ids=["text", "texts", "parts", "image"],
)
def test_an_input_is_a_text_texts_or_parts(value: Any, tokens: int, results: int) -> None:
    request = read(value, model="m")

    assert (request.task, request.model, request.input_tokens) == (ModelTask.MODERATION, "m", tokens)
    assert results_for(value) == results


def test_images_are_counted_and_their_links_are_told() -> None:
    request = read([TEXT, IMAGE])

    assert request.links == {"https://example.org"}
    assert request.prompt is not None
    assert request.prompt.pictures == 1


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "input"), (5, "input"), ([], "input"), (["a"] * (MOST_INPUTS + 1), "input"),
        (["a", 5], "input[0]"), ([{}], "input[0]"), ([TEXT, "a"], "input[1]"),
        ([{"type": "text"}], "input[0]"), ([{"type": "image_url"}], "input[0]"),
        ([{"type": "image_url", "image_url": "https://example.org"}], "input[0]"),
        ([{"type": "audio", "text": "a"}], "input[0]"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_anything_else_is_refused_by_name(value: Any, param: str) -> None:
    with pytest.raises(InvalidField) as wrong:
        read(value)

    assert wrong.value.param == param
