"""
Any body of `POST /v1/responses` is parsed, or refused with a clear 4xx; so is its translation to a chat.

`SEKHA_FUZZ_EXAMPLES` says how many are tried; with many, `--timeout 0`.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import dumps
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.openai_responses.format import OPENAI_RESPONSES
from serve_app.formats.responses_to_chat.translation import ResponsesToChat

EXAMPLES = int(os.environ.get("SEKHA_FUZZ_EXAMPLES", "200"))

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
PART = {"type": "input_text", "text": "Look: http://x.org/a.png"}
IMAGE = {"type": "input_image", "image_url": "https://a.b/c.png", "detail": "low"}
FILE = {"type": "input_file", "file_data": "A"}
SUMMARY = {"type": "summary_text", "text": "x"}
SEALED = "gw1.W3sidHlwZSI6InRoaW5raW5nIn1d"
BODY: dict[str, Any] = {
    "model": "auto",
    "instructions": "Be brief.",
    "input": [
        {"role": "developer", "content": "Hi", "id": "msg_1"},
        {"type": "message", "role": "user", "content": [PART, IMAGE, FILE]},
        {"type": "reasoning", "summary": [SUMMARY], "encrypted_content": SEALED},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "Hm", "annotations": []}, {"type": "refusal", "refusal": "No"},
        ]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}", "namespace": "ns"},
        {"type": "custom_tool_call", "call_id": "2", "name": "p", "input": "x"},
        {"type": "shell_call", "call_id": "3", "action": {"commands": ["ls"]}},
        {"type": "function_call_output", "call_id": "1", "output": [PART, IMAGE]},
        {"type": "custom_tool_call_output", "call_id": "2", "output": "ok"},
        {"type": "shell_call_output", "call_id": "3", "output": [{"stdout": "a"}]},
        {"type": "tool_search_call", "execution": "client", "call_id": "4", "arguments": {"query": "x"}},
        {"type": "tool_search_output", "execution": "client", "call_id": "4", "tools": [FUNCTION]},
        {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]},
        {"type": "web_search_call", "id": "ws_1", "action": {"query": "x"}},
        {"type": "computer_call_output", "call_id": "5", "output": {"image_url": "https://a.b/c.png"}},
    ],
    "tools": [
        FUNCTION,
        {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "namespace", "name": "ns", "description": "d", "tools": [FUNCTION]},
        {"type": "web_search"},
        {"type": "shell", "environment": {"type": "local"}},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}, "verbosity": "low"},
    "reasoning": {"effort": "high", "summary": "auto"},
    "include": ["reasoning.encrypted_content"], "max_output_tokens": 20, "max_tool_calls": 2, "store": False,
    "stream": True, "metadata": {"a": "b"}, "temperature": 0.5, "top_p": 0.9, "top_logprobs": 2,
    "service_tier": "auto", "truncation": "auto", "parallel_tool_calls": True, "user": "u",
}  # fmt: skip

KINDS = sorted({item.get("type", "message") for item in BODY["input"]})
WORDS = st.sampled_from([
    "", "x", "auto", "required", "function", "message", "user", "assistant", "\U0001f600", "\u0000", "1" * 25,
    "container_auto", "client", "tool_search", "mcp", "input_audio", "https://a.b/c.png", "gw1.!", *KINDS,
]) | st.text(max_size=5)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, -1, 100.0, 0.5, 2**63, 10**30, 1e300, True, False])
ODD = (
    st.none()
    | NUMBERS
    | WORDS
    | st.lists(st.none() | NUMBERS | WORDS | st.builds(dict, type=WORDS, text=WORDS), max_size=3)
    | st.dictionaries(
        WORDS | st.sampled_from(["type", "role", "name", "content"]), NUMBERS | WORDS, max_size=3
    )
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a value."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


PLACES = sorted(places(BODY), key=str)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A valid body, changed in a few places."""
    body = copy.deepcopy(BODY)
    for *path, last in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        holder: Any = body
        try:
            for step in path:
                holder = holder[step]
            if draw(st.booleans()):
                holder[last] = draw(ODD)
            else:
                del holder[last]
        except (KeyError, IndexError, TypeError):
            continue  # changed already
    return dumps(body)


def test_the_body_that_is_changed_is_valid() -> None:
    assert OPENAI_RESPONSES.parse(dumps(BODY)).images == 3


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
@given(bodies() | st.binary(max_size=50))
def test_a_body_is_parsed_or_refused(raw: bytes) -> None:
    refused: InvalidRequest | None = None
    try:
        request = OPENAI_RESPONSES.parse(raw)
    except InvalidRequest as error:
        refused = error
    if refused is not None:
        assert refused.status in (400, 413, 422)
        assert refused.message
        return
    assert request.input_tokens >= 1
    OPENAI_RESPONSES.last_user_text(request.raw)
    OPENAI_RESPONSES.count_images(request.raw)
    OPENAI_RESPONSES.parse(OPENAI_RESPONSES.with_system_text(request.raw, "Facts"))


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
@given(bodies())
def test_a_body_that_is_parsed_is_a_chat_or_refused(raw: bytes) -> None:
    refused: InvalidRequest | None = None
    try:
        chat = ResponsesToChat(OPENAI_RESPONSES.parse(raw).raw).body
    except InvalidRequest as error:
        refused = error
    if refused is not None:
        assert refused.status in (400, 413, 422)
        return
    assert OPENAI_CHAT.parse(chat).model == OPENAI_RESPONSES.parse(raw).model
