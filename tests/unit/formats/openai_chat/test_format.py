"""OpenAI's chat completions through the methods that every format has."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest, ModelNotAllowed
from serve_app.formats.base import ChatFormat, Format
from serve_app.formats.openai_chat.chunks import chunks_in, frame_of
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.openai_embeddings import OPENAI_EMBEDDINGS
from serve_app.formats.sse import whole_frames
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def body_of(*messages: dict[str, Any], **fields: Any) -> bytes:
    return orjson.dumps({"model": "m", "messages": messages, **fields})


def block_of(*deltas: dict[str, Any], finish: str | None = None, **fields: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish} for delta in deltas]
    return frame_of({"id": "a", "choices": choices, **fields})


def test_a_format_has_the_name_that_targets_give() -> None:
    formats: list[Format[object]] = [OPENAI_CHAT, OPENAI_EMBEDDINGS]

    assert [each.name for each in formats] == [WireFormat.OPENAI_CHAT, WireFormat.OPENAI_EMBEDDINGS]
    assert isinstance(OPENAI_CHAT, ChatFormat)
    assert not isinstance(OPENAI_EMBEDDINGS, ChatFormat)


def test_a_body_is_parsed_and_kept() -> None:
    body = body_of(message("user", "Hi"), stream=True)

    request = OPENAI_CHAT.parse(body)

    assert (request.raw, request.model, request.stream) == (body, "m", True)
    with pytest.raises(InvalidRequest):
        OPENAI_CHAT.parse(b"[]")


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([message("user", "Hi")], "Hi"),
        ([message("user", "One"), message("assistant", "Two"), message("user", "Three")], "Three"),
        ([message("user", "One"), message("assistant", "Two"), message("tool", "Three")], "One"),
        ([message("user", [text_part("One"), IMAGE, text_part("two")])], "One\ntwo"),
        ([message("user", [IMAGE])], ""),
        ([message("user", None)], ""),
        ([message("user", "One"), message("user", None)], ""),
        ([message("system", "One")], ""),
    ],
)
def test_the_last_user_text_is_that_of_the_users_last_message(
    messages: list[dict[str, Any]], text: str
) -> None:
    assert OPENAI_CHAT.last_user_text(body_of(*messages)) == text


@pytest.mark.parametrize(
    ("messages", "joined"),
    [
        ([message("user", "Hi")], [message("system", "Facts"), message("user", "Hi")]),
        (
            [message("system", "Be brief"), message("user", "Hi")],
            [message("system", "Be brief\n\nFacts"), message("user", "Hi")],
        ),
        (
            [message("developer", [text_part("Be brief")]), message("user", "Hi")],
            [message("developer", [text_part("Be brief"), text_part("Facts")]), message("user", "Hi")],
        ),
        (
            [message("system", "One"), message("developer", ""), message("user", "Hi")],
            [message("system", "One"), message("developer", "Facts"), message("user", "Hi")],
        ),
        (
            [message("user", "Hi"), message("system", "Late")],
            [message("system", "Facts"), message("user", "Hi"), message("system", "Late")],
        ),
        ([message("system", None)], [message("system", "Facts")]),
    ],
)
def test_system_text_joins_the_instructions_that_the_messages_begin_with(
    messages: list[dict[str, Any]], joined: list[dict[str, Any]]
) -> None:
    body = OPENAI_CHAT.with_system_text(body_of(*messages, seed=7), "Facts")

    assert orjson.loads(body) == {"model": "m", "messages": joined, "seed": 7}


def test_system_text_changes_no_digit_of_a_number() -> None:
    body = b'{"messages":[{"role":"user","content":"Hi"}],"seed":12345678901234567890123}'

    assert b'"seed":12345678901234567890123' in OPENAI_CHAT.with_system_text(body, "Facts")


INSTRUCTS = ("system", "developer")
ROLES = st.sampled_from([*INSTRUCTS, "user", "assistant"])
CONTENTS = st.none() | st.text(max_size=5) | st.lists(st.text(max_size=5).map(text_part), max_size=2)


@given(st.lists(st.builds(message, ROLES, CONTENTS), min_size=1, max_size=5), st.text(min_size=1, max_size=5))
def test_with_system_text_a_request_is_still_one_and_says_the_same(
    messages: list[dict[str, Any]], text: str
) -> None:
    body = body_of(*messages)

    changed = OPENAI_CHAT.with_system_text(body, text)

    assert OPENAI_CHAT.parse(changed).model == "m"
    assert OPENAI_CHAT.last_user_text(changed) == OPENAI_CHAT.last_user_text(body)
    contents = [m["content"] for m in orjson.loads(changed)["messages"] if m["role"] in INSTRUCTS]
    said = [[part["text"] for part in c] if isinstance(c, list) else [c or ""] for c in contents]
    assert any(texts and texts[-1].endswith(text) for texts in said)
    others = [m for m in orjson.loads(changed)["messages"] if m["role"] in ("user", "assistant")]
    assert others == [m for m in messages if m["role"] in ("user", "assistant")]


def test_images_are_counted_over_all_messages() -> None:
    body = body_of(
        message("user", [IMAGE, IMAGE]), message("assistant", "https://a.b/c.png"), message("user", [IMAGE])
    )

    assert OPENAI_CHAT.count_images(body) == 3
    assert OPENAI_CHAT.count_images(body_of(message("user", "Hi"))) == 0


def test_a_chunk_tells_its_text_its_end_and_its_usage() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    block = (
        block_of({"role": "assistant", "content": "One"})
        + block_of({"tool_calls": [{"index": 0}]})
        + block_of({}, finish="stop")
        + frame_of({"id": "a", "choices": [], "usage": usage})
    )

    first, call, end, last = OPENAI_CHAT.chunks(block)

    assert (first.text, first.is_plain, first.is_end, first.is_needed) == ("One", True, False, False)
    assert (call.text, call.is_plain) == ("", False)
    assert (end.text, end.is_plain, end.is_end, end.is_needed) == ("", True, True, True)
    assert (last.usage, last.is_end, last.is_needed) == (Usage(3, 2), False, True)
    assert {chunk.answer_id for chunk in (first, call, end, last)} == {"a"}


def test_a_chunk_is_plain_when_all_its_choices_are() -> None:
    second = {"index": 1, "delta": {"content": "two"}}
    first = {"index": 0, "delta": {"content": "One"}}

    [chunk] = OPENAI_CHAT.chunks(frame_of({"choices": [second, first]}))

    assert not chunk.is_plain


def test_a_text_that_came_in_two_choices_is_written_once() -> None:
    [chunk] = OPENAI_CHAT.chunks(block_of({"content": "One "}, {"content": "two"}))

    assert chunk.text == "One two"
    assert [again.text for again in OPENAI_CHAT.chunks(OPENAI_CHAT.rewritten(chunk, "two", None))] == ["two"]


@pytest.mark.parametrize("answer_id", [None, "b"])
def test_a_chunk_is_written_again_with_another_text(answer_id: str | None) -> None:
    [chunk] = OPENAI_CHAT.chunks(block_of({"role": "assistant", "content": "One two"}, model="m"))

    [again] = OPENAI_CHAT.chunks(OPENAI_CHAT.rewritten(chunk, "two", answer_id))

    assert (again.text, again.answer_id, again.payload["model"]) == ("two", answer_id or "a", "m")
    assert chunk.text == "One two"


def test_a_chunk_without_text_gets_none() -> None:
    [chunk] = OPENAI_CHAT.chunks(block_of({}, finish="stop"))

    assert OPENAI_CHAT.rewritten(chunk, "", None) == block_of({}, finish="stop")


def test_the_usage_comes_in_the_words_of_the_first_chunk() -> None:
    [last] = OPENAI_CHAT.chunks(OPENAI_CHAT.usage_block(block_of({"content": "One"}, model="m"), Usage(3, 4)))

    assert (last.answer_id, last.payload["model"], last.usage, last.text) == ("a", "m", Usage(3, 4), "")


def test_characters_are_counted_in_every_frame_of_a_block() -> None:
    assert OPENAI_CHAT.count_chars(block_of({"content": "One"}) + block_of({"content": "two!"})) == 7


def test_members_are_added_to_a_response_and_to_the_first_chunk() -> None:
    members = {"x": {"a": 1}, "y": 2}

    assert orjson.loads(OPENAI_CHAT.response(b'{"id":"1"}', members)) == {"id": "1", **members}
    assert OPENAI_CHAT.response(b'{"id":"1"}', {}) == b'{"id":"1"}'
    block = block_of({"content": "One"}) + block_of({"content": "two"})
    first, second = chunks_in(OPENAI_CHAT.first_block(block, members))
    assert (first["x"], first["y"]) == ({"a": 1}, 2)
    assert "x" not in second
    assert OPENAI_CHAT.first_block(block, {}) == block


def test_an_error_has_the_same_shape_alone_and_in_a_stream() -> None:
    error = ModelNotAllowed("m", ["other"])

    [frame] = whole_frames(OPENAI_CHAT.error_block(error))

    assert frame.data == OPENAI_CHAT.error(error) == OPENAI_EMBEDDINGS.error(error)
    said = orjson.loads(frame.data)
    assert (said["error"]["message"], said["error"]["code"]) == (error.told, error.code)


def test_a_stream_ends_with_done() -> None:
    assert [frame.data for frame in whole_frames(OPENAI_CHAT.end)] == [b"[DONE]"]


def test_embeddings_are_parsed_and_answered() -> None:
    body = b'{"model":"e","input":"Hi"}'

    assert OPENAI_EMBEDDINGS.parse(body).model == "e"
    assert OPENAI_EMBEDDINGS.response(b'{"data":[]}', {"x": 1}) == b'{"data":[],"x":1}'
