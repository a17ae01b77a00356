"""What a request for images says, as far as the gateway has to understand it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.config.model import ModelTask
from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_images import most_tokens_of, read_image_generation
from serve_app.formats.task_request import TaskRequest

# Tokens of one picture, as OpenAI states them for gpt-image-1 and gpt-image-1.5.
STATED = {
    ("1024x1024", "low"): 272, ("1024x1024", "medium"): 1056, ("1024x1024", "high"): 4160,
    ("1024x1536", "low"): 408, ("1024x1536", "medium"): 1584, ("1024x1536", "high"): 6240,
    ("1536x1024", "low"): 400, ("1536x1024", "medium"): 1568, ("1536x1024", "high"): 6208,
}  # fmt: skip


def read(**fields: Any) -> TaskRequest:
    return read_image_generation(orjson.dumps({"prompt": "a dog", **fields}))


def test_what_routing_needs_is_read_and_the_rest_passes() -> None:
    request = read(model="m", n=3, size="1024x1024", quality="low", style="vivid")

    assert (request.task, request.model, request.pieces.images) == (ModelTask.IMAGE_GENERATION, "m", 3)
    assert request.pieces.image_output == 3 * 512
    assert request.parameters == {"n": 3, "size": "1024x1024", "quality": "low", "style": "vivid"}


@pytest.mark.parametrize(("size", "quality"), STATED)
def test_more_is_reserved_than_the_vendor_states(size: str, quality: str) -> None:
    assert most_tokens_of(size, quality) >= STATED[size, quality]


@given(
    size=st.none() | st.just("auto") | st.text(max_size=12) | st.sampled_from(["1x1", "99999x99999"]),
    quality=st.none() | st.text(max_size=8),
)
def test_whatever_the_vendor_chooses_itself_counts_as_the_dearest(
    size: str | None, quality: str | None
) -> None:
    for stated, tokens in STATED.items():
        chosen = most_tokens_of(size if size in ("1x1", None, "auto") else None, quality)
        if quality not in ("low", "medium") and size != "1x1":
            assert chosen >= tokens, stated
    assert 512 <= most_tokens_of(size, quality) < 2**40


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"), ({"prompt": 5}, "prompt"), ({"n": 0}, "n"), ({"n": 129}, "n"),
        ({"n": 1.5}, "n"), ({"size": 5}, "size"), ({"quality": []}, "quality"), ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"), ({"partial_images": -1}, "partial_images"), ({"style": 1}, "style"),
    ],
    ids=str,
)  # fmt: skip
def test_a_field_of_the_wrong_kind_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as wrong:
        read(**fields)

    assert wrong.value.param == param


def test_a_stream_is_refused_and_its_absence_is_not() -> None:
    assert read(stream=False, partial_images=0).pieces.images == 1
    with pytest.raises(InvalidRequest, match="images are not streamed"):
        read(stream=True)


def test_links_to_pictures_in_other_fields_are_told() -> None:
    assert read(image_url="http://10.0.0.1/x.png").links == {"http://10.0.0.1"}
