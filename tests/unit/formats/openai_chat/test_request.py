"""What routing needs to know of a chat request, read off its body."""

from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.json_body import BOM
from serve_app.formats.openai_chat.hosted_tools import HostedTools
from serve_app.formats.openai_chat.request import read_chat
from serve_app.pricing.prompt import Prompt


def read(*contents: Any, **fields: Any) -> ChatRequest:
    messages = [{"role": "user", "content": content} for content in contents or ("",)]
    return read_chat(orjson.dumps({"messages": messages, **fields}))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, {"model": None, "stream": False, "wants_usage": False, "images": 0, "output_tokens": 500}),
        ({}, {"output_limit": None, "thinking": 0, "answers": 1, "tools": HostedTools(), "speaks": False}),
        ({}, {"service_tier": None, "writes_cache": False, "thinks": False, "preferred_model": None}),
        ({}, {"require_vision": False, "require_audio": False, "max_cost": None, "context_size": None}),
        ({}, {"written_images": 0, "image_links": frozenset(), "parameters": {}}),
        ({"model": "m"}, {"model": "m"}),
        ({"stream": True}, {"stream": True, "wants_usage": False}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"wants_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": False}}, {"wants_usage": False}),
        ({"stream_options": {"include_usage": True}}, {"stream": False, "wants_usage": False}),
        ({"max_tokens": 9}, {"output_limit": 9, "output_tokens": 9}),
        ({"max_tokens": 9, "n": 3}, {"output_tokens": 27, "answers": 3}),
        ({"n": 2}, {"output_tokens": 1000}),
        ({"reasoning_effort": "low", "n": 2}, {"output_tokens": 3048, "thinking": 1024, "thinks": True}),
        ({"modalities": ["text"]}, {"speaks": False}),
        ({"modalities": ["text", "audio"]}, {"speaks": True}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"service_tier": 5}, {"service_tier": None}),
        ({"preferred_model": "p"}, {"preferred_model": "p"}),
        ({"require_vision": True}, {"require_vision": True, "require_audio": False}),
        ({"require_audio": True}, {"require_vision": False, "require_audio": True}),
        ({"max_cost": 0.5}, {"max_cost": 500_000_000}),
        ({"context_size": 100.0}, {"context_size": 100}),
        ({"seed": 5}, {"parameters": {"seed": 5}}),
    ],
)
def test_a_field_says_what_it_says(fields: dict[str, Any], told: dict[str, Any]) -> None:
    found = read(**fields)._asdict()

    assert {name: found[name] for name in told} == told


@pytest.mark.parametrize(
    ("model", "counted"), [(None, 1), ("", 1), ("auto", 1), ("m", 0)], ids=["none", "empty", "auto", "named"]
)
def test_images_in_plain_text_are_looked_for_where_the_model_is_left_to_us(
    model: str | None, counted: int
) -> None:
    assert read("see https://a.example/1.png", model=model).written_images == counted


def test_image_parts_are_counted_with_their_links() -> None:
    found = read([{"type": "image_url", "image_url": {"url": "https://a.example/1"}}])

    assert (found.images, found.image_links) == (1, {"https"})


@pytest.mark.parametrize(
    ("contents", "tokens"),
    [
        (["x" * 400], 100),
        (["x" * 400, "x" * 40], 110),
        (["é" * 200], 100),
        ([[{"type": "text", "text": "x" * 400}, {"type": "document", "data": "x" * 400}]], 100),
    ],
    ids=["text", "two messages", "not English", "parts"],
)
def test_text_is_estimated_at_four_bytes_a_token(contents: list[Any], tokens: int) -> None:
    assert read(*contents).input_tokens == tokens


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({"name": "x" * 400}, True),
        ({"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "x" * 400}}]}, True),
        ({"function_call": {"name": "f", "arguments": "x" * 400}}, True),
        ({"audio": {"id": "x" * 400}}, False),
    ],
    ids=["name", "tool calls", "function call", "audio"],
)
def test_text_beside_the_content_of_a_message_counts_and_sound_does_not(
    more: dict[str, Any], counts: bool
) -> None:
    found = read_chat(orjson.dumps({"messages": [{"role": "assistant", "content": None, **more}]}))

    assert (found.input_tokens >= 100) is counts


@pytest.mark.parametrize("name", ["tools", "functions", "response_format"])
def test_tools_and_formats_are_read_by_the_model_too(name: str) -> None:
    long = {"name": "f", "description": "x" * 400, "parameters": {}}
    value: Any = {"type": "text", "long": "x" * 400} if name == "response_format" else [long]

    assert read("", **{name: value}).input_tokens >= 100


@pytest.mark.parametrize(
    ("fields", "frame"),
    [
        ({}, 64),
        ({"tools": []}, 64),
        ({"tools": [{"name": "f"}]}, 1088),
        ({"functions": [{"name": "f"}]}, 1088),
    ],
)
def test_what_bounds_the_prompt_has_room_for_the_vendors_frame(fields: dict[str, Any], frame: int) -> None:
    found = read("hi", **fields)

    assert found.prompt == Prompt(len(found.raw) + frame)


def test_the_bytes_are_the_callers_without_their_mark() -> None:
    raw = orjson.dumps({"messages": [{"role": "user", "content": "hi"}]})

    assert read_chat(BOM + raw).raw == raw


def test_a_part_that_shall_be_kept_writes_the_cache() -> None:
    kept = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}

    assert read([kept]).writes_cache
    in_openais_words = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"ttl": "30m"}}
    assert read([in_openais_words]).writes_cache
    escaped = read([kept]).raw.replace(b"cache_control", b"\\u0063ache_control")
    assert read_chat(escaped).writes_cache


def test_a_tool_that_asks_another_model_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(tools=[{"type": "advisor_20260301", "name": "advisor", "model": "dear"}])

    assert (refused.value.code, refused.value.param) == ("unchecked_model", "tools[0].model")


def test_what_the_caller_predicts_may_be_charged_beside_the_answer() -> None:
    assert read("hi").predicted == 0
    assert read("hi", prediction={"type": "content", "content": "x" * 1000}).predicted > 1000


def test_tools_of_the_vendors_are_told() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}

    assert read(tools=[search]).tools == HostedTools(searches=3)
