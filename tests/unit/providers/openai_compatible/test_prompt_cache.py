"""Marks for Claude's cache in chats, for a vendor that passes them on."""

from typing import Any

import orjson
import pytest

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.providers.base import Answer, Call
from serve_app.providers.catalogue.rows import vendor
from serve_app.providers.http.provider import HttpProvider
from serve_app.providers.openai_compatible.prompt_cache import mark_chat
from tests.support.upstream import ScriptedUpstream

LONG = "word " * 1000
MARK = {"type": "ephemeral"}


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def text(words: str = LONG, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def marked(*messages: dict[str, Any], least: int = 1024, **more: Any) -> list[dict[str, Any]]:
    fields = {"messages": list(messages), **more}
    mark_chat(fields, least)
    return fields["messages"]


def test_instructions_and_the_last_two_turns_of_users_are_marked_on_a_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://a.example/1.png"}}

    found = marked(
        said("system", LONG), said("user", "a"), said("assistant", "b"), said("user", "c"),
        said("assistant", "d"), said("tool", LONG), said("user", [text("e"), picture]),
    )  # fmt: skip

    assert found == [
        said("system", [text(cache_control=MARK)]), said("user", "a"), said("assistant", "b"),
        said("user", [text("c", cache_control=MARK)]), said("assistant", "d"), said("tool", LONG),
        said("user", [text("e", cache_control=MARK), picture]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "more"),
    [
        ([said("system", "short"), said("user", "hi")], {}),
        ([said("system", LONG), said("user", "hi")], {"least": 4096}),
        ([said("system", LONG), said("user", [text("hi", cache_control=MARK)])], {}),
        ([said("system", LONG) | {"cache_control": MARK}, said("user", "hi")], {}),
        ([said("system", LONG), said("user", "hi")], {"cache_control": MARK}),
        ([said("user", " "), said("assistant", LONG), said("user", [])], {}),
    ],
    ids=["short", "short for the model", "a part", "a message", "the request", "nothing to mark"],
)
def test_what_is_too_short_marked_already_or_no_text_is_left_alone(
    messages: Any, more: dict[str, Any]
) -> None:
    before = orjson.dumps(messages)

    assert orjson.dumps(marked(*orjson.loads(before), **more)) == before


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("model", "choice", "marks"),
    [
        ("anthropic/claude-sonnet-4.6", "auto", 2),
        ("anthropic/claude-sonnet-4.6", "off", 0),
        ("openai/gpt-5.4", "auto", 0),
    ],
)
async def test_openrouter_gets_marks_for_claude_alone(model: str, choice: str, marks: int) -> None:
    async with ScriptedUpstream() as upstream:
        config = ProviderConfig(
            id="p", type="openrouter", base_url=upstream.url, prompt_cache=choice,
            models=[{"model_id": model, "task": "chat_smart"}],
        )  # fmt: skip
        provider = HttpProvider(config, vendor("openrouter"), "k", SystemClock())
        body = orjson.dumps({"messages": [said("system", LONG), said("user", "hi")]})

        answer = await provider.chat(Call(model, body, 5.0))
        await provider.aclose()

    assert isinstance(answer, Answer)
    assert config.caches_prompts(model) is bool(marks)
    assert orjson.dumps(upstream.last.json).count(b'"cache_control"') == marks
