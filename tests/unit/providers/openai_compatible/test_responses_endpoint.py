"""The endpoint of Responses: what is sent, whole answers, and what came as the other."""

import json
from typing import Any

import orjson
import pytest

from serve_app.errors import FailureKind, UpstreamError
from serve_app.formats.openai_responses.events import frames_of
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.responses_endpoint import ResponsesEndpoint
from tests.support.event_streams import payloads
from tests.unit.providers.openai_compatible.test_response_frames import RESPONSE, STREAM

ENDPOINT = ResponsesEndpoint("p", VENDORS["openai"].dialect, "sk-ours")
CALL = Call("gpt-4o", b'{"input":"hi"}', 5.0)
DEEP = b'{"a":' * 1000 + b"1" + b"}" * 1000


def fitted(model_id: str = "gpt-4o", tokens: int | None = None, **fields: Any) -> Fitted:
    body = json.dumps({"input": "hi", **fields}).encode()
    return ENDPOINT.fitted(Call(model_id, body, 5.0, output_tokens=tokens))


def whole(answer: Any) -> WholeAnswer | UpstreamError:
    return ENDPOINT.whole(answer if isinstance(answer, bytes) else orjson.dumps(answer), {})


def failure(answer: Any) -> UpstreamError:
    found = whole(answer)
    assert isinstance(found, UpstreamError)
    return found


@pytest.mark.parametrize("asked", [{}, {"store": True}, {"store": False}, {"store": None}])
def test_nothing_is_stored_upstream(asked: dict[str, Any]) -> None:
    assert fitted(**asked).fields["store"] is False


ENCRYPTED = "reasoning.encrypted_content"


@pytest.mark.parametrize("asked", [{}, {"store": True}, {"store": None}])
@pytest.mark.parametrize("include", [None, ["x"], [ENCRYPTED]])
def test_thoughts_that_are_kept_here_are_asked_for_encrypted(asked: dict[str, Any], include: Any) -> None:
    fields = fitted("gpt-5.4", include=include, **asked).fields

    assert fields["include"] == list(dict.fromkeys([*(include or []), ENCRYPTED]))


@pytest.mark.parametrize(
    ("model_id", "asked"),
    [("gpt-5.4", {"store": False}), ("gpt-4o", {}), ("gpt-5-chat-latest", {}), ("a-model-of-vllms", {})],
)
def test_nothing_more_is_asked_for_of_others(model_id: str, asked: dict[str, Any]) -> None:
    """OpenAI refuses to encrypt where a model does not reason."""
    assert "include" not in fitted(model_id, **asked).fields


def test_thoughts_without_their_text_are_left_out_where_nobody_kept_it() -> None:
    kept = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "z"}
    lost = {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "so"}]}

    assert fitted("gpt-5.4", input=[kept, lost]).fields["input"] == [kept]
    assert fitted("a-model-of-vllms", input=[kept, lost]).fields["input"] == [kept, lost]


def test_what_is_meant_for_the_gateway_stays_here() -> None:
    hints = {"max_cost": 1, "provider": {}, "previous_response_id": "resp_1"}

    assert not fitted(**hints).fields.keys() & hints.keys()


def test_a_whole_answer_or_a_stream_is_asked_for() -> None:
    fields = fitted(stream=True, stream_options={"include_obfuscation": False}).fields

    ENDPOINT.ask_for_whole(fields)
    assert fields == {"input": "hi", "model": "gpt-4o", "store": False}
    ENDPOINT.ask_for_stream(fields, with_usage=True)
    assert fields == {"input": "hi", "model": "gpt-4o", "store": False, "stream": True}


@pytest.mark.parametrize("other", ["max_output_tokens", "max_tokens", "max_completion_tokens"])
def test_the_one_bound_of_tokens_is_the_one_that_was_reserved(other: str) -> None:
    request = fitted(tokens=500, **{other: 100_000, "options": {"num_predict": 9}})

    assert request.fields["max_output_tokens"] == 500
    assert not {"max_tokens", "max_completion_tokens"} & request.fields.keys()
    assert request.fields["options"] == {}


def test_a_word_in_a_schema_is_no_bound() -> None:
    text = {"format": {"type": "json_schema", "name": "n", "schema": {"max_tokens": 7}}}

    assert fitted(tokens=500, text=text).fields["text"] == text


def test_tools_of_the_vendor_get_a_bound_where_one_was_reserved() -> None:
    body = json.dumps({"input": "hi", "tools": [{"type": "web_search"}]}).encode()

    sent = ENDPOINT.fitted(Call("gpt-4o", body, 5.0, limits_tools=True)).fields

    assert sent["max_tool_calls"] == 5
    assert "max_tool_calls" not in fitted(tools=[{"type": "web_search"}]).fields


@pytest.mark.parametrize(
    ("model_id", "asked", "dropped"),
    [
        ("gpt-4o", {"temperature": 0.2, "top_p": 0.5}, ()),
        ("gpt-5", {"temperature": 0.2, "top_p": 0.5}, ("temperature", "top_p")),
        ("gpt-5", {"temperature": 1}, ()),
        ("gpt-5.1", {"temperature": 0.2}, ()),
        ("gpt-5.1", {"temperature": 0.2, "reasoning": {"effort": "none"}}, ()),
        ("gpt-5.1", {"temperature": 0.2, "reasoning": {"effort": "low"}}, ("temperature",)),
        ("o3", {"parallel_tool_calls": False, "metadata": {"a": "b"}}, ("parallel_tool_calls",)),
    ],
)
def test_what_a_model_does_not_take_is_left_out_and_told(
    model_id: str, asked: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    request = fitted(model_id, **asked)

    assert request.dropped == dropped
    assert request.fields.keys() & asked.keys() == asked.keys() - set(dropped)


def test_a_whole_answer_keeps_its_bytes() -> None:
    body = json.dumps(RESPONSE).encode()

    assert whole(body) == WholeAnswer(
        body, Usage(12, 31, cached_read=300, cache_write_5m=20, reasoning=9), chars=2
    )


def test_a_response_that_ran_into_its_bound_is_an_answer() -> None:
    assert isinstance(whole({**RESPONSE, "status": "incomplete"}), WholeAnswer)


@pytest.mark.parametrize(
    "answer",
    [
        b"[]", b"7", b"{}", b"", b"{", {**RESPONSE, "output": None},
        *({**RESPONSE, "status": status} for status in ("in_progress", "queued", "cancelled", None, [], {})),
    ],
)  # fmt: skip
def test_what_is_no_whole_response_is_broken(answer: Any) -> None:
    assert failure(answer).failure is FailureKind.BROKEN


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "rate_limit_exceeded", "message": "slow down"}, FailureKind.RATE_LIMITED),
        ({"code": "server_error", "message": "oops"}, FailureKind.BROKEN),
        (None, FailureKind.BROKEN),
        ("oops", FailureKind.BROKEN),
    ],
)
def test_a_response_that_failed_is_a_failure(error: Any, kind: FailureKind) -> None:
    assert failure({**RESPONSE, "output": [], "status": "failed", "error": error}).failure is kind


def test_an_error_in_place_of_an_answer_is_its_failure() -> None:
    error = {"error": {"code": "rate_limit_exceeded", "message": "key sk-ours is busy"}}

    assert failure(error).failure is FailureKind.RATE_LIMITED
    assert failure([error]).failure is FailureKind.RATE_LIMITED
    assert "sk-ours" not in failure(error).message


def test_a_stream_instead_of_a_whole_answer_is_gathered() -> None:
    body = ENDPOINT.gathered(CALL, STREAM, {})

    assert isinstance(body, bytes)
    assert orjson.loads(body) == RESPONSE


def test_a_stream_that_was_cut_is_no_whole_answer() -> None:
    cut = STREAM[: STREAM.rindex(b"event: ")]

    assert isinstance(ENDPOINT.gathered(CALL, cut, {}), UpstreamError)


def test_a_whole_answer_instead_of_a_stream_is_spread() -> None:
    stream = ENDPOINT.spread(orjson.dumps(RESPONSE), {})

    assert stream == STREAM
    assert [payload["sequence_number"] for payload in payloads(STREAM)] == list(range(len(payloads(STREAM))))


def test_an_error_instead_of_a_stream_is_its_failure() -> None:
    assert isinstance(ENDPOINT.spread(b'{"error":{"message":"oops"}}', {}), UpstreamError)


def test_an_answer_that_is_nested_too_deep_is_broken() -> None:
    deep = orjson.dumps(RESPONSE)[:-1] + b',"x":' + DEEP + b"}"
    stream = b"event: response.completed\ndata: " + (
        b'{"type":"response.completed","response":' + deep + b"}\n\n"
    )

    for found in (ENDPOINT.spread(deep, {}), ENDPOINT.gathered(CALL, stream, {})):
        assert isinstance(found, UpstreamError)
        assert found.failure is FailureKind.BROKEN


def test_an_output_of_any_kind_is_read() -> None:
    for output in ([7], [[]], [{"content": 7}], [{"content": [7, {"text": 7}]}], [{"type": []}]):
        answer = {**RESPONSE, "output": output}
        assert isinstance(whole(answer), WholeAnswer)
        assert isinstance(ENDPOINT.gathered(CALL, frames_of(answer), {}), bytes)
