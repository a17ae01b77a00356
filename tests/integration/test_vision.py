"""Pictures in a chat (contract 1.6, 3.7; cases 74 and 78)."""

from typing import Any

from tests.support.api import PIXEL, Api
from tests.support.upstream import ScriptedUpstream


def with_pictures(count: int) -> list[dict[str, Any]]:
    pictures = [{"type": "image_url", "image_url": {"url": PIXEL}} for _ in range(count)]
    return [{"type": "text", "text": "what is this?"}, *pictures]


def test_case_74_a_picture_reaches_a_model_that_sees(hybrid: Api, openai_upstream: ScriptedUpstream) -> None:
    answer = hybrid.chat(with_pictures(1))

    assert answer.status_code == 200
    assert answer.headers["x-sekha-model"] == "gpt-4o"
    assert answer.json()["sekha_metadata"]["vision"] == {"image_count": 1, "supports_vision": True}
    assert openai_upstream.last.json["messages"][0]["content"] == with_pictures(1)


def test_case_74_a_blind_preferred_model_is_passed_over(hybrid: Api) -> None:
    answer = hybrid.chat(with_pictures(1), preferred_model="llama3.1:8b")

    assert answer.headers["x-sekha-model"] == "gpt-4o"


def test_case_74_a_picture_for_a_gateway_that_cannot_see_is_503(local: Api) -> None:
    answer = local.chat(with_pictures(1))

    assert answer.status_code == 503
    assert "vision=True" in answer.json()["error"]["message"]


def test_case_78_ten_pictures_are_taken_and_eleven_refused(hybrid: Api) -> None:
    assert hybrid.chat(with_pictures(10)).status_code == 200

    refused = hybrid.chat(with_pictures(11))

    assert refused.status_code == 400
    assert "11" in refused.json()["error"]["message"]
