"""What is reserved bounds what is sent, for every adapter and whatever a caller writes."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiktoken import Encoding

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.formats.anthropic_messages.request import read_messages
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_responses.request import read_responses
from serve_app.gateway.charging import RequestCharges
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.pricing.prompt import most_tokens
from serve_app.providers.base import Call
from serve_app.providers.catalogue.wire_format import WireFormat
from serve_app.providers.factory import build_provider
from serve_app.providers.tokenizer import CL100K, O200K, _encoding
from serve_app.providers.vllm_engine import LocalProvider
from serve_app.routing.target import Target
from tests.support.clock import FakeClock
from tests.support.engine import HttpEngine
from tests.support.harness import Harness, ListedProvider
from tests.support.providers import chat_provider
from tests.support.settings import settings as settings_of
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning")

MODELS = {
    "openai": "gpt-4o-mini",
    "openai_compatible": "my-model",
    "ollama": "qwen3:8b",
    "vllm": "qwen",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "local": "qwen",
}
PRICED = {"cost_per_1k_input": 0.001, "cost_per_1k_output": 0.002}

# The names of the bound as vendors have them, apart from the code under test; as `plain` writes them.
KNOWN = {
    "maxtokens", "maxcompletiontokens", "maxoutputtokens", "maxnewtokens", "numpredict", "npredict",
    "maxtokenstosample",
}  # fmt: skip
names = st.sampled_from([
    "max_tokens", "Max_Tokens", "MAX_TOKENS", "max_completion_tokens", "Max_completion_tokens",
    "max_output_tokens", "maxOutputTokens", "max_new_tokens", "max_to\N{KELVIN SIGN}ens",
])  # fmt: skip
counts = st.integers(1, 200_000)
nested = st.sampled_from([
    ("options", "num_predict"), ("Options", "Num_Predict"), ("extra_body", "max_tokens"),
    ("generationConfig", "maxOutputTokens"), ("generation_config", "max_output_tokens"),
])  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": draw(st.text(max_size=20)) + "hi"}]}
    body |= draw(st.dictionaries(names, counts, max_size=3))
    for (outer, inner), count in draw(st.dictionaries(nested, counts, max_size=2)).items():
        body.setdefault(outer, {})[inner] = count
    body |= draw(
        st.sampled_from(
            [
                {},
                {"thinking": {"type": "enabled", "budget_tokens": 60_000}},
                {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
                {"reasoning_effort": "high"},
                {"reasoning_effort": "low"},
                {"reasoning": {"max_tokens": 5000}},
            ]
        )
    )
    if draw(st.booleans()):
        body["n"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        body["stream"] = True
    return body


def plain(name: str) -> str:
    return name.casefold().replace("_", "")


def allowed(sent: Any, inside: str = "") -> Iterator[int]:
    """Every bound of an answer in what an upstream got, wherever it stands."""
    for name, value in sent.items() if isinstance(sent, dict) else ():
        if plain(name) in KNOWN and inside != "reasoning":
            yield value
        elif name != "messages":
            yield from allowed(value, plain(name))


class Adapters:
    """One gateway with a budget, and a real adapter for each kind of vendor, pointed at one upstream."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.upstream = upstream
        self.loop = asyncio.new_event_loop()
        offered = [
            {
                "id": type_,
                "type": "vllm" if type_ == "local" else type_,
                "base_url": upstream.url,
                "api_key": "k",
                "models": [{"model_id": model, "task": "chat_smart", "context_window": 400_000, **PRICED}],
            }
            for type_, model in MODELS.items()
        ]
        offered.append({**offered[0], "id": "responses", "formats": ["openai_chat", "openai_responses"]})
        config = settings_of(
            {"llm_providers": offered, "default_models": {}}, budgets={"limit": 1e9, "window": "total"}
        )
        harness = Harness(config, {each["id"]: ListedProvider() for each in offered}, FakeClock())
        self.harness = self.loop.run_until_complete(harness.open())
        self.providers = {each["id"]: self._built(each) for each in offered}
        self.native = {
            each["id"]: build_provider(ProviderConfig(**each), {}, SystemClock())
            for each in offered
            if each["id"] in ("anthropic", "responses")
        }

    def _built(self, offered: dict[str, Any]) -> Any:
        if offered["id"] == "local":
            hosted = {"id": "local", "type": "vllm", "models": offered["models"], "local": {}}
            engine = HttpEngine(self.upstream.url)
            return LocalProvider(ProviderConfig.model_validate(hosted), engine, SystemClock())
        return chat_provider(ProviderConfig(**offered), {}, SystemClock())

    def target(self, type_: str) -> Target:
        return next(each for each in self.harness.access.targets if each.provider_id == type_)

    def sent(self, type_: str, body: dict[str, Any]) -> tuple[RequestCharges, dict[str, Any]]:
        """What the upstream gets of this body, and the bill on which it was reserved."""
        request = read_chat(json.dumps(body).encode())
        wanted = self.harness.requirements(request)
        control = self.harness.control
        asked = GatewayRequest("r", Operation.CHAT, request)
        charges = RequestCharges(asked, wanted, control, FakeClock())
        target = self.target(type_)
        call = Call(
            target.model_id,
            request.raw,
            5.0,
            output_tokens=charges.sends(target),
            limits_tools=charges.limits_tools(target),
        )
        self.upstream.requests.clear()
        self.loop.run_until_complete(self._ask(self.providers[type_], call, bool(body.get("stream"))))
        return charges, self.upstream.last.json

    def sent_as(self, wire: WireFormat, body: dict[str, Any]) -> tuple[RequestCharges, dict[str, Any]]:
        """The same for a body in a format that the upstream speaks."""
        type_, _, parse = NATIVE[wire]
        request = parse(json.dumps(body).encode())
        asked = GatewayRequest("r", Operation.CHAT, request)
        charges = RequestCharges(asked, self.harness.requirements(request), self.harness.control, FakeClock())
        target = self.target(type_)
        call = Call(
            target.model_id, request.raw, 5.0, output_tokens=charges.sends(target), format=wire,
            limits_tools=charges.limits_tools(target),
        )  # fmt: skip
        self.upstream.requests.clear()
        self.loop.run_until_complete(self._ask(self.native[type_], call, bool(body.get("stream"))))
        return charges, self.upstream.last.json

    async def _ask(self, provider: Any, call: Call, streams: bool) -> None:
        if not streams:
            await provider.chat(call)
            return
        async for _ in provider.chat_stream(call):
            pass

    def close(self) -> None:
        for provider in (*self.providers.values(), *self.native.values()):
            self.loop.run_until_complete(provider.aclose())
        self.loop.close()


@pytest.fixture(scope="module")
def adapters() -> Iterator[Adapters]:
    with ScriptedUpstream() as upstream:
        made = Adapters(upstream)
        yield made
        made.close()


@pytest.mark.parametrize("type_", MODELS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies())
def test_no_answer_may_be_longer_than_what_was_reserved_for_it(
    adapters: Adapters, type_: str, body: dict[str, Any]
) -> None:
    charges, sent = adapters.sent(type_, body)

    bounds = list(allowed(sent))
    assert len(bounds) == 1, "exactly one is sent, also where the caller set none"
    answers = sent.get("n", 1)
    assert bounds[0] * answers <= charges.most(adapters.target(type_)).output_tokens
    asked = [*allowed({name: value for name, value in body.items() if name != "thinking"})]
    assert not asked or bounds[0] >= max(asked), "no answer is cut shorter than was asked"


@pytest.mark.parametrize(
    ("type_", "body", "reserved"),
    [
        ("openai_compatible", {"max_completion_tokens": 1, "max_tokens": 100_000}, 100_000),
        ("openai_compatible", {"max_tokens": 1, "Max_Tokens": 100_000}, 100_000),
        ("ollama", {"max_tokens": 1, "options": {"num_predict": 100_000}}, 100_000),
        ("openai_compatible", {"max_output_tokens": 7}, 7),
        ("openai_compatible", {"max_tokens": 5, "n": 2, "N": 3}, 15),
        ("anthropic", {}, 4096),
        ("anthropic", {"max_tokens": 1, "thinking": {"type": "enabled", "budget_tokens": 60_000}}, 60_001),
        ("anthropic", {"max_tokens": 1, "reasoning_effort": "high"}, 4097),
        ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 60_000}}, 64_000),
        ("gemini", {}, 4096),
    ],
)
def test_the_largest_bound_counts_and_is_the_one_that_is_sent(
    adapters: Adapters, type_: str, body: dict[str, Any], reserved: int
) -> None:
    charges, sent = adapters.sent(type_, {"messages": [{"role": "user", "content": "hi"}], **body})

    assert charges.most(adapters.target(type_)).output_tokens == reserved
    assert [bound * sent.get("n", 1) for bound in allowed(sent)] == [reserved]


def test_what_is_sent_allows_no_more_searches_than_were_reserved(adapters: Adapters) -> None:
    tool = {"type": "web_search_20250305", "name": "web_search"}

    for given_uses, uses in ((None, 5), (3, 3)):
        offered = tool if given_uses is None else {**tool, "max_uses": given_uses}
        body = {"messages": [{"role": "user", "content": "hi"}], "tools": [offered]}
        charges, sent = adapters.sent("anthropic", body)

        assert [each["max_uses"] for each in sent["tools"]] == [uses]
        assert charges.most(adapters.target("anthropic")).searches == uses


# The formats that some upstreams are asked in as they are

NATIVE: dict[WireFormat, tuple[str, str, Callable[[bytes], ChatRequest]]] = {
    WireFormat.ANTHROPIC_MESSAGES: ("anthropic", "max_tokens", read_messages),
    WireFormat.OPENAI_RESPONSES: ("responses", "max_output_tokens", read_responses),
}


@pytest.mark.parametrize("wire", NATIVE)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies(), bound=counts, is_bounded=st.booleans())
def test_no_answer_in_its_own_format_may_be_longer_than_what_was_reserved_for_it(
    adapters: Adapters, wire: WireFormat, body: dict[str, Any], bound: int, is_bounded: bool
) -> None:
    type_, name, _ = NATIVE[wire]
    if wire is WireFormat.OPENAI_RESPONSES:
        body = {**body, "input": "hi"}
        del body["messages"]
    if is_bounded or wire is WireFormat.ANTHROPIC_MESSAGES:
        body[name] = bound
    misspelled = [key for key in body if key != name and key.casefold() == name]
    body = {key: value for key, value in body.items() if key not in misspelled}

    charges, sent = adapters.sent_as(wire, body)

    assert list(allowed(sent)) == [sent[name]], "exactly one is sent, also where the caller set none"
    assert sent[name] <= charges.most(adapters.target(type_)).output_tokens
    assert name not in body or sent[name] >= body[name], "no answer is cut shorter than was asked"


# What is read

ENCODINGS: tuple[Encoding, ...] = tuple(_encoding(each) for each in (O200K, CL100K))

texts = st.text(max_size=200) | st.text("的是不了人我在有他这 日本語한국어", max_size=200)
messages = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.just("user"), "content": texts}, optional={"name": texts}),
        st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": texts, "content": texts}),
        st.fixed_dictionaries({
            "role": st.just("assistant"),
            "refusal": texts,
            "tool_calls": st.lists(
                st.fixed_dictionaries({
                    "id": texts, "type": st.just("function"),
                    "function": st.fixed_dictionaries({"name": texts, "arguments": texts}),
                }),
                max_size=2,
            ),
        }),
        st.fixed_dictionaries({
            "role": st.just("user"),
            "content": st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=3),
        }),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def said(value: Any) -> Iterator[str]:
    """Every text in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from said(inner)


@given(messages, st.booleans())
def test_no_text_has_more_tokens_than_are_reserved_for_it(
    said_so: list[dict[str, Any]], is_ascii: bool
) -> None:
    prompt = read_chat(json.dumps({"messages": said_so}, ensure_ascii=is_ascii).encode()).prompt
    assert prompt is not None

    for encoding in ENCODINGS:
        tokens = sum(len(encoding.encode_ordinary(text)) for text in said(said_so))
        assert tokens + 4 * len(said_so) <= most_tokens(prompt, "gpt-4o", None).text
