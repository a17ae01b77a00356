"""
Whatever callers and upstreams send in Anthropic's format, it is read or refused.

Valid bodies and streams are changed in a few places. `SEKHA_FUZZ_EXAMPLES` says how many are tried.
"""

import contextlib
import copy
import os
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.formats.anthropic_messages.events import events_in, message_in, usage_of_message
from serve_app.formats.anthropic_messages.format import ANTHROPIC_MESSAGES
from serve_app.formats.anthropic_messages.stream_conversion import answer_of, events_of
from serve_app.formats.chat_request import ChatRequest
from serve_app.gateway.streaming.resume import Continuation, Differs, SentText
from tests.unit.formats.anthropic_messages.samples import EVENTS, MESSAGE, stream_of

EXAMPLES = int(os.environ.get("SEKHA_FUZZ_EXAMPLES", "200"))
FUZZED = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

PNG = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
BODY: dict[str, Any] = {
    "model": "m", "max_tokens": 20, "stream": True, "temperature": 0.5, "top_k": 5, "stop_sequences": ["x"],
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image", "source": PNG},
            {"type": "document", "source": {"type": "url", "url": "https://a.example/1.pdf"}},
            {"type": "document", "source": {"type": "content", "content": [
                {"type": "image", "source": PNG},
            ]}},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"city": "Ulm"}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [
            {"type": "text", "text": "sunny"}, {"type": "image", "source": PNG},
        ]}]},
        {"role": "system", "content": "Go on", "output_config": {"effort": "low"}},
        {"role": "user", "content": [{"type": "tool_addition", "tool": {"definition": {"name": "g"}}}]},
    ],
    "tools": [
        {"name": "f", "description": "d", "input_schema": {"type": "object"}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
    ],
    "tool_choice": {"type": "tool", "name": "f"}, "thinking": {"type": "enabled", "budget_tokens": 9},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "metadata": {"user_id": "u"}, "service_tier": "auto", "speed": "fast", "max_cost": 1.5,
    "provider": {"only": ["p"]},
}  # fmt: skip

ODD: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, -1, 0.5, 100.0, 2**31, 2**63, 2**64, 10**30, 1e300, -0.0])
    | st.sampled_from(["", "x", "text", "image", "document", "tool_result", "file", "url", "base64"])
    | st.sampled_from(["text_delta", "input_json_delta", "\U0001f600", "\u0000", "file:///x", "1" * 25])
    | st.sampled_from(["deep:50", "deep:98", "deep:102", "deep:300", "deep:1000", "deep:1020"])
    | st.text(max_size=4)
    | st.lists(st.none() | st.integers(0, 2) | st.just({}) | st.just([]), max_size=3)
    | st.dictionaries(st.sampled_from(["type", "text", "source", "content"]), st.none() | st.just("x"))
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a value."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


@st.composite
def changed(draw: st.DrawFn, valid: Any) -> Any:
    """A value of which a few places are something else, missing, or there twice."""
    value = copy.deepcopy(valid)
    for _ in range(draw(st.integers(0, 3))):
        ways = list(places(value))
        if not ways:
            break
        *way, last = draw(st.sampled_from(ways))
        here = value
        for step in way:
            here = here[step]
        match draw(st.sampled_from(["replace", "replace", "remove", "twice"])):
            case "replace":
                here[last] = draw(ODD)
            case "remove":
                del here[last]
            case "twice":
                here[last] = [here[last], here[last]]
    return value


def written(value: Any) -> bytes:
    """JSON in which a word like `deep:300` is so many levels, which nobody could print."""
    if isinstance(value, dict):
        members = (orjson.dumps(name) + b":" + written(inner) for name, inner in value.items())
        return b"{%b}" % b",".join(members)
    if isinstance(value, list):
        return b"[%b]" % b",".join(map(written, value))
    if isinstance(value, str) and value.startswith("deep:"):
        levels = int(value[5:]) // 2
        return b'{"content":[' * levels + b"1" + b"]}" * levels
    return str(value).encode() if type(value) is int else orjson.dumps(value)


def parsed(raw: bytes) -> tuple[ChatRequest | None, InvalidRequest | None]:
    try:
        return ANTHROPIC_MESSAGES.parse(raw), None
    except InvalidRequest as refusal:
        return None, refusal


@FUZZED
@given(changed(BODY))
def test_a_body_is_parsed_or_refused_by_name(body: dict[str, Any]) -> None:
    raw = written(body)
    request, refusal = parsed(raw)
    if request is None:
        assert refusal is not None
        assert refusal.status in (400, 413, 422)
        assert ANTHROPIC_MESSAGES.error(refusal)
        return
    assert request.prompt is not None
    assert min(request.prompt) >= 0
    assert request.images >= ANTHROPIC_MESSAGES.count_images(raw)
    again = ANTHROPIC_MESSAGES.with_system_text(raw, "Facts")
    assert ANTHROPIC_MESSAGES.parse(again).output_limit == request.output_limit
    assert ANTHROPIC_MESSAGES.last_user_text(again) == ANTHROPIC_MESSAGES.last_user_text(raw)


def check_stream(stream: bytes) -> None:
    """Read and write a stream in every way there is."""
    assert ANTHROPIC_MESSAGES.count_chars(stream) >= 0
    assert isinstance(ANTHROPIC_MESSAGES.first_block(stream, {"x": 1}), bytes)
    sent = SentText(ANTHROPIC_MESSAGES)
    sent.listen(stream)
    for chunk in ANTHROPIC_MESSAGES.chunks(stream):
        assert chunk.is_plain or not chunk.text
        if chunk.is_plain:
            assert ANTHROPIC_MESSAGES.rewritten(chunk, "x", "id")
    with contextlib.suppress(Differs):
        Continuation(sent).feed(stream)
    message = answer_of(events_in(stream))
    assert isinstance(message["content"], list)
    usage_of_message(message["usage"])
    again = answer_of(events_in(events_of(message)))
    assert again["stop_reason"] == message["stop_reason"]
    assert len(again["content"]) == len(message["content"])


@FUZZED
@given(changed(EVENTS))
def test_a_stream_of_any_events_is_read(events: list[Any]) -> None:
    check_stream(b"".join(b"event: x\ndata: " + written(payload) + b"\n\n" for payload in events))


@FUZZED
@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 20))
def test_a_stream_of_any_bytes_is_read(noise: bytes, place: int, lost: int) -> None:
    stream = stream_of(*EVENTS)

    check_stream(noise)
    check_stream(stream[:place] + noise + stream[place + lost :])


@FUZZED
@given(changed(MESSAGE))
def test_a_whole_answer_of_any_kind_is_read(body: dict[str, Any]) -> None:
    message = message_in(written(body))
    if message is None:
        return
    found = answer_of(events_in(events_of(message)))
    assert len(found["content"]) == sum(isinstance(block, dict) for block in message["content"])
    assert ANTHROPIC_MESSAGES.response(written(body), {"x": 1}).endswith(b'"x":1}')
