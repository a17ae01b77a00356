"""Responses' streams on their way through: what the caller sees, and whether the answer is whole."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from serve_app.errors import FailureKind
from serve_app.formats.openai_responses.events import frames_of
from serve_app.formats.sse import event
from serve_app.pricing.usage import Usage
from serve_app.providers.openai_compatible.response_frames import ResponseFrames
from tests.support.event_streams import named_frame, payloads

MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [MESSAGE, CALL],
    "usage": {
        "input_tokens": 332,
        "input_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 20},
        "output_tokens": 40,
        "output_tokens_details": {"reasoning_tokens": 9},
        "total_tokens": 372,
    },
}
STREAM = frames_of(RESPONSE)
*BEGUN, COMPLETED = payloads(STREAM)
LOST = b'event: response.output_text.delta\ndata: {"type": "response.outp\n\n'


def written(*events: dict[str, Any]) -> bytes:
    return b"".join(map(named_frame, events))


def passed(*pieces: bytes) -> tuple[bytes, ResponseFrames]:
    frames = ResponseFrames("p", "sk-ours")
    shown = b"".join(map(frames.feed, pieces)) + frames.end()
    return shown + (frames.closing() if frames.shortfall is None else b""), frames


def kind_of(frames: ResponseFrames) -> FailureKind | None:
    return frames.shortfall.failure if frames.shortfall is not None else None


def test_a_whole_answer_goes_through_as_it_came() -> None:
    shown, frames = passed(STREAM)

    assert shown == STREAM
    assert frames.is_done
    assert frames.shortfall is None
    assert frames.usage == Usage(12, 31, cached_read=300, cache_write_5m=20, reasoning=9)


def test_wherever_the_network_cuts_the_caller_sees_the_same() -> None:
    for cut in range(1, len(STREAM)):
        shown, frames = passed(STREAM[:cut], STREAM[cut:])
        assert shown == STREAM
        assert frames.shortfall is None


@pytest.mark.parametrize("kept", range(len(BEGUN) + 1))
def test_an_answer_without_its_last_event_is_broken(kept: int) -> None:
    shown, frames = passed(written(*BEGUN[:kept]))

    assert shown == written(*BEGUN[:kept])
    assert kind_of(frames) is FailureKind.BROKEN


def test_an_answer_that_is_cut_by_its_bound_is_whole() -> None:
    cut = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}

    shown, frames = passed(frames_of(cut))

    assert shown == frames_of(cut)
    assert frames.shortfall is None


def test_a_response_that_failed_is_no_answer_whatever_its_event_is_called() -> None:
    failed = {**COMPLETED, "response": {**RESPONSE, "status": "failed", "error": {"message": "oops"}}}

    shown, frames = passed(written(*BEGUN, failed))

    assert shown == written(*BEGUN)
    assert kind_of(frames) is FailureKind.BROKEN


def test_behind_a_lost_frame_the_rest_arrives_but_the_answer_has_no_end() -> None:
    shown, frames = passed(written(*BEGUN[:3]) + LOST + written(*BEGUN[3:], COMPLETED))

    assert shown == written(*BEGUN)
    assert (frames.dropped, frames.lost) == (1, 1)
    assert kind_of(frames) is FailureKind.BROKEN
    assert frames.usage is not None, "it is paid for all the same"


def test_a_part_of_the_answer_that_does_not_say_what_it_is_is_lost() -> None:
    shown, frames = passed(written(*BEGUN) + event(b'{"delta":"x","output_index":0}') + written(COMPLETED))

    assert shown == written(*BEGUN)
    assert frames.lost == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "oops"}, FailureKind.BROKEN),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, FailureKind.RATE_LIMITED),
        ({"code": "context_length_exceeded", "message": "too long"}, FailureKind.CONTEXT_LENGTH),
    ],
)
def test_a_response_that_failed_is_a_failure_and_is_not_shown(
    error: dict[str, Any], kind: FailureKind
) -> None:
    failed = {"type": "response.failed", "response": {**RESPONSE, "status": "failed", "error": error}}

    shown, frames = passed(written(*BEGUN, failed))

    assert shown == written(*BEGUN)
    assert kind_of(frames) is kind
    assert frames.failure is not None
    assert frames.failure.message == error["message"]


@pytest.mark.parametrize("response", [None, 7, {}, {"error": None}, {"error": "it broke"}])
def test_a_failure_without_an_error_object_is_one_all_the_same(response: Any) -> None:
    _, frames = passed(written(*BEGUN, {"type": "response.failed", "response": response}))

    assert kind_of(frames) is FailureKind.BROKEN


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": None},
        {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "slow down"}},
    ],
)
def test_an_error_event_flat_or_nested_ends_the_answer(error: dict[str, Any]) -> None:
    shown, frames = passed(written(*BEGUN, error, COMPLETED))

    assert shown == written(*BEGUN)
    assert kind_of(frames) is FailureKind.RATE_LIMITED
    assert frames.failure is not None
    assert frames.failure.message == "slow down"


def test_an_error_within_a_delta_is_seen_in_whatever_block_it_arrives() -> None:
    odd = named_frame({"type": "response.output_text.delta", "error": {"message": "oops"}})

    for pieces in ((written(*BEGUN) + odd,), (written(*BEGUN), odd)):
        shown, frames = passed(*pieces)
        assert shown == written(*BEGUN)
        assert frames.failure is not None


def test_our_key_is_not_shown_in_an_error() -> None:
    _, frames = passed(written({"type": "error", "message": "bad key sk-ours"}))

    assert "sk-ours" not in str(frames.failure)


@pytest.mark.parametrize(
    "new", [{"type": "response.new.delta", "delta": {}}, {"type": "keepalive"}, {"type": "codex.limits"}]
)
def test_unknown_events_pass(new: dict[str, Any]) -> None:
    shown, frames = passed(written(*BEGUN, new, COMPLETED))

    assert shown == written(*BEGUN, new, COMPLETED)
    assert frames.shortfall is None


def test_events_without_a_name_get_the_name_of_their_type() -> None:
    bare = b"".join(event(orjson.dumps(payload)) for payload in (*BEGUN, COMPLETED))

    shown, frames = passed(bare + b"data: [DONE]\n\n")

    assert shown == STREAM
    assert frames.shortfall is None


@pytest.mark.parametrize(
    ("events", "has_begun"),
    [
        ([{"type": "response.created", "response": {}}, {"type": "response.in_progress"}], False),
        ([{"type": "response.output_item.added", "item": {"type": "message", "content": []}}], False),
        ([{"type": "response.output_item.added", "item": {"type": "reasoning", "summary": []}}], False),
        ([{"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}}], False),
        ([{"type": "response.output_item.added", "item": {"type": "function_call", "name": "f"}}], True),
        ([{"type": "response.output_item.added", "item": []}], True),
        ([{"type": "response.output_text.delta", "delta": "H"}], True),
        ([{"type": "response.output_item.done", "item": {}}], True),
        ([{"type": "response.new"}], True),
    ],
)
def test_an_answer_has_begun_with_its_first_word_call_or_end(
    events: Sequence[dict[str, Any]], has_begun: bool
) -> None:
    frames = ResponseFrames("p")

    assert frames.has_begun(frames.feed(written(*events))) is has_begun


@pytest.mark.parametrize("type_", [b"[]", b"{}", b"7", b"null", b'"\\ud83d"', b'"a\\n\\ndata: {}"'])
def test_a_type_of_any_kind_is_read_and_breaks_no_frame(type_: bytes) -> None:
    frames = ResponseFrames("p")

    shown = frames.feed(b'event: odd\ndata: {"type":' + type_ + b"}\n\n")

    assert shown.count(b"\n\n") == 1
    assert frames.has_begun(shown)
