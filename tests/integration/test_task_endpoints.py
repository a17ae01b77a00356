"""Endpoints with a task of their own, at a provider in a deployment of its own."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.images import JPEG, PNG
from tests.support.serving import ONE_REPLICA, Gateway, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

BODIES: dict[str, dict[str, Any]] = {
    "/v1/rerank": {"query": "two dogs", "documents": ["one cat", "two dogs"]},
    "/v2/rerank": {"query": "two dogs", "documents": ["one cat", "two dogs"]},
    "/v1/moderations": {"input": "hello"},
    "/v1/images/generations": {"prompt": "two dogs"},
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def api(gateway: Gateway, upstream: ScriptedUpstream) -> Api:
    models = [
        {"model_id": task, "task": task, "cost_per_1k_tokens": 0.01}
        for task in ("rerank", "moderation", "image_generation")
    ]
    provider = inline("elsewhere", upstream.url, *models, transport="handle", **ONE_REPLICA)
    return gateway(gateway_config(provider))


@pytest.mark.parametrize("path", BODIES)
def test_a_request_is_answered_through_the_providers_handle(
    api: Api, upstream: ScriptedUpstream, path: str
) -> None:
    answer = api.post(path, BODIES[path])

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-sekha-provider"] == "elsewhere"
    assert answer.headers["x-sekha-model"] in ("rerank", "moderation", "image_generation")
    assert upstream.requests[-1].json == {**BODIES[path], "model": answer.headers["x-sekha-model"]}


def test_a_form_with_images_goes_through_the_providers_handle(api: Api, upstream: ScriptedUpstream) -> None:
    files = [("image[]", ("dog.png", PNG)), ("image[]", ("cat.jpg", JPEG)), ("mask", ("mask.png", PNG))]

    answer = api.http.post("/v1/images/edits", data={"prompt": "a hat", "n": "2"}, files=files)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-sekha-provider"] == "elsewhere"
    seen = upstream.requests[-1].json
    assert (seen["prompt"], seen["n"], seen["model"]) == ("a hat", "2", "image_generation")
    assert [file["content"] for file in (*seen["image[]"], seen["mask"])] == [PNG, JPEG, PNG]
