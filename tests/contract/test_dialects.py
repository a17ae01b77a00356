"""
What reaches an upstream that speaks another dialect, over real HTTP, and what LiteLLM would leave out.

The router never imports LiteLLM, so its table says what LiteLLM takes of the vendors that it translates for;
the two are compared here.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import ConfigError, FailureKind, UpstreamError
from serve_app.providers.base import Answer, Call, Provider, StreamEnd, StreamHead
from serve_app.providers.dialects import dialect_of
from tests.support.items import items_of, text_in
from tests.support.providers import chat_provider
from tests.support.upstream import ScriptedUpstream

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
]

CLAUDE = "claude-3-haiku-20240307"
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


class Built:
    """Providers of one test, closed at its end."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self.all: list[Provider] = []

    def __call__(
        self, type_: str, model_id: str = "m", path: str = "", environ: Any = None, **fields: Any
    ) -> Provider:
        models = [{"model_id": model_id, "task": "chat_small"}]
        address = {"base_url": self._upstream.url + path, "api_key": "sk-canary-0123456789"}
        config = {"id": "p", "type": type_, "models": models, **address, **fields}
        made = chat_provider(ProviderConfig.model_validate(config), environ or {}, SystemClock())
        self.all.append(made)
        return made


@pytest.fixture
async def build(upstream: ScriptedUpstream) -> AsyncIterator[Built]:
    built = Built(upstream)
    upstream.requests.clear()
    yield built
    upstream.recover()
    for provider in built.all:
        await provider.aclose()


def call(model_id: str = "m", messages: Any = HI, wants_usage: bool = False, **asked: Any) -> Call:
    return Call(model_id, json.dumps({"messages": messages, **asked}).encode(), 5, wants_usage=wants_usage)


# What is sent


@pytest.mark.parametrize("streams", [False, True])
async def test_the_upstream_gets_the_request_in_its_dialect(
    build: Built, upstream: ScriptedUpstream, streams: bool
) -> None:
    provider = build("mistral")
    asked = call(messages=[{"role": "developer", "content": "short"}, *HI], seed=7, logprobs=True)

    if streams:
        head = (await items_of(provider, asked))[0]
        assert isinstance(head, StreamHead)
        assert head.dropped == ("logprobs",)
    else:
        answer = await provider.chat(asked)
        assert isinstance(answer, Answer)
        assert answer.dropped == ("logprobs",)

    sent = upstream.last.json
    assert sent["random_seed"] == 7
    assert sent["messages"][0]["role"] == "system"
    assert not {"seed", "logprobs", "stream_options"} & sent.keys()


async def test_what_cannot_be_said_to_claude_is_told(build: Built, upstream: ScriptedUpstream) -> None:
    asked = {
        "response_format": {"type": "json_object"}, "metadata": {"a": "b"}, "n": 2, "seed": 7,
        "logprobs": True, "logit_bias": {"1": 1}, "service_tier": "flex", "betas": ["x"], "temperature": 1.5,
    }  # fmt: skip

    answer = await build("anthropic", CLAUDE).chat(call(CLAUDE, **asked, top_k=4))

    assert isinstance(answer, Answer)
    assert set(answer.dropped) == set(asked) - {"response_format"}, "JSON is asked for in words"
    assert upstream.last.json["temperature"] == 1
    assert upstream.last.json["top_k"] == 4
    assert not (asked.keys() - {"temperature"}) & upstream.last.json.keys()


async def test_a_word_that_would_steer_the_translator_is_told(build: Built) -> None:
    answer = await build("anthropic", CLAUDE).chat(call(CLAUDE, mock_response="x", headers={"a": "b"}))

    assert isinstance(answer, Answer)
    assert answer.dropped == ("headers", "mock_response")


async def test_what_only_the_translator_knows_is_told_too(build: Built, upstream: ScriptedUpstream) -> None:
    answer = await build("cohere_chat", "command-r", "/v1/messages").chat(
        call("command-r", logit_bias={"1": 1})
    )

    assert isinstance(answer, UpstreamError)  # the scripted upstream does not speak Cohere's words
    provider = build("hosted_vllm", "m", "/v1")
    whole = await provider.chat(call(store=True, safety_identifier="s", seed=7))
    assert isinstance(whole, Answer)
    assert set(whole.dropped) | upstream.last.json.keys() >= {"store", "safety_identifier", "seed"}


@pytest.mark.parametrize("streams", [False, True])
async def test_nothing_is_put_into_the_models_mouth(
    build: Built, upstream: ScriptedUpstream, streams: bool
) -> None:
    tool = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": "", "tool_calls": [tool]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    provider, asked = build("anthropic", CLAUDE), call(CLAUDE, messages)

    if streams:
        await items_of(provider, asked)
    else:
        await provider.chat(asked)

    sent = upstream.last.json["messages"]
    assert "System:" not in json.dumps(sent)
    assert [part["type"] for part in sent[1]["content"]] == ["tool_use"]
    assert [part["text"] for part in sent[0]["content"]] == ["hi"]


async def test_a_conversation_with_cut_arguments_is_refused_before_it_is_sent(
    build: Built, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    tool = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"canary": '}}
    messages = [*HI, {"role": "assistant", "tool_calls": [tool]}]
    provider = build("anthropic", CLAUDE)

    refusals = [
        await provider.chat(call(CLAUDE, messages)),
        *await items_of(provider, call(CLAUDE, messages)),
    ]

    for refusal in refusals:
        assert isinstance(refusal, UpstreamError)
        assert (refusal.status, refusal.code) == (400, "invalid_tool_arguments")
        assert refusal.param == "messages[1].tool_calls[0].function.arguments"
        assert "canary" not in refusal.message
    assert "canary" not in caplog.text
    assert upstream.requests == []


async def test_a_request_without_a_word_is_refused(build: Built, upstream: ScriptedUpstream) -> None:
    refusal = await build("anthropic", CLAUDE).chat(call(CLAUDE, [{"role": "user", "content": " "}]))

    assert isinstance(refusal, UpstreamError)
    assert (refusal.status, refusal.code) == (400, "empty_messages")
    assert upstream.requests == []


async def test_claude_fetches_the_image_behind_a_link_itself(
    build: Built, upstream: ScriptedUpstream
) -> None:
    link = "https://images.example/cat.png"
    content = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": link}}]

    await build("anthropic", CLAUDE).chat(call(CLAUDE, [{"role": "user", "content": content}]))

    sources = [part.get("source") for part in upstream.last.json["messages"][0]["content"]]
    assert {"type": "url", "url": link} in sources


# Whether the usage of a stream may be asked for


@pytest.mark.parametrize("wants_usage", [False, True])
async def test_an_upstream_that_refuses_to_tell_the_usage_answers_all_the_same(
    build: Built, upstream: ScriptedUpstream, wants_usage: bool
) -> None:
    upstream.mode = {"status": 422, "only_with": "stream_options"}
    provider = build("openai_compatible")

    for asked_so_far in (2, 3):  # once with the question and once without it; and then only without
        options = {"stream_options": {"include_usage": True}} if wants_usage else {}
        items = await items_of(provider, call(wants_usage=wants_usage, **options))
        assert isinstance(items[-1], StreamEnd)
        assert text_in(items)
        assert len(upstream.asked) == asked_so_far

    assert "stream_options" not in upstream.last.json


async def test_a_refusal_for_another_reason_is_the_first_one(
    build: Built, upstream: ScriptedUpstream
) -> None:
    upstream.mode = {"refuse": "prefill"}
    provider = build("openai_compatible")

    refused = [(await items_of(provider, call()))[-1] for _ in range(5)]

    assert all(isinstance(item, UpstreamError) and item.status == 400 for item in refused)
    assert len(upstream.asked) == 5 + 3  # three of them were tried without the question, in vain


async def test_an_upstream_that_has_told_the_usage_gets_no_second_try(
    build: Built, upstream: ScriptedUpstream
) -> None:
    provider = build("openai_compatible")
    await items_of(provider, call())
    upstream.mode = {"status": 422}

    items = await items_of(provider, call())

    assert isinstance(items[-1], UpstreamError)
    assert items[-1].failure is FailureKind.REJECTED
    assert len(upstream.asked) == 2


async def test_an_operator_may_say_that_the_usage_is_not_to_be_asked_for(
    build: Built, upstream: ScriptedUpstream
) -> None:
    await items_of(build("openai_compatible", parameters={"include_usage": False}), call())

    assert "stream_options" not in upstream.last.json
    assert len(upstream.asked) == 1


# Where a call goes


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/messages"])
async def test_an_address_of_anthropics_may_have_its_version(
    build: Built, upstream: ScriptedUpstream, path: str
) -> None:
    provider = build("anthropic", CLAUDE, path)

    assert isinstance(await provider.chat(call(CLAUDE)), Answer)
    await provider.health()

    assert [seen.path for seen in upstream.requests] == ["/v1/messages", "/v1/models"]


@pytest.mark.parametrize("path", ["", "/v1beta", "/v1beta/", "/v1beta/openai"])
async def test_an_address_of_geminis_may_have_its_version(
    build: Built, upstream: ScriptedUpstream, path: str
) -> None:
    provider = build("gemini", "gemini-2.0-flash", path)

    await provider.chat(call("gemini-2.0-flash"))
    await provider.health()

    assert [seen.path for seen in upstream.requests] == [
        "/v1beta/models/gemini-2.0-flash:generateContent",
        "/v1beta/openai/models",
    ]


@pytest.mark.parametrize(
    ("type_", "model_id", "variables"),
    [
        ("gemini", "gemini-2.0-flash", ("GEMINI_API_BASE",)),
    ],
)
async def test_no_variable_of_a_library_redirects_a_call_or_its_key(
    build: Built,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    type_: str,
    model_id: str,
    variables: tuple[str, ...],
) -> None:
    for name in variables:
        monkeypatch.setenv(name, upstream.url)
    nowhere = "http://127.0.0.1:9"
    configured = build(type_, model_id, base_url=nowhere)
    of_the_vendor = build(type_, model_id, base_url=None)

    failure = await configured.chat(call(model_id))

    assert isinstance(failure, UpstreamError)
    arguments = of_the_vendor._requests.arguments({"model": model_id})  # type: ignore[attr-defined]
    assert arguments["api_base"].startswith("https://generativelanguage.")
    assert upstream.requests == []


async def test_a_key_in_the_environment_is_not_shown_to_another_address(
    build: Built, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-vendor")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "of-the-vendor")
    environ = {"ANTHROPIC_API_KEY": "sk-of-the-vendor"}
    provider = build("anthropic", CLAUDE, environ=environ, api_key=None)

    await provider.chat(call(CLAUDE))
    await provider.health()

    for seen in upstream.requests:
        assert "of-the-vendor" not in str(seen.headers)


@pytest.mark.parametrize(
    ("type_", "model_id", "variable"),
    [
        ("cohere_chat", "command-r", "COHERE_API_BASE"),
        ("litellm", "perplexity/sonar", "PERPLEXITY_API_BASE"),
        ("bedrock", "anthropic.claude-3-haiku-20240307-v1:0", "AWS_BEDROCK_RUNTIME_ENDPOINT"),
    ],
)
async def test_a_vendor_without_an_address_is_not_where_a_variable_says(
    build: Built, monkeypatch: pytest.MonkeyPatch, type_: str, model_id: str, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")

    with pytest.raises(ConfigError, match=variable):
        build(type_, model_id, base_url=None)


# The table and the translator

MODELS = [
    *(("anthropic", model) for model in (
        CLAUDE, "claude-3-5-haiku-20241022", "claude-3-7-sonnet-20250219", "claude-sonnet-4-20250514",
        "claude-opus-4-1-20250805", "claude-sonnet-4-5-20250929", "claude-opus-4-6", "claude-opus-4-7",
    )),
    *(("gemini", model) for model in ("gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-pro-preview")),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "model_id"), MODELS)
def test_the_table_knows_what_litellm_leaves_out(type_: str, model_id: str) -> None:
    import litellm
    from litellm.constants import DEFAULT_CHAT_COMPLETION_PARAM_VALUES

    theirs = {
        "additional_drop_params", "allowed_openai_params", "api_version", "custom_llm_provider",
        "drop_params", "extra_headers", "include_server_side_tool_invocations", "max_retries", "messages",
        "model", "stream", "stream_options", "context_management", "thinking",
    }  # fmt: skip
    taken = litellm.get_supported_openai_params(model_id, type_) or []
    left_out = DEFAULT_CHAT_COMPLETION_PARAM_VALUES.keys() - theirs - set(taken)

    missing = left_out - dialect_of(type_, model_id).drops

    assert not missing - {"reasoning_effort"}


@pytest.mark.parametrize(("type_", "model_id"), [pair for pair in MODELS if pair[0] == "anthropic"])
def test_the_table_knows_which_models_take_sampling_parameters(type_: str, model_id: str) -> None:
    from litellm.llms.anthropic.common_utils import AnthropicModelInfo

    takes = AnthropicModelInfo._supports_sampling_params(model_id)

    assert (dialect_of(type_, model_id).lost({"temperature": 0.5}) == ()) is takes
