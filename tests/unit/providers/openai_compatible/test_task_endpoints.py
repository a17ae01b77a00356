"""Answers to moderation and image requests: what is checked, and what they say was used."""

from typing import Any

import orjson
import pytest

from serve_app.errors import UpstreamError
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Call
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.images_endpoint import ImagesEndpoint
from serve_app.providers.openai_compatible.moderations_endpoint import ModerationsEndpoint

IMAGES = ImagesEndpoint("p", "a key", keeps_provider=False)
MODERATIONS = ModerationsEndpoint("p", "a key", keeps_provider=False)
PICTURE = {"url": "https://example.org/1.png"}


def pictured(data: Any, **members: Any) -> WholeAnswer | UpstreamError:
    return IMAGES.whole(orjson.dumps({"data": data, **members}), {"prompt": "a dog", "n": 2})


def test_an_image_request_for_a_whole_answer_does_not_mention_streams() -> None:
    fields = IMAGES.fitted(Call("m", b'{"prompt":"a","stream":false,"partial_images":0,"n":2.0}', 5)).fields

    IMAGES.ask_for_whole(fields)

    assert fields == {"prompt": "a", "n": 2, "model": "m"}


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        (None, Usage(images=1)),
        ({"input_tokens": 5, "output_tokens": 272}, Usage(5, image_output=272, images=1)),
        (
            {
                "input_tokens": 50,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                "output_tokens": 300,
                "output_tokens_details": {"text_tokens": 28, "image_tokens": 272},
            },
            Usage(10, 28, image_input=40, image_output=272, images=1),
        ),
    ],
    ids=["none", "sums", "details"],
)
def test_images_and_their_tokens_are_counted(usage: Any, used: Usage) -> None:
    whole = pictured([PICTURE], usage=usage)

    assert isinstance(whole, WholeAnswer)
    assert whole.usage == used


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "without 'data'"),
        ([{}], "without url and b64_json"),
        ([{"url": ""}], "without url and b64_json"),
        (["x"], "without url and b64_json"),
        ([PICTURE] * 3, "3 images, where 2"),
    ],
    ids=str,
)
def test_an_answer_without_the_images_is_a_failure(data: Any, message: str) -> None:
    failure = pictured(data)

    assert isinstance(failure, UpstreamError)
    assert message in failure.message


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "without 'results'"),
        ([{"categories": {}}], "1 results, where 2"),
        ([{"categories": {}}, {}], "without categories"),
        ([{"categories": {}}, 5], "without categories"),
    ],
    ids=str,
)
def test_an_answer_that_does_not_judge_every_text_is_a_failure(results: Any, message: str) -> None:
    failure = MODERATIONS.whole(orjson.dumps({"results": results}), {"input": ["a", "b"]})

    assert isinstance(failure, UpstreamError)
    assert message in failure.message
