"""The endpoint of Messages: its headers, whole answers, and what came as the other."""

import json
from typing import Any

import orjson
import pytest

from serve_app.errors import FailureKind, UpstreamError
from serve_app.pricing.usage import Usage
from serve_app.providers.anthropic.messages_endpoint import MessagesEndpoint
from serve_app.providers.base import Call
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.http.endpoint import WholeAnswer
from tests.support.event_streams import payloads
from tests.unit.formats.anthropic_messages.samples import EVENTS, MESSAGE, STOP, stream_of

CALL = Call("claude", b'{"messages":[],"max_tokens":9}', 5.0)
DEEP = b'{"a":' * 1000 + b"1" + b"}" * 1000


def endpoint(key: str = "sk-ours", shows_token: bool = False) -> MessagesEndpoint:
    return MessagesEndpoint("p", lambda _: Dialect(), key, shows_token)


def whole(answer: Any) -> WholeAnswer | UpstreamError:
    return endpoint().whole(answer if isinstance(answer, bytes) else orjson.dumps(answer), {})


def failure(answer: Any) -> UpstreamError:
    found = whole(answer)
    assert isinstance(found, UpstreamError)
    return found


def with_headers(**headers: str) -> Call:
    return CALL._replace(headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()))


def test_the_callers_version_and_betas_go_on_as_they_are() -> None:
    call = with_headers(anthropic_version="2026-10-21", anthropic_beta="a-1,b-2")

    assert endpoint().headers(call) == dict(call.headers)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, "oauth-2025-04-20"),
        ({"anthropic_beta": "a-1,b-2"}, "a-1,b-2,oauth-2025-04-20"),
        ({"anthropic_beta": "a-1, oauth-2025-04-20"}, "a-1, oauth-2025-04-20"),
        ({"anthropic_beta": ""}, "oauth-2025-04-20"),
    ],
)
def test_a_token_needs_a_beta_which_comes_after_the_callers(given: dict[str, str], sent: str) -> None:
    headers = endpoint(shows_token=True).headers(with_headers(**given))

    assert headers["anthropic-beta"] == sent


def test_whoever_is_asked_instead_is_shown_no_token() -> None:
    moved = CALL._replace(api_base="http://10.0.0.1/v1")

    assert endpoint(shows_token=True).headers(moved) == {}


def test_a_request_for_a_whole_answer_says_nothing_of_a_stream() -> None:
    call = CALL._replace(body=b'{"messages":[],"max_tokens":9,"stream":true}')

    fields = endpoint().fitted(call).fields
    endpoint().ask_for_whole(fields)
    assert "stream" not in fields
    endpoint().ask_for_stream(fields, with_usage=False)
    assert fields["stream"] is True


def test_a_whole_answer_keeps_its_bytes() -> None:
    body = json.dumps(MESSAGE).encode()

    assert whole(body) == WholeAnswer(body, Usage(12, 31, cached_read=300, cache_write_5m=20, reasoning=9))


def test_without_usage_the_text_is_counted_in_characters() -> None:
    content = [{"type": "text", "text": "Grüße"}, {"type": "thinking", "thinking": "x"}, 7, {"text": 7}]
    answer = {**MESSAGE, "content": content, "usage": None}

    assert whole(answer) == WholeAnswer(orjson.dumps(answer), None, chars=5)


@pytest.mark.parametrize("reason", ["end_turn", "refusal", "pause_turn", "out_of_luck"])
def test_every_stop_reason_is_an_end(reason: str) -> None:
    assert isinstance(whole({**MESSAGE, "stop_reason": reason}), WholeAnswer)


@pytest.mark.parametrize(
    "answer",
    [
        b"[]", b"7", b"null", b"{}", b"", b"{",
        {**MESSAGE, "content": None}, {**MESSAGE, "content": {"type": "text"}},
        {**MESSAGE, "stop_reason": None}, {**MESSAGE, "stop_reason": ""}, {**MESSAGE, "stop_reason": [1]},
    ],
)  # fmt: skip
def test_what_is_no_whole_message_is_broken(answer: Any) -> None:
    assert failure(answer).failure is FailureKind.BROKEN


def test_an_error_in_an_answer_is_its_failure() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "key sk-ours is busy"}}

    assert failure(error).failure is FailureKind.OVERLOADED
    assert failure([error]).failure is FailureKind.OVERLOADED
    assert "sk-ours" not in failure(error).message


def test_what_came_in_place_of_an_answer_says_what_is_wrong() -> None:
    assert failure({"message": "quota exceeded", "code": 429}).failure is FailureKind.RATE_LIMITED


def test_a_stream_instead_of_a_whole_answer_is_gathered() -> None:
    body = endpoint().gathered(CALL, stream_of(*EVENTS), {})

    assert isinstance(body, bytes)
    assert orjson.loads(body) == MESSAGE
    assert isinstance(whole(body), WholeAnswer)


@pytest.mark.parametrize("kept", range(len(EVENTS) - 1))
def test_a_stream_that_was_cut_is_no_whole_answer(kept: int) -> None:
    found = endpoint().gathered(CALL, stream_of(*EVENTS[:kept]), {})

    assert isinstance(found, UpstreamError)


def test_a_stream_that_was_cut_after_its_end_is_whole() -> None:
    assert isinstance(endpoint().gathered(CALL, stream_of(*EVENTS[:-1]), {}), bytes)


def test_a_whole_answer_instead_of_a_stream_is_spread() -> None:
    stream = endpoint().spread(orjson.dumps(MESSAGE), {})

    assert isinstance(stream, bytes)
    assert payloads(stream)[-1] == STOP
    assert orjson.loads(endpoint().gathered(CALL, stream, {})) == MESSAGE  # type: ignore[arg-type]


def test_an_error_instead_of_a_stream_is_its_failure() -> None:
    found = endpoint().spread(b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', {})

    assert isinstance(found, UpstreamError)
    assert found.failure is FailureKind.RATE_LIMITED


def test_an_answer_that_is_nested_too_deep_never_looks_whole() -> None:
    deep = orjson.dumps(MESSAGE)[:-1] + b',"x":' + DEEP + b"}"

    spread = endpoint().spread(deep, {})

    assert isinstance(spread, bytes)
    reader = endpoint().reader(CALL, {}, 1e6)
    reader.feed(spread)
    assert reader.shortfall is not None
