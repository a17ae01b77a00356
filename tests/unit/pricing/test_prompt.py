"""How many tokens a vendor may read in a request, at most."""

import base64
from typing import Any

import orjson
import pytest

from serve_app.formats.openai_chat.request import read_chat
from serve_app.pricing.prompt import Prompt, Tokens, most_tokens, prompt_of

LONG = "x" * 100_000
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 30_000).decode()


def read(*messages: dict[str, Any], window: int | None = None, model: str = "m", **fields: Any) -> Tokens:
    raw = orjson.dumps({"messages": list(messages), **fields})
    prompt = read_chat(raw).prompt
    assert prompt is not None
    return most_tokens(prompt, model, window)


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": LONG}}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": LONG}},
        {"role": "assistant", "content": None, "refusal": LONG},
        {"role": "user", "content": "hi", "name": LONG},
        {"role": "tool", "tool_call_id": "1", "content": LONG},
        user({"type": "file", "file": {"file_data": LONG, "filename": "a.pdf"}}),
        user({"type": "document", "source": {"type": "base64", "data": LONG}}),
        user({"type": "tool_result", "content": [{"type": "text", "text": LONG}]}),
    ],
)
def test_whatever_field_of_a_message_holds_the_text_it_is_reserved_for(message: dict[str, Any]) -> None:
    assert read(message).text >= 100_000


@pytest.mark.parametrize(
    "fields",
    [
        {"functions": [{"name": "f", "description": LONG}]},
        {"tools": [{"type": "function", "function": {"name": "f", "description": LONG}}]},
        {"response_format": {"type": "text", "description": LONG}},
        {"brand_new": {"deep": [LONG]}},
    ],
)
def test_so_is_text_beside_the_messages(fields: dict[str, Any]) -> None:
    assert read(user(), **fields).text >= 100_000


def test_routing_estimates_what_is_reserved_for_too() -> None:
    raw = orjson.dumps({"messages": [{"role": "assistant", "tool_calls": [CALL]}]})
    assert 25_000 <= read_chat(raw).input_tokens <= 26_000

    chinese = orjson.dumps({"messages": [{"role": "user", "content": "的" * 1000}]})
    assert read_chat(chinese).input_tokens == 750


def test_pictures_count_by_their_detail_and_not_by_their_bytes() -> None:
    full = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    low = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}}
    link = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "high"}}

    found = read(user(full, low, link))

    assert found.pictures == 3_000 + 2 * 6_000
    assert found.text < 64 + 500
    assert read(user(full), model="gpt-4o-mini").pictures == 48_169


def test_sound_counts_by_its_length() -> None:
    def sound(size: int, form: str) -> dict[str, Any]:
        data = base64.b64encode(b"\0" * size).decode()
        return user({"type": "input_audio", "input_audio": {"data": data, "format": form}})

    ten_seconds_of_wave = read(sound(480_000, "wav"))
    assert ten_seconds_of_wave.sound == 3840, "32 tokens a second would be 320: it could be telephone quality"
    assert ten_seconds_of_wave.text < 64 + 200
    assert read(sound(15_999, "mp3")).sound == 1000


def test_a_file_that_only_the_vendor_sees_may_fill_the_window() -> None:
    for part in (
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}},
        {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
        {"type": "document_url", "document_url": "https://example.org/a.pdf"},
    ):
        assert read(user(part), window=128_000).text == 128_000
        assert read(user(part)).text >= 200_000


def test_no_prompt_is_longer_than_the_window() -> None:
    assert read({"role": "user", "content": LONG}, window=8192).text == 8192


def test_tools_are_explained_to_the_model() -> None:
    bare = read({"role": "user", "content": "hi"}).text
    tool = {"type": "function", "function": {"name": "f"}}

    with_tool = read({"role": "user", "content": "hi"}, tools=[tool]).text
    assert with_tool == bare + 1024 + len(orjson.dumps({"tools": [tool]})) - 1


NESTED = [
    {"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64", "data": "AAAA"}}]},
    {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {}}]}},
    {"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "content": {"type": "image"}}},
]


@pytest.mark.parametrize("part", NESTED)
def test_a_picture_within_another_part_is_one_too(part: dict[str, Any]) -> None:
    assert read(user(part)).pictures == 6_000


@pytest.mark.parametrize("inner", [{"type": ["image"]}, {"type": {}}, {}])
def test_a_part_within_another_may_be_of_any_form(inner: dict[str, Any]) -> None:
    assert read(user({"type": "tool_result", "content": [inner, 5, None]})).pictures == 0


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
    ],
)
def test_pages_cost_more_than_their_bytes(part: dict[str, Any]) -> None:
    assert read(user(part)).text >= 200_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": LONG}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64," + LONG}},
    ],
)
def test_a_file_of_text_counts_by_its_bytes(part: dict[str, Any]) -> None:
    assert 100_000 <= read(user(part)).text < 101_000


def small(prompt: Prompt) -> tuple[int, int, int, int]:
    return prompt.low_pictures, prompt.pictures, prompt.sound, prompt.unseen


def url(text: object, **more: object) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": text, **more}}


@pytest.mark.parametrize(
    ("part", "counted"),
    [
        ({"type": "text", "text": "hi"}, (0, 0, 0, 0)),
        ({"type": "text", "content": [{"type": "image"}]}, (0, 0, 0, 0)),
        ({"type": 5}, (0, 0, 0, 0)),
        (url("https://e.org/a.png", detail="low"), (1, 0, 0, 0)),
        (url("https://e.org/a.png", detail="auto"), (0, 1, 0, 0)),
        ({"type": "image_url", "image_url": "https://e.org/a.png"}, (0, 1, 0, 0)),
        ({"type": "image"}, (0, 1, 0, 0)),
        ({"type": "input_image"}, (0, 1, 0, 0)),
        ({"type": "input_audio"}, (0, 0, 0, 0)),
        ({"type": "input_audio", "input_audio": {"data": 5}}, (0, 0, 0, 0)),
        ({"type": "input_audio", "input_audio": {"data": "A" * 64, "format": "mp3"}}, (0, 0, 3, 0)),
        ({"type": "input_audio", "input_audio": {"data": "A" * 68, "format": "mp3"}}, (0, 0, 4, 0)),
        ({"type": "input_audio", "input_audio": {"data": "A" * 68, "format": ["wav"]}}, (0, 0, 4, 0)),
        ({"type": "input_audio", "input_audio": {"data": "A" * 500, "format": "pcm16"}}, (0, 0, 3, 0)),
        ({"type": "file", "file": {"file_id": "1"}}, (0, 0, 0, 1)),
        ({"type": "input_file", "file_url": "https://e.org/a.pdf"}, (0, 0, 0, 1)),
        ({"type": "document_url", "document_url": "data:text/plain,hi"}, (0, 0, 0, 0)),
        ({"type": "audio_url", "audio_url": "https://e.org/a.mp3"}, (0, 0, 0, 1)),
        ({"type": "container_upload", "file_id": "1"}, (0, 0, 0, 1)),
        ({"type": "document", "source": {"type": "text", "data": "hi"}}, (0, 0, 0, 0)),
        ({"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}}, (0, 1, 0, 0)),
        ({"type": "file", "data": "data:text/csv,1"}, (0, 0, 0, 0)),
        ({"type": "file", "url": 5}, (0, 0, 0, 1)),
    ],
    ids=str,
)
def test_each_part_is_what_its_type_says(part: dict[str, Any], counted: tuple[int, int, int, int]) -> None:
    assert small(prompt_of(0, [user(part)])) == counted


@pytest.mark.parametrize(
    ("part", "is_left_out"),
    [
        (url("data:image/png;base64,AAAA"), 26),
        ({"type": "image_url", "image_url": "data:image/png;base64,AAAA"}, 26),
        (url("https://e.org/a.png"), 0),
        (url(5), 0),
        ({"type": "input_audio", "input_audio": {"data": "A" * 64}}, 64),
        ({"type": "image", "source": {"data": "AAAA"}}, 0),
    ],
    ids=str,
)
def test_bytes_that_are_a_picture_or_sound_are_no_text(part: dict[str, Any], is_left_out: int) -> None:
    assert prompt_of(1000, [{"content": "hi"}, user(part)]).size == 1000 - is_left_out + 64
    assert prompt_of(1000, [user(part)], has_tools=True).size == 1000 - is_left_out + 64 + 1024
    assert prompt_of(10, [user(part)]).size == max(0, 10 - is_left_out) + 64


@pytest.mark.parametrize(
    ("prompt", "window", "most"),
    [
        (Prompt(50, 0, 0, 50), 100, Tokens(50, 0, 50)),
        (Prompt(50, 0, 0, 51), 100, Tokens(50, 0, 51)),
        (Prompt(101, 0, 0, 51), 100, Tokens(100, 0, 51)),
        (Prompt(50, 1, 1, 101), 100, Tokens(50, 100, 100)),
        (Prompt(50, 2, 3), None, Tokens(50, 24_000)),
        (Prompt(50, unseen=2), None, Tokens(400_050)),
        (Prompt(50, unseen=2), 1000, Tokens(1000)),
    ],
)
def test_each_kind_of_token_is_bounded_by_the_window(
    prompt: Prompt, window: int | None, most: Tokens
) -> None:
    assert most_tokens(prompt, "m", window) == most


def test_a_picture_is_dearer_where_its_vendor_says_so() -> None:
    assert most_tokens(Prompt(0, 1, 2), "openai/gpt-4o-mini-2024", None).pictures == 2_833 + 2 * 48_169
