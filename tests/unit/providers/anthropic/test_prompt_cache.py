"""Where the gateway marks a prompt for the vendor's cache, and where it leaves the caller's word alone."""

from typing import Any

import orjson
import pytest

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.formats.anthropic_messages.blocks import blocks_in
from serve_app.formats.anthropic_messages.request import read_messages
from serve_app.providers.anthropic.prompt_cache import least_tokens, mark_prompt
from serve_app.providers.base import Answer, Call, Provider
from serve_app.providers.catalogue.rows import vendor
from serve_app.providers.catalogue.wire_format import WireFormat
from serve_app.providers.http.provider import HttpProvider
from serve_app.providers.translating import speaking
from tests.support.upstream import ScriptedUpstream

LONG = "word " * 1000  # 1250 tokens by the estimate
MARK = {"type": "ephemeral"}
TOOL = {"name": "f", "description": LONG, "input_schema": {"type": "object"}}
SHORT_TOOL = {"name": "g", "input_schema": {"type": "object"}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text(words: str = LONG, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def said(words: str = "ok") -> dict[str, Any]:
    return {"role": "assistant", "content": words}


def marked(least: int = 1024, **fields: Any) -> dict[str, Any]:
    fields = {"messages": [user("hi")], **fields}
    mark_prompt(fields, least)
    return fields


def marks_in(fields: dict[str, Any]) -> int:
    contents = [fields.get("system"), *(message["content"] for message in fields["messages"])]
    parts = [*fields.get("tools", ()), *blocks_in(contents)]
    return sum("cache_control" in part for part in parts)


def test_tools_instructions_and_the_last_two_turns_of_users_are_marked() -> None:
    turns = [user(LONG), said(), user("second"), said(), user([text("third"), text("last")])]

    found = marked(tools=[TOOL, SHORT_TOOL], system=LONG, messages=turns)

    assert found["tools"] == [TOOL, {**SHORT_TOOL, "cache_control": MARK}]
    assert found["system"] == [text(cache_control=MARK)]
    assert found["messages"] == [
        user(LONG),
        said(),
        user([text("second", cache_control=MARK)]),
        said(),
        user([text("third"), text("last", cache_control=MARK)]),
    ]
    assert marks_in(found) == 4


def test_what_is_too_short_for_the_vendor_is_not_marked() -> None:
    assert marks_in(marked(tools=[SHORT_TOOL], system="be kind")) == 0
    assert marks_in(marked(system=LONG, least=4096)) == 0
    assert marks_in(marked(messages=[user("hi"), said(), user(LONG)])) == 1
    assert marks_in(marked(tools=[SHORT_TOOL], system=LONG)) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"cache_control": MARK},
        {"tools": [TOOL, {**SHORT_TOOL, "cache_control": MARK}]},
        {"system": [text(), text("b", cache_control={"type": "ephemeral", "ttl": "1h"})]},
        {"messages": [user([text(cache_control=MARK)]), said(), user(LONG)]},
        {
            "messages": [
                user([{"type": "tool_result", "tool_use_id": "t", "content": [text(cache_control=MARK)]}])
            ]
        },
    ],
    ids=["top", "tool", "instructions", "message", "within a result"],
)
def test_a_caller_who_has_marked_anything_is_left_alone(fields: dict[str, Any]) -> None:
    before = orjson.dumps({"system": LONG, "messages": [user(LONG)], **fields})
    found = orjson.loads(before)

    mark_prompt(found, 1024)

    assert orjson.dumps(found) == before


def test_a_tool_that_is_loaded_later_and_an_empty_text_are_passed_over() -> None:
    later = {**SHORT_TOOL, "defer_loading": True}
    result = {"type": "tool_result", "tool_use_id": "t", "content": LONG}

    found = marked(tools=[TOOL, later], messages=[user([result, text(" ")]), said("begin")])

    assert found["tools"] == [{**TOOL, "cache_control": MARK}, later]
    assert found["messages"] == [user([{**result, "cache_control": MARK}, text(" ")]), said("begin")]
    assert marks_in(marked(tools=[{**TOOL, "defer_loading": True}])) == 1  # the turn alone


@pytest.mark.parametrize("content", ["", " ", [], [{"type": "unheard_of", "data": LONG}]], ids=str)
def test_a_turn_without_anything_to_mark_is_passed_over(content: Any) -> None:
    assert marks_in(marked(messages=[user(LONG), said(), user(content)])) == 1


@pytest.mark.parametrize(
    ("model_id", "least"),
    [
        ("claude-opus-5", 512),
        ("claude-opus-4-8", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-opus-4-6", 4096),
        ("claude-opus-4-5-20251101", 4096),
        ("claude-opus-4-1", 1024),
        ("claude-sonnet-5", 1024),
        ("claude-sonnet-4-6", 1024),
        ("claude-haiku-4-5", 4096),
        ("claude-3-5-haiku-20241022", 2048),
        ("claude-3-haiku-20240307", 2048),
        ("claude-new", 1024),
        ("anthropic/claude-opus-4.5", 4096),
    ],
)
def test_the_least_length_is_the_models(model_id: str, least: int) -> None:
    assert least_tokens(model_id) == least


@pytest.mark.parametrize(
    ("provider", "model", "caches"),
    [
        ("off", None, False),
        ("auto", None, True),
        ("auto", "off", False),
        ("off", "auto", True),
        (False, None, False),
    ],
)
def test_a_model_may_choose_for_itself(provider: Any, model: Any, caches: bool) -> None:
    models = [{"model_id": "m", "task": "chat_smart", **({} if model is None else {"prompt_cache": model})}]

    config = ProviderConfig(id="p", type="anthropic", prompt_cache=provider, models=models)

    assert config.caches_prompts("m") is caches


@pytest.mark.parametrize("type_", ["vllm", "openai", "ollama", "litellm"])
def test_where_no_marks_are_taken_it_cannot_be_chosen(type_: str) -> None:
    with pytest.raises(ValueError, match="takes no marks from the gateway"):
        ProviderConfig(id="p", type=type_, base_url="http://h", prompt_cache="auto")


def asked_with(wire: WireFormat, provider: Provider) -> Provider:
    found = speaking(wire, provider, "p", {WireFormat.ANTHROPIC_MESSAGES}, SystemClock())
    assert found is not None
    return found


BODIES = {
    WireFormat.ANTHROPIC_MESSAGES: {"system": LONG, "messages": [user("hi")], "max_tokens": 5},
    WireFormat.OPENAI_CHAT: {"messages": [{"role": "system", "content": LONG}, user("hi")], "max_tokens": 5},
    WireFormat.OPENAI_RESPONSES: {"instructions": LONG, "input": "hi", "max_output_tokens": 5},
}


@pytest.mark.anyio
@pytest.mark.parametrize("choice", ["auto", "off"])
@pytest.mark.parametrize("wire", list(BODIES))
async def test_callers_of_every_format_get_marks_where_the_operator_says_so(
    wire: WireFormat, choice: str
) -> None:
    async with ScriptedUpstream() as upstream:
        config = ProviderConfig(id="p", type="anthropic", base_url=upstream.url, prompt_cache=choice)
        provider = HttpProvider(config, vendor("anthropic"), "k", SystemClock())
        call = Call("claude-sonnet-4-6", orjson.dumps(BODIES[wire]), 5.0, output_tokens=5, format=wire)

        answer = await asked_with(wire, provider).chat(call)
        await provider.aclose()

    assert isinstance(answer, Answer)
    sent = upstream.last.json
    assert marks_in(sent) == (2 if choice == "auto" else 0)
    assert read_messages(orjson.dumps(sent)).writes_cache is (choice == "auto")
