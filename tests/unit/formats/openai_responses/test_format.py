"""OpenAI's Responses through the methods that every format has."""

from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest, ModelNotAllowed
from serve_app.formats.base import ChatFormat
from serve_app.formats.openai_responses.events import event_of, events_in
from serve_app.formats.openai_responses.format import OPENAI_RESPONSES
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat

ERROR = ModelNotAllowed("m", ["n"])
PARTS = [{"type": "input_text", "text": text} for text in ("One", "two")]
USAGE = {
    "input_tokens": 332,
    "input_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 20},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 9},
    "total_tokens": 372,
}


def body_of(input_: Any, **fields: Any) -> bytes:
    return orjson.dumps({"model": "m", "input": input_, **fields})


def test_it_is_a_format_for_conversations() -> None:
    assert isinstance(OPENAI_RESPONSES, ChatFormat)
    assert OPENAI_RESPONSES.name is WireFormat.OPENAI_RESPONSES
    assert OPENAI_RESPONSES.parse(body_of("Hi")).model == "m"
    with pytest.raises(InvalidRequest):
        OPENAI_RESPONSES.parse(b"[]")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("Hi", "Hi"),
        ([{"role": "user", "content": "One"}, {"type": "reasoning"}], "One"),
        ([{"role": "user", "content": "One"}, {"role": "user", "content": None}], ""),
        (
            [{"role": "user", "content": PARTS}],
            "One\ntwo",
        ),
        ([{"role": "assistant", "content": "One"}], ""),
    ],
)
def test_the_last_user_text_is_that_of_the_users_last_message(given: Any, text: str) -> None:
    assert OPENAI_RESPONSES.last_user_text(body_of(given)) == text


def test_system_text_joins_the_instructions() -> None:
    alone = OPENAI_RESPONSES.with_system_text(body_of("Hi"), "Facts")
    joined = OPENAI_RESPONSES.with_system_text(body_of("Hi", instructions="Be brief"), "Facts")

    assert orjson.loads(alone)["instructions"] == "Facts"
    assert orjson.loads(joined)["instructions"] == "Be brief\n\nFacts"


def test_images_are_counted_over_all_items() -> None:
    picture = {"type": "input_image", "image_url": "https://a.b/c.png"}
    items = [
        {"role": "user", "content": [picture, picture]},
        {"type": "function_call_output", "call_id": "1", "output": [picture]},
    ]

    assert OPENAI_RESPONSES.count_images(body_of(items)) == 3


def test_an_event_tells_its_text_its_end_and_its_usage_and_is_never_plain() -> None:
    response = {"id": "resp_1", "usage": USAGE, "tool_usage": {"web_search": {"num_requests": 2}}}
    block = event_of({"type": "response.created", "response": {"id": "resp_1"}})
    block += event_of({"type": "response.output_text.delta", "delta": "Hi"})
    block += event_of({"type": "response.output_text.done", "text": "Hi"})
    block += event_of({"type": "response.completed", "response": response})

    created, delta, done, last = OPENAI_RESPONSES.chunks(block)

    assert [chunk.text for chunk in (created, delta, done, last)] == ["", "Hi", "", ""]
    assert [chunk.is_end for chunk in (created, delta, done, last)] == [False, False, False, True]
    assert not any(chunk.is_plain for chunk in (created, delta, done, last))
    assert (created.answer_id, delta.answer_id, last.answer_id) == ("resp_1", None, "resp_1")
    assert last.usage == Usage(12, 31, cached_read=300, cache_write_5m=20, reasoning=9, searches=2)
    [again] = OPENAI_RESPONSES.chunks(OPENAI_RESPONSES.rewritten(delta, "", "x"))
    assert again.payload == delta.payload


@pytest.mark.parametrize(
    ("payload", "chars"),
    [
        ({"type": "response.output_text.delta", "delta": "Grüße \U0001f600"}, 7),
        ({"type": "response.reasoning_summary_text.delta", "delta": 'a"b\n'}, 4),
        ({"type": "response.function_call_arguments.delta", "delta": '{"delta": "x"}'}, 14),
        ({"type": "response.output_text.done", "text": "Hello"}, 0),
        ({"type": "response.completed", "response": {"output": [{"delta": "Hello"}]}}, 0),
        ({"type": "response.output_text.delta", "delta": 5}, 0),
    ],
)
def test_characters_are_counted_in_deltas_alone(payload: dict[str, Any], chars: int) -> None:
    assert OPENAI_RESPONSES.count_chars(event_of(payload)) == chars


def test_members_are_added_to_a_response_and_beside_the_response_of_the_first_event() -> None:
    members = {"x": {"a": 1}, "y": 2}
    block = event_of({"type": "response.created", "response": {"id": "1"}, "sequence_number": 0})
    block += event_of({"type": "response.in_progress", "response": {"id": "1"}, "sequence_number": 1})

    first, second = events_in(OPENAI_RESPONSES.first_block(block, members))

    assert orjson.loads(OPENAI_RESPONSES.response(b'{"id":"1"}', members)) == {"id": "1", **members}
    assert (first["response"], first["x"], first["y"]) == ({"id": "1"}, {"a": 1}, 2)
    assert "x" not in second


def test_a_refusal_has_the_shape_of_openai() -> None:
    assert orjson.loads(OPENAI_RESPONSES.error(ERROR))["error"]["code"] == ERROR.code


def test_nothing_follows_the_last_event_of_a_whole_answer() -> None:
    assert OPENAI_RESPONSES.end == b""
    assert OPENAI_RESPONSES.usage_block(b"", Usage(1, 1)) == b""


def test_a_stream_that_fails_ends_with_the_response_and_its_next_number() -> None:
    first = event_of({"type": "response.created", "response": {"id": "resp_1", "model": "m"}})
    last = event_of({"type": "response.output_text.delta", "delta": "Hi", "sequence_number": 41})

    block = OPENAI_RESPONSES.error_block(ERROR, first, last)

    [failed] = events_in(block)
    assert block.startswith(b"event: response.failed\n")
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", 42)
    response = failed["response"]
    assert (response["id"], response["status"], response["model"]) == ("resp_1", "failed", "m")
    assert (response["error"]["code"], response["error"]["message"]) == (ERROR.code, ERROR.told)


@pytest.mark.parametrize("first", [b"", b": a comment\n\n", b"data: [1]\n\n", b"data: {\n\n"])
def test_a_stream_that_fails_before_its_first_event_has_an_id_nevertheless(first: bytes) -> None:
    [failed] = events_in(OPENAI_RESPONSES.error_block(ERROR, first, first))

    assert failed["response"]["id"].startswith("resp_")
    assert failed["sequence_number"] == 0
