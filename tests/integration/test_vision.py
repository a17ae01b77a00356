"""Pictures in a chat."""

from typing import Any

import pytest

from tests.support.api import PIXEL, Api
from tests.support.upstream import ScriptedUpstream


def with_pictures(count: int) -> list[dict[str, Any]]:
    pictures = [{"type": "image_url", "image_url": {"url": PIXEL}} for _ in range(count)]
    return [{"type": "text", "text": "what is this?"}, *pictures]


@pytest.mark.contract(74)
def test_a_picture_reaches_a_model_that_sees(hybrid: Api, openai_upstream: ScriptedUpstream) -> None:
    answer = hybrid.chat(with_pictures(1))

    assert answer.status_code == 200
    assert answer.headers["x-sekha-model"] == "gpt-4o"
    assert answer.json()["sekha_metadata"]["vision"] == {"image_count": 1, "supports_vision": True}
    assert openai_upstream.last.json["messages"][0]["content"] == with_pictures(1)


@pytest.mark.contract(74)
def test_a_blind_preferred_model_is_passed_over(hybrid: Api) -> None:
    answer = hybrid.chat(with_pictures(1), preferred_model="llama3.1:8b")

    assert answer.headers["x-sekha-model"] == "gpt-4o"


@pytest.mark.contract(74)
def test_a_picture_for_a_gateway_that_cannot_see_is_503(local: Api) -> None:
    answer = local.chat(with_pictures(1))

    assert answer.status_code == 503
    assert "vision=True" in answer.json()["error"]["message"]


@pytest.mark.contract(78)
def test_ten_pictures_are_taken_and_eleven_refused(hybrid: Api) -> None:
    assert hybrid.chat(with_pictures(10)).status_code == 200

    refused = hybrid.chat(with_pictures(11))

    assert refused.status_code == 400
    assert "11" in refused.json()["error"]["message"]
