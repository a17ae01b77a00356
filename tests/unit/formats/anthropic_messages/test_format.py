"""Anthropic's Messages through the methods that every format has."""

from typing import Any

import orjson
import pytest

from serve_app.errors import FailureKind, InvalidRequest, ModelNotAllowed, RateLimitExceeded, upstream_error
from serve_app.errors.base import GatewayError
from serve_app.formats.anthropic_messages.error import error_type
from serve_app.formats.anthropic_messages.events import events_in
from serve_app.formats.anthropic_messages.format import ANTHROPIC_MESSAGES
from serve_app.formats.base import ChatFormat
from serve_app.formats.sse import whole_frames
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat
from tests.unit.formats.anthropic_messages.samples import (
    EVENTS,
    MESSAGE,
    START,
    STOP,
    block_start,
    block_stop,
    delta,
    end,
    stream_of,
)

IMAGE = {"type": "image", "source": {"type": "url", "url": "https://a.example/1.png"}}
RESULT = {"type": "tool_result", "tool_use_id": "1", "content": [IMAGE, {"type": "text", "text": "found"}]}


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def body_of(*messages: dict[str, Any], **fields: Any) -> bytes:
    return orjson.dumps({"max_tokens": 9, "messages": messages or [message("user", "Hi")], **fields})


def test_it_is_a_format_for_conversations() -> None:
    assert isinstance(ANTHROPIC_MESSAGES, ChatFormat)
    assert ANTHROPIC_MESSAGES.name is WireFormat.ANTHROPIC_MESSAGES
    assert ANTHROPIC_MESSAGES.end == b""
    assert ANTHROPIC_MESSAGES.usage_block(stream_of(START), Usage(1, 2)) == b""


def test_a_body_is_parsed_and_kept() -> None:
    assert ANTHROPIC_MESSAGES.parse(body_of()).raw == body_of()
    with pytest.raises(InvalidRequest):
        ANTHROPIC_MESSAGES.parse(b"[]")


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([message("user", "Hi")], "Hi"),
        ([message("user", "One"), message("assistant", "Two"), message("user", "Three")], "Three"),
        ([message("user", [text_block("One"), IMAGE, text_block("two")])], "One\ntwo"),
        ([message("user", "One"), message("user", [RESULT])], "One"),
        ([message("user", "One"), message("user", [RESULT, text_block("Go on")])], "Go on"),
        ([message("user", "One"), message("user", [IMAGE])], ""),
        ([message("user", "One"), message("user", [])], ""),
        ([message("user", [RESULT])], ""),
        ([message("user", "One"), message("system", "Two")], "One"),
    ],
)
def test_the_last_user_text_is_that_of_the_users_last_message(
    messages: list[dict[str, Any]], text: str
) -> None:
    assert ANTHROPIC_MESSAGES.last_user_text(body_of(*messages)) == text


@pytest.mark.parametrize(
    ("system", "joined"),
    [
        (None, "Facts"),
        ("", "Facts"),
        ("Be brief", "Be brief\n\nFacts"),
        ([], "Facts"),
        ([text_block("Be brief")], [text_block("Be brief"), text_block("Facts")]),
    ],
)
def test_system_text_joins_the_instructions(system: Any, joined: Any) -> None:
    body = ANTHROPIC_MESSAGES.with_system_text(body_of(system=system), "Facts")

    assert orjson.loads(body) == {**orjson.loads(body_of()), "system": joined}
    assert ANTHROPIC_MESSAGES.parse(body).output_limit == 9


def test_system_text_changes_no_digit_of_a_number() -> None:
    body = b'{"messages":[{"role":"user","content":"Hi"}],"seed":12345678901234567890123}'

    assert b'"seed":12345678901234567890123' in ANTHROPIC_MESSAGES.with_system_text(body, "Facts")


def test_images_are_counted_over_all_messages_and_within_results() -> None:
    body = body_of(message("user", [IMAGE, IMAGE]), message("user", [RESULT]), message("assistant", "x"))

    assert ANTHROPIC_MESSAGES.count_images(body) == 3
    assert ANTHROPIC_MESSAGES.count_images(body_of()) == 0


def test_a_chunk_tells_its_text_its_end_and_its_usage() -> None:
    block = stream_of(
        START,
        {"type": "ping"},
        block_start(0, type="text", text=""),
        delta(0, "text_delta", text="One"),
        block_stop(0),
        end(input_tokens=3, output_tokens=2),
        STOP,
    )

    start, opened, text, closed, ended, stop = ANTHROPIC_MESSAGES.chunks(block)

    assert (start.answer_id, start.is_needed, start.text_may_follow) == ("msg_1", False, False)
    assert (opened.text, opened.is_needed, opened.text_may_follow) == ("", False, True)
    assert (text.text, text.is_needed, text.text_may_follow) == ("One", False, None)
    assert (closed.text, closed.is_needed, closed.text_may_follow) == ("", True, False)
    assert (ended.is_end, ended.is_needed, ended.usage) == (True, True, Usage(3, 2))
    assert (stop.is_end, stop.is_needed, stop.usage) == (False, True, None)
    assert all(chunk.is_plain for chunk in (start, opened, text, closed, ended, stop))


@pytest.mark.parametrize(
    "payload",
    [
        block_start(0, type="thinking", thinking=""),
        block_start(1, type="text", text=""),
        block_start(0, type="text", text="whole"),
        block_start(0, type="tool_use", id="1", name="f", input={}),
        delta(0, "thinking_delta", thinking="Hm"),
        delta(0, "citations_delta", citation={}),
        delta(1, "text_delta", text="x"),
        delta(0, "text_delta", text=5),
        block_stop(1),
        {"type": "message_start", "message": {"content": [text_block("x")]}},
        {"type": "message_start", "message": 5},
        {"type": "made_up_tomorrow"},
        {"type": "error", "error": {}},
        {"content_block": 5},
    ],
)
def test_nobody_goes_on_with_more_than_one_block_of_text(payload: dict[str, Any]) -> None:
    [chunk] = ANTHROPIC_MESSAGES.chunks(b"data: " + orjson.dumps(payload) + b"\n\n")

    assert not chunk.is_plain


def test_a_chunk_is_written_again_with_another_text() -> None:
    [chunk] = ANTHROPIC_MESSAGES.chunks(stream_of(delta(0, "text_delta", text="One two")))

    assert ANTHROPIC_MESSAGES.rewritten(chunk, "two", "a") == stream_of(delta(0, "text_delta", text="two"))
    assert chunk.text == "One two"


@pytest.mark.parametrize(("answer_id", "told"), [(None, "msg_1"), ("msg_2", "msg_2")])
def test_the_start_is_written_again_under_the_answers_id(answer_id: str | None, told: str) -> None:
    [chunk] = ANTHROPIC_MESSAGES.chunks(stream_of(START))

    [again] = ANTHROPIC_MESSAGES.chunks(ANTHROPIC_MESSAGES.rewritten(chunk, "", answer_id))

    assert again.answer_id == told


def test_characters_are_counted_in_every_frame_of_a_block() -> None:
    assert ANTHROPIC_MESSAGES.count_chars(stream_of(*EVENTS)) == len('Two cities.Checking.{"c":"A"}')


def test_members_are_added_to_a_response_and_to_the_first_event() -> None:
    members = {"x": {"a": 1}, "y": 2}

    assert orjson.loads(ANTHROPIC_MESSAGES.response(orjson.dumps(MESSAGE), members)) == {**MESSAGE, **members}
    assert ANTHROPIC_MESSAGES.response(b'{"id":"1"}', {}) == b'{"id":"1"}'
    [first] = events_in(ANTHROPIC_MESSAGES.first_block(stream_of(START), members))
    assert first["message"] == {**START["message"], **members}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "timeout_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_a_status_has_its_type_of_error(status: int, kind: str) -> None:
    assert error_type(status) == kind


@pytest.mark.parametrize(
    "error",
    [
        ModelNotAllowed("m", ["other"]),
        InvalidRequest("No", param="tools[0]", code="invalid_value"),
        RateLimitExceeded("a limit", "requests", 5, 0, 3.0),
        upstream_error("It broke", "p", FailureKind.BROKEN).telling({"dropped_frames": 2}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_has_the_same_shape_alone_and_in_a_stream(error: GatewayError) -> None:
    [frame] = whole_frames(ANTHROPIC_MESSAGES.error_block(error))

    assert (frame.name, frame.data) == (b"error", ANTHROPIC_MESSAGES.error(error))
    told = orjson.loads(frame.data)
    assert (told["type"], told["error"]["type"]) == ("error", error_type(error.status))
    assert (told["error"]["message"], told["error"]["code"]) == (error.told, error.code)
    assert (told["error"]["param"], told["error"]["details"]["error_code"]) == (error.param, error.code)


def test_facts_of_an_upstreams_failure_are_details() -> None:
    error = upstream_error("It broke", "p", FailureKind.BROKEN).telling({"dropped_frames": 2})

    details = orjson.loads(ANTHROPIC_MESSAGES.error(error))["error"]["details"]

    assert details == {"error_code": "upstream_broken", "dropped_frames": 2}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Too long for 'm'", "prompt is too long: Too long for 'm'"),
        ("Prompt is too long: 9 tokens", "Prompt is too long: 9 tokens"),
    ],
)
def test_a_prompt_that_is_too_long_is_told_in_the_words_that_clients_know(message: str, told: str) -> None:
    error = upstream_error(message, "p", FailureKind.CONTEXT_LENGTH)

    assert orjson.loads(ANTHROPIC_MESSAGES.error(error))["error"]["message"] == told
