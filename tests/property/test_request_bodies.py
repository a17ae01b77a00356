"""
No body, however odd, is a provider's failure or ours.

Valid bodies are changed in one or a few places and sent through the whole application to providers that
answer whatever they can read. `SEKHA_FUZZ_EXAMPLES` says how many are tried; with many, `--timeout 0`.
"""

import asyncio
import copy
import os
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.api.app import build_api
from serve_app.formats.exact_json import dumps
from serve_app.formats.openai_chat.fields import CHECKS
from serve_app.formats.openai_chat.parts import PARTS
from serve_app.observability.metrics import exposition
from serve_app.providers.base import Answer, Call
from serve_app.providers.bodies import fields_of
from serve_app.providers.simulator import ScriptedProvider
from tests.support.api import PIXEL
from tests.support.clock import FakeClock
from tests.support.harness import Harness
from tests.support.keyrings import keyring
from tests.support.settings import two_providers

EXAMPLES = int(os.environ.get("SEKHA_FUZZ_EXAMPLES", "200"))

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "What is this? http://x.org/a.png"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"city": "Ulm"}'}},
        ]},
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "stream_options": {"include_usage": True},
    "metadata": {"a": "b"}, "stop": ["x"], "temperature": 0.5, "top_p": 0.9, "n": 1, "seed": 7,
    "max_tokens": 20, "max_completion_tokens": 20, "logit_bias": {"5": 1}, "stream": False, "user": "u",
    "max_cost": 1.5, "context_size": 10, "folder": "/", "thinking": {"type": "enabled"},
}  # fmt: skip
EMBED: dict[str, Any] = {"model": "first-embed", "input": ["hi", "you"], "dimensions": 8, "user": "u"}
PLAIN: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


class Reader(ScriptedProvider):
    """A scripted provider that writes each request down first, as one that sends it on does."""

    async def chat(self, call: Call) -> Any:
        dumps(fields_of(call))
        return await super().chat(call)

    async def embed(self, call: Call) -> Any:
        dumps(fields_of(call))
        answer = await super().embed(call)
        assert isinstance(answer, Answer)
        return answer


class App:
    """The whole application over two providers that see and hear, in an event loop of its own."""

    def __init__(self) -> None:
        sees = {"supports_vision": True, "supports_audio": True, "context_window": 10**6}
        clock = FakeClock()
        configured = two_providers(
            {"models": [
                {"model_id": "first-chat", "task": "chat_smart", **sees},
                {"model_id": "first-embed", "task": "embedding", "context_window": 10**6, "dimension": 8},
            ]},
            default_models={},
        )  # fmt: skip
        self.harness = Harness(configured, {p.id: Reader(p, clock) for p in configured.llm_providers}, clock)  # type: ignore[misc]
        app = build_api(self.harness.running, keyring(), exposition)
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        self.loop = asyncio.new_event_loop()

    def post(self, path: str, raw: bytes) -> httpx.Response:
        return self.loop.run_until_complete(self.client.post(path, content=raw))

    def failures(self) -> list[int]:
        return [self.harness.control.breakers.of(name).failure_count for name in ("first", "second")]


APP = App()

NUMBERS = st.sampled_from([
    0, 1, -1, 100.0, 0.5, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**308, 1e300, 5e-324, -0.0,
    -1e300, True, False,
])  # fmt: skip
WORDS = st.sampled_from([
    "", "x", "auto", "function", "json_schema", "user", "tool", "required", "https://a.b/c.png", "\u0000",
    "data:image/png;base64,AAAA", "data:image/png;base64,=", "api_base", "\U0001f600", "1" * 25, *PARTS,
]) | st.text(max_size=5)  # fmt: skip


def deep(levels: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind == "list" else {"a": value}
    return value


LEVELS = st.sampled_from([1, 5, 50, 90, 96, 99, 100, 101, 110])
KEYS = WORDS | st.sampled_from(["type", "text", "name", "function", "url"])


def part(kind: str, value: str) -> list[dict[str, str]]:
    return [{"type": kind, kind: value, "text": value}]


ODD = (
    st.none()
    | NUMBERS
    | WORDS
    | st.builds(deep, LEVELS, st.sampled_from(["list", "dict"]))
    | st.builds(lambda n, item: [item] * n, st.integers(0, 300), WORDS | st.sampled_from([None, [], {}]))
    | st.dictionaries(KEYS, NUMBERS | WORDS, max_size=3)
    | st.builds(part, st.sampled_from(list(PARTS)), WORDS)
)
FIELDS = st.sampled_from([*CHECKS, "messages", "input", "service_tier", "audio", "unheard_of", "input_type"])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a value."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, Any]:
    """A path and a body that was valid before a few of its places were changed."""
    path, valid = draw(st.sampled_from([
        ("/v1/chat/completions", CHAT), ("/v1/chat/completions", PLAIN), ("/v1/embeddings", EMBED),
        ("/api/v1/chat/completions", CHAT),
    ]))  # fmt: skip
    body: Any = copy.deepcopy(valid)
    for _ in range(draw(st.integers(0, 3))):
        here: Any = body
        *way, last = draw(st.sampled_from(list(places(body))) | st.tuples(FIELDS)) if body else ("model",)
        for step in way:
            here = here[step]
        how = draw(st.sampled_from(["replace", "replace", "remove", "twice"]))
        if how == "replace" or (isinstance(here, dict) and last not in here):
            here[last] = draw(ODD)
        elif how == "remove":
            del here[last]
        else:
            here[last] = [here[last], here[last]]
    return path, body


def raw_of(body: Any, spoil: int) -> bytes:
    """The body as bytes; now and then not quite JSON, or behind a byte order mark."""
    raw = dumps_deep(body)
    if spoil == 1:
        return raw[: len(raw) // 2]
    if spoil == 2:
        return b"\xef\xbb\xbf" + raw
    return raw.replace(b"5", b"NaN", 1) if spoil == 3 else raw


def dumps_deep(body: Any) -> bytes:
    """JSON of any depth, which neither parser writes."""
    if isinstance(body, dict):
        members = (orjson.dumps(name) + b":" + dumps_deep(inner) for name, inner in body.items())
        return b"{%b}" % b",".join(members)
    if isinstance(body, list):
        return b"[%b]" % b",".join(map(dumps_deep, body))
    return dumps(body)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(bodies(), st.integers(0, 12))
def test_no_body_is_a_failure_of_ours_or_of_a_provider(asked: tuple[str, Any], spoil: int) -> None:
    path, body = asked

    answer = APP.post(path, raw_of(body, spoil))

    if answer.status_code >= 500:  # nobody has, or may be asked for, what it wants
        code = answer.json()["error"]["code"]
        assert code in ("no_providers_available", "no_suitable_providers"), answer.text
    elif answer.status_code == 200:
        assert b'data: {"error"' not in answer.content, answer.text
    else:
        assert answer.json()["detail"]
    assert APP.failures() == [0, 0], answer.text
