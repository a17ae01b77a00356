"""Messages' streams on their way through: what the caller sees, and whether the answer is whole."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from serve_app.errors import FailureKind
from serve_app.formats.sse import event
from serve_app.pricing.usage import Usage
from serve_app.providers.anthropic.frames import MessageFrames
from tests.support.event_streams import payloads
from tests.unit.formats.anthropic_messages.samples import (
    EVENTS,
    START,
    STOP,
    block_start,
    block_stop,
    delta,
    end,
    stream_of,
)

TEXT = [START, block_start(0, type="text", text=""), delta(0, "text_delta", text="Hi"), block_stop(0)]
LOST = b'event: content_block_delta\ndata: {"type": "content_bl\n\n'


def passed(*pieces: bytes) -> tuple[bytes, MessageFrames]:
    """What the caller gets of a stream, its closing included where it is whole."""
    frames = MessageFrames("p", "sk-ours")
    shown = b"".join(map(frames.feed, pieces)) + frames.end()
    return shown + (frames.closing() if frames.shortfall is None else b""), frames


def types_in(shown: bytes) -> list[str]:
    return [payload["type"] for payload in payloads(shown)]


def kind_of(frames: MessageFrames) -> FailureKind | None:
    return frames.shortfall.failure if frames.shortfall is not None else None


def test_a_whole_answer_goes_through_as_it_came() -> None:
    stream = stream_of(*EVENTS)

    shown, frames = passed(stream)

    assert shown == stream
    assert frames.is_complete
    assert frames.is_done
    assert frames.shortfall is None


def test_wherever_the_network_cuts_the_caller_sees_the_same() -> None:
    stream = stream_of(*EVENTS)

    for cut in range(1, len(stream)):
        shown, frames = passed(stream[:cut], stream[cut:])
        assert shown == stream
        assert frames.shortfall is None


def test_usage_is_merged_from_the_start_and_the_end() -> None:
    _, frames = passed(stream_of(*EVENTS))

    assert frames.usage == Usage(12, 31, cached_read=300, cache_write_5m=20, reasoning=9)


def test_a_usage_at_the_end_corrects_the_one_at_the_start_and_null_corrects_nothing() -> None:
    _, frames = passed(stream_of(*TEXT, end(input_tokens=15, cache_read_input_tokens=None, output_tokens=7)))

    assert frames.usage == Usage(15, 7, cached_read=300, cache_write_5m=20)


def test_an_answer_that_says_no_usage_has_none() -> None:
    bare = {"type": "message_start", "message": {"content": []}}

    _, frames = passed(stream_of(bare, *TEXT[1:], end(), STOP))

    assert frames.usage is None
    assert frames.shortfall is None


@pytest.mark.parametrize("last", [b"", b"data: [DONE]\n\n", b"event: message_st", b": bye\n\n"])
def test_a_message_stop_that_is_missing_is_added(last: bytes) -> None:
    told = stream_of(*TEXT, end(output_tokens=3))

    frames = MessageFrames("p")
    shown = frames.feed(told + last)

    assert frames.shortfall is None
    assert shown + frames.closing() == told + stream_of(STOP)


def test_nothing_of_an_answer_can_be_lost_after_its_end() -> None:
    shown, frames = passed(stream_of(*TEXT, end()) + LOST)

    assert shown == stream_of(*TEXT, end(), STOP)
    assert frames.dropped == 1


def test_a_message_stop_is_not_written_twice() -> None:
    shown, frames = passed(stream_of(*TEXT, end(), STOP))

    assert types_in(shown).count("message_stop") == 1
    assert frames.closing() == b""


@pytest.mark.parametrize("kept", range(len(TEXT) + 1))
def test_an_answer_that_is_cut_off_before_its_end_is_broken(kept: int) -> None:
    shown, frames = passed(stream_of(*TEXT[:kept]))

    assert kind_of(frames) is FailureKind.BROKEN
    assert "message_stop" not in types_in(shown)


def test_a_stop_without_a_reason_before_it_is_no_end() -> None:
    shown, frames = passed(stream_of(*TEXT, end(None), STOP))

    assert types_in(shown)[-1] == "message_delta"
    assert kind_of(frames) is FailureKind.BROKEN


@pytest.mark.parametrize("lost", [LOST, b"data: {not json}\n\n", b'data: lta":{"text":"x"}}\n\n'])
def test_behind_a_lost_frame_the_rest_arrives_but_the_answer_has_no_end(lost: bytes) -> None:
    shown, frames = passed(stream_of(*TEXT[:2]) + lost + stream_of(*TEXT[2:], end(), STOP))

    assert types_in(shown) == [payload["type"] for payload in TEXT]
    assert (frames.dropped, frames.lost) == (1, 1)
    assert kind_of(frames) is FailureKind.BROKEN


def test_a_part_of_the_answer_that_does_not_say_what_it_is_is_lost() -> None:
    untyped = event(b'{"index":0,"delta":{"type":"text_delta","text":"x"}}')

    shown, frames = passed(stream_of(*TEXT) + untyped + stream_of(end(), STOP))

    assert types_in(shown) == [payload["type"] for payload in TEXT]
    assert frames.lost == 1


def test_arguments_of_a_call_that_never_began_are_lost() -> None:
    begun = [event for event in EVENTS if event.get("content_block", {}).get("id") != "toolu_a"]

    shown, frames = passed(stream_of(*begun))

    assert frames.lost == 2
    assert kind_of(frames) is FailureKind.BROKEN
    assert "message_delta" not in types_in(shown)


def test_the_name_of_the_frame_counts_where_the_payload_has_no_type() -> None:
    untyped = event(b'{"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}', b"message_delta")

    shown, frames = passed(stream_of(*TEXT) + untyped)

    assert untyped in shown
    assert frames.shortfall is None


@pytest.mark.parametrize("noise", [b"data: ping\n\n", b": keep-alive\n\n", b"data: 7\n\n", b"id: 4\n\n"])
def test_noise_is_left_out_and_costs_the_answer_nothing(noise: bytes) -> None:
    whole = stream_of(*TEXT, end(), STOP)

    shown, frames = passed(stream_of(*TEXT) + noise + stream_of(end(), STOP))

    assert shown == whole
    assert frames.lost == 0
    assert frames.shortfall is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, FailureKind.OVERLOADED),
        ({"type": "rate_limit_error", "message": "slow down"}, FailureKind.RATE_LIMITED),
        ({"type": "api_error", "message": "oops"}, FailureKind.BROKEN),
        ({"type": "timeout_error", "message": "too slow"}, FailureKind.TIMEOUT),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
         FailureKind.CONTEXT_LENGTH),
    ],
)  # fmt: skip
def test_an_error_event_ends_the_answer_and_says_why(error: dict[str, Any], kind: FailureKind) -> None:
    failed = {"type": "error", "error": error, "request_id": "req_1"}

    shown, frames = passed(stream_of(*TEXT[:3], failed, *TEXT[3:], end(), STOP))

    assert shown == stream_of(*TEXT[:3])
    assert kind_of(frames) is kind
    assert frames.failure is not None
    assert error["message"] in frames.failure.message


def test_an_error_that_is_no_json_is_one_all_the_same() -> None:
    _, frames = passed(stream_of(*TEXT[:3]) + b"event: error\ndata: upstream gone\n\n")

    assert frames.failure is not None
    assert "upstream gone" in frames.failure.message


def test_our_key_is_not_shown_in_an_error() -> None:
    failed = {"type": "error", "error": {"type": "api_error", "message": "bad key sk-ours"}}

    _, frames = passed(stream_of(*TEXT, failed))

    assert frames.failure is not None
    assert "sk-ours" not in str(frames.failure)


def test_unknown_events_pass() -> None:
    new = {"type": "content_block_annotation", "index": 0, "x": [1]}

    shown, frames = passed(stream_of(*TEXT, new, {"type": "ping"}, end(), STOP))

    assert shown == stream_of(*TEXT, new, {"type": "ping"}, end(), STOP)
    assert frames.shortfall is None


def test_an_unknown_stop_reason_passes_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    shown, frames = passed(stream_of(*TEXT, end("out_of_luck"), STOP))

    assert shown == stream_of(*TEXT, end("out_of_luck"), STOP)
    assert frames.shortfall is None
    assert "out_of_luck" in caplog.text


@pytest.mark.parametrize("kind", ["x\n\ndata: {}", "\ud83d", "a b"])
def test_a_type_that_cannot_stand_on_a_line_breaks_no_frame(kind: str) -> None:
    odd = b'data: {"type":' + orjson.dumps(kind.encode("utf-8", "replace").decode()) + b"}\n\n"
    if kind == "\ud83d":
        odd = b'data: {"type":"\\ud83d"}\n\n'

    shown, frames = passed(stream_of(START) + odd + stream_of(*TEXT[1:], end(), STOP))

    assert shown.count(b"\n\n") == len(TEXT) + 3
    assert frames.shortfall is None


@pytest.mark.parametrize(
    ("events", "has_begun"),
    [
        ([START], False),
        ([START, {"type": "ping"}], False),
        ([block_start(0, type="text", text="")], False),
        ([block_start(0, type="thinking", thinking="", signature="")], False),
        ([block_start(0, type="text", text="H")], True),
        ([block_start(0, type="tool_use", id="t", name="f", input={})], True),
        ([block_start(0, type="redacted_thinking", data="x")], True),
        ([delta(0, "text_delta", text="H")], True),
        ([end("refusal")], True),
        ([{"type": "content_block_start", "index": 0, "content_block": 7}], True),
        ([{"type": "new"}], True),
    ],
)
def test_an_answer_has_begun_with_its_first_word_call_or_end(
    events: Sequence[dict[str, Any]], has_begun: bool
) -> None:
    frames = MessageFrames("p")

    assert frames.has_begun(frames.feed(stream_of(*events))) is has_begun


def test_a_type_of_any_kind_is_read() -> None:
    odd = b"".join(event(b'{"type":%b}' % kind, b"odd") for kind in (b"[]", b"{}", b"7", b"null"))

    frames = MessageFrames("p")

    assert frames.has_begun(frames.feed(odd))


def test_an_object_that_came_in_place_of_an_answer_says_what_is_wrong() -> None:
    _, frames = passed(b'data: {"message": "quota exceeded", "code": 429}\n\n')

    assert kind_of(frames) is FailureKind.RATE_LIMITED
    assert frames.shortfall is not None
    assert frames.shortfall.message == "quota exceeded"


def test_a_frame_that_never_ends_is_a_failure() -> None:
    frames = MessageFrames("p", frame_limit=1000)

    frames.feed(b"data: " + b"x" * 2000)

    assert kind_of(frames) is FailureKind.BROKEN
