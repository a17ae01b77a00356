"""
A conversation that goes through the other format, and back, says the same.

`SEKHA_FUZZ_EXAMPLES` says how many odd requests are tried.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.formats.anthropic_messages.format import ANTHROPIC_MESSAGES
from serve_app.formats.base import ChatFormat
from serve_app.formats.chat_to_messages.translation import ChatToMessages
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.messages_to_chat.translation import MessagesToChat
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.translation import Translate

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.strip)
NAMES = st.text("abcXYZ019_-", min_size=1, max_size=10)
ARGUMENTS = st.dictionaries(
    NAMES, st.integers(-(2**80), 2**80) | WORDS | st.lists(st.booleans(), max_size=2), max_size=2
)
SOURCES = st.sampled_from([
    {"type": "base64", "media_type": "image/png", "data": "AAAA"},
    {"type": "url", "url": "https://x.org/a.png"},
])  # fmt: skip
TEXTS = st.fixed_dictionaries({"type": st.just("text"), "text": WORDS})
IMAGES = st.fixed_dictionaries({"type": st.just("image"), "source": SOURCES})
SIGNED = st.fixed_dictionaries({"type": st.just("thinking"), "thinking": WORDS, "signature": WORDS})


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw the turns of a Messages request: users and assistants in turn, every call answered."""
    turns: list[dict[str, Any]] = []
    calls: list[str] = []
    number = 0
    for _ in range(draw(st.integers(1, 4))):
        results = [{"type": "tool_result", "tool_use_id": call, "content": [draw(TEXTS)]} for call in calls]
        said = draw(st.lists(TEXTS | IMAGES, min_size=0 if results else 1, max_size=3))
        turns.append({"role": "user", "content": [*results, *said]})
        if draw(st.booleans()):
            turns.append({"role": "system", "content": [draw(TEXTS)]})
        count = draw(st.integers(0, 2))
        calls = [f"toolu_{number + place}" for place in range(count)]
        number += count
        uses = [
            {"type": "tool_use", "id": call, "name": draw(NAMES), "input": draw(ARGUMENTS)} for call in calls
        ]
        text = draw(st.lists(TEXTS, min_size=0 if uses else 1, max_size=1))
        turns.append({"role": "assistant", "content": [*draw(st.lists(SIGNED, max_size=1)), *text, *uses]})
    return turns if not calls else turns[:-1]


@given(conversations(), st.lists(TEXTS, max_size=1))
def test_a_conversation_in_messages_comes_back_from_a_chat_as_it_was(
    turns: list[dict[str, Any]], system: list[dict[str, Any]]
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": turns, **({"system": system} if system else {})}
    there = MessagesToChat(dumps(body))
    back = ChatToMessages(there.body)

    assert (there.dropped, back.dropped) == ((), ())
    assert loads(back.body) == body


@given(conversations(), st.lists(TEXTS, max_size=1))
def test_a_conversation_in_a_chat_comes_back_from_messages_as_it_was(
    turns: list[dict[str, Any]], system: list[dict[str, Any]]
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": turns, "system": system}
    chat = MessagesToChat(dumps(body)).body

    assert loads(MessagesToChat(ChatToMessages(chat).body).body) == loads(chat)


EXAMPLES = int(os.environ.get("SEKHA_FUZZ_EXAMPLES", "200"))
CALLED = {"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}
CHAT: dict[str, Any] = {
    "model": "m", "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}},
        {"type": "custom", "custom": {"name": "g", "format": {"grammar": {"definition": "x"}}}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 1},
        {"name": "h", "input_schema": {}},
    ],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": "f"}]}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}, "stop": ["a"],
    "safety_identifier": "u", "service_tier": "auto", "reasoning_effort": "low", "modalities": ["text"],
    "messages": [
        {"role": "developer", "content": "x"},
        {"role": "user", "content": [
            {"type": "text", "text": "x", "prompt_cache_breakpoint": {"ttl": "30m"}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,AAAA", "filename": "x"}},
        ]},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}, "thinking_blocks": [
            {"type": "thinking", "thinking": "a", "signature": "s"},
        ]},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": None, "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
        {"role": "system", "content": "x", "cache_control": {"type": "ephemeral"}},
    ],
}  # fmt: skip
MESSAGES: dict[str, Any] = {
    "model": "m", "max_tokens": 9, "stop_sequences": ["a"], "metadata": {"user_id": "u"}, "speed": "fast",
    "system": [{"type": "text", "text": "a"}], "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"anyOf": [{}]}}},
    "tools": [
        {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True},
        {"type": "bash_20250124", "name": "bash"}, {"type": "web_search_20250305", "name": "w"},
    ],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "messages": [
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
            {"type": "search_result", "title": "x", "content": [{"type": "text", "text": "x"}]},
        ]},
        {"role": "system", "content": "x", "output_config": {"effort": "low"}},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "a", "signature": "b"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
            {"type": "text", "text": "x"}, {"type": "tool_reference", "tool_name": "x"},
        ]}]},
    ],
}  # fmt: skip
ODD = st.sampled_from([
    None, True, 0, -1, 2**70, 1.5, "", "x", "none", [], {}, [{}], [None], ["x"], {"type": "x"}, {"a": None},
    [{"type": "text", "text": "q"}], [[]], {"type": 5},
])  # fmt: skip
MEMBERS = st.sampled_from(["type", "content", "name", "id", "source", "cache_control", "text"])


def containers(value: Any) -> Iterator[Any]:
    """Yield every object and list that has something in it."""
    if isinstance(value, dict | list) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


@st.composite
def changed(draw: st.DrawFn, body: dict[str, Any]) -> bytes:
    """Draw a body that differs from this one in up to three places."""
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        if not (places := list(containers(body))):
            break
        owner = draw(st.sampled_from(places))
        key = draw(st.sampled_from(list(owner) if isinstance(owner, dict) else range(len(owner))))
        if isinstance(owner, dict) and draw(st.booleans()):
            key = draw(MEMBERS)
        owner[key] = copy.deepcopy(draw(ODD))
    return dumps(body)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(changed(CHAT) | changed(MESSAGES))
def test_whatever_a_format_takes_is_translated_or_refused(body: bytes) -> None:
    pairs: list[tuple[ChatFormat, Translate]] = [
        (OPENAI_CHAT, ChatToMessages),
        (ANTHROPIC_MESSAGES, MessagesToChat),
    ]
    for form, translate in pairs:
        try:
            form.parse(body)
            translation = translate(body)
        except InvalidRequest:
            continue
        assert isinstance(loads(translation.body), dict)
