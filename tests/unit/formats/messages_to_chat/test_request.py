"""A Messages request as an upstream with chat completions gets it."""

from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.messages_to_chat.translation import MessagesToChat

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT = {**SCHEMA, "additionalProperties": False}
TOOL = {"name": "f", "description": "d", "input_schema": SCHEMA}
FUNCTION = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
CACHED = {"cache_control": {"type": "ephemeral"}}
PNG = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}


def translated(**members: Any) -> dict[str, Any]:
    """Return the chat request for a Messages request with these members."""
    chat: dict[str, Any] = loads(MessagesToChat(body(**members)).body)
    return chat


def body(**members: Any) -> bytes:
    plain = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return dumps({**plain, **members})


def messages(*turns: Any, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = translated(messages=list(turns), **members)["messages"]
    return found


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str, **members: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **members}


def call(call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": arguments}


def result(call_id: str, content: Any, **members: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **members}


@pytest.mark.parametrize(
    ("members", "chat"),
    [
        ({"stream": True}, {"stream": True}),
        ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"speed": "fast"}, {"service_tier": "priority"}),
        ({"speed": "standard"}, {}),
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 16000}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, {"reasoning_effort": "xhigh"}),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            {"reasoning_effort": "low"},
        ),
        (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
            {"reasoning_effort": "none"},
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}},
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": STRICT}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": STRICT, "strict": True},
                }
            },
        ),
        ({"tools": [TOOL]}, {"tools": [FUNCTION]}),
        ({"tools": [{**TOOL, "type": "custom"}]}, {"tools": [FUNCTION]}),
        (
            {"tools": [{**TOOL, "strict": True}]},
            {"tools": [{**FUNCTION, "function": {**FUNCTION["function"], "strict": True}}]},  # type: ignore[dict-item]
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "auto"}}, {"tools": [FUNCTION], "tool_choice": "auto"}),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, {"tools": [FUNCTION], "tool_choice": "required"}),
        ({"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tools": [FUNCTION], "tool_choice": "none"}),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            {"tools": [FUNCTION], "tool_choice": "auto", "parallel_tool_calls": False},
        ),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {}),
        ({"max_cost": 1, "models": ["a"], "provider": {}}, {"max_cost": 1, "models": ["a"], "provider": {}}),
    ],
)
def test_a_parameter_is_carried_in_the_words_of_a_chat(members: dict[str, Any], chat: dict[str, Any]) -> None:
    plain = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}

    assert translated(**members) == {**plain, **chat}
    assert MessagesToChat(body(**members)).dropped == ()


@pytest.mark.parametrize(
    ("members", "dropped"),
    [
        ({"top_k": 4, "context_management": {"edits": []}}, ("context_management", "top_k")),
        ({"mcp_servers": [], "container": None, "inference_geo": "eu"}, ("inference_geo", "mcp_servers")),
        ({"thinking": {"type": "adaptive"}}, ("thinking",)),
        ({"thinking": {"type": "between_tools"}}, ("thinking",)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, ("thinking", "thinking.display")),
        ({"output_config": {"verbosity": "low"}}, ("output_config.verbosity",)),
        ({"cache_control": {"type": "ephemeral"}}, ("cache_control",)),
        ({"system": [text("s", **CACHED)]}, ("system.cache_control",)),
        ({"messages": [user(text("hi", **CACHED))]}, ("messages.cache_control",)),
        ({"messages": [user(text("hi", citations=[{}]))]}, ("messages.citations",)),
        (
            {"tools": [{**TOOL, **CACHED, "defer_loading": True}]},
            ("tools.cache_control", "tools.defer_loading"),
        ),
        ({"tools": [{**TOOL, "input_examples": [{}]}]}, ("tools.input_examples",)),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, ("tools.web_search_20250305",)),
        ({"metadata": {"user_id": "u", "team": "t"}}, ("metadata.team",)),
        ({"service_tier": "flex"}, ("service_tier",)),
        (
            {"messages": [user(text("a")), assistant(text("b"), {"type": "server_tool_use", "name": "w"})]},
            ("messages.server_tool_use",),
        ),
    ],
)
def test_what_is_lost_is_told_by_the_callers_name(members: dict[str, Any], dropped: tuple[str, ...]) -> None:
    assert MessagesToChat(body(**members)).dropped == dropped


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop_sequences": ["a", "b", "c", "d", "e"]}, "stop_sequences"),
        ({"stop_sequences": "a"}, "stop_sequences"),
        ({"messages": [user({"type": "hologram"})]}, "messages[0].content[0]"),
        ({"messages": [user({"type": "container_upload", "file_id": "x"})]}, "messages[0].content[0]"),
        (
            {"messages": [user({"type": "image", "source": {"type": "file", "file_id": "x"}})]},
            "messages[0].content[0].source.file_id",
        ),
        (
            {"messages": [user({"type": "document", "source": {"type": "url", "url": "http://x"}})]},
            "messages[0].content[0].source.url",
        ),
        ({"messages": [user({"type": "image"})]}, "messages[0].content[0].source"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"tools": [{"type": "computer_20260801", "name": "computer"}]}, "tools[0]"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": 5}]}, "tools[0].input_schema"),
        (
            {
                "tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}],
                "tool_choice": {"type": "tool", "name": "web_search"},
            },
            "tool_choice",
        ),
        (
            {"tools": [{"type": "web_fetch_20250910", "name": "f"}], "tool_choice": {"type": "any"}},
            "tool_choice",
        ),
        ({"tool_choice": {"type": "perhaps"}}, "tool_choice.type"),
        ({"output_config": {"format": {"type": "yaml"}}}, "output_config.format.type"),
        ({"output_config": 5}, "output_config"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_what_must_not_be_left_out_is_refused_by_its_path(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        MessagesToChat(body(**members))

    assert refused.value.param == param
    assert refused.value.status == 400


def test_instructions_become_one_message_without_the_billing_header_of_a_client() -> None:
    system = [text("x-anthropic-billing-header: cc_version=2;"), text("Be brief."), text("Be kind.")]

    assert messages(user(text("hi")), system=system)[0] == {
        "role": "system",
        "content": "Be brief.\n\nBe kind.",
    }
    assert messages(user(text("hi")), system="x-anthropic-billing-header: a") == [
        {"role": "user", "content": "hi"}
    ]


def test_instructions_between_the_turns_stay_in_place_and_set_the_effort() -> None:
    chat = translated(
        messages=[
            user(text("a")),
            {"role": "system", "content": "Be brief.", "output_config": {"effort": "high"}},
            assistant(text("b")),
            user(text("c")),
            {"role": "system", "content": [], "output_config": {"effort": "low"}},
        ],
        output_config={"effort": "max"},
    )

    assert [message["role"] for message in chat["messages"]] == ["user", "system", "assistant", "user"]
    assert chat["reasoning_effort"] == "low"


def test_pictures_and_documents_become_parts() -> None:
    blocks = [
        text("Look"),
        {"type": "image", "source": PNG},
        {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}},
        {"type": "document", "source": PDF, "title": "a.pdf"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "title": "T", "source": {"type": "content", "content": [text("inner")]}},
        {"type": "search_result", "source": "http://s", "title": "S", "content": [text("found")]},
    ]

    assert messages(user(*blocks)) == [
        {
            "role": "user",
            "content": [
                text("Look"),
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
                },
                text("words"),
                text("T"),
                text("inner"),
                text("S\nhttp://s\nfound"),
            ],
        }
    ]


def test_results_follow_the_calls_in_their_order_before_what_the_user_says() -> None:
    found = messages(
        assistant(text("Checking."), call("toolu_a", c="A"), call("toolu_b")),
        user(text("thanks"), result("toolu_b", [text("1"), text("2")]), result("toolu_a", "sunny")),
    )

    assert found[0]["content"] == "Checking."
    assert [c["function"]["arguments"] for c in found[0]["tool_calls"]] == ['{"c":"A"}', "{}"]
    assert found[1:] == [
        {"role": "tool", "tool_call_id": "toolu_a", "content": "sunny"},
        {"role": "tool", "tool_call_id": "toolu_b", "content": "1\n2"},
        {"role": "user", "content": "thanks"},
    ]


def test_a_late_result_moves_up_a_missing_one_is_filled_in_and_one_without_a_call_is_told_as_text() -> None:
    found = messages(
        assistant(call("a"), call("b")),
        user(text("wait")),
        user(result("a", "first"), result("a", "last"), result("zz", "stray")),
    )

    assert found[1:] == [
        {"role": "tool", "tool_call_id": "a", "content": "last"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no result was recorded for this call."},
        {"role": "user", "content": "wait"},
        {"role": "user", "content": "Result of an earlier call of a tool: stray"},
    ]


def test_a_picture_in_a_result_opens_the_users_next_message() -> None:
    found = messages(
        assistant(call("a")),
        user(result("a", [text("see"), {"type": "image", "source": PNG}])),
        user(text("and now?")),
    )

    assert found[1]["content"] == "see\n(The files of this result are in the next message.)"
    assert [part["type"] for part in found[2]["content"]] == ["text", "image_url", "text"]
    assert len(found) == 3


@pytest.mark.parametrize(
    ("block", "content"),
    [
        (result("a", "boom", is_error=True), "Error: boom"),
        (result("a", "Error: boom", is_error=True), "Error: boom"),
        (result("a", None, is_error=True), "Error"),
        (result("a", None), ""),
        (result("a", []), ""),
        (result("a", [{"type": "tool_reference", "tool_name": "g"}]), "Tool: g"),
        (result("a", [{"type": "browser_state", "url": "x"}]), '{"type":"browser_state","url":"x"}'),
    ],
)
def test_a_result_is_text(block: dict[str, Any], content: str) -> None:
    assert messages(assistant(call("a")), user(block))[1]["content"] == content


def test_thoughts_keep_their_signatures_beside_the_text() -> None:
    signed = {"type": "thinking", "thinking": "Two cities.", "signature": "c2ln"}
    redacted = {"type": "redacted_thinking", "data": "x"}
    unsigned = {"type": "thinking", "thinking": " Hm.", "signature": ""}

    assert messages(assistant(signed, redacted, unsigned, text("Hi"))) == [
        {
            "role": "assistant",
            "content": "Hi",
            "reasoning_content": "Two cities. Hm.",
            "thinking_blocks": [signed, redacted],
        }
    ]


def test_ids_and_names_that_a_chat_does_not_take_are_replaced_everywhere_and_names_restored() -> None:
    long = "mcp__" + "n" * 90
    translation = MessagesToChat(
        body(
            tools=[{"name": long, "input_schema": SCHEMA}],
            tool_choice={"type": "tool", "name": long},
            messages=[
                assistant({"type": "tool_use", "id": "functions.f:0", "name": long, "input": {}}),
                user(result("functions.f:0", "x")),
            ],
        )
    )
    chat = orjson.loads(translation.body)
    sent = chat["messages"][0]["tool_calls"][0]
    answer = {"choices": [{"message": {"tool_calls": [sent]}, "finish_reason": "tool_calls"}]}

    assert len(sent["function"]["name"]) <= 64
    assert sent["function"]["name"] == chat["tools"][0]["function"]["name"]
    assert sent["function"]["name"] == chat["tool_choice"]["function"]["name"]
    assert chat["messages"][1]["tool_call_id"] == sent["id"] != "functions.f:0"
    assert orjson.loads(translation.answer(orjson.dumps(answer)))["content"][0]["name"] == long


def test_a_repeated_id_of_a_call_is_made_unique_and_answered_by_its_own_result() -> None:
    found = messages(
        assistant(call("a")), user(result("a", "1")), assistant(call("a")), user(result("a", "2"))
    )

    ids = [found[0]["tool_calls"][0]["id"], found[2]["tool_calls"][0]["id"]]
    assert len(set(ids)) == 2
    assert [(m["tool_call_id"], m["content"]) for m in (found[1], found[3])] == [(ids[0], "1"), (ids[1], "2")]


def test_numbers_in_arguments_keep_every_digit() -> None:
    found = messages(assistant(call("a", x=12345678901234567890123)))

    assert found[0]["tool_calls"][0]["function"]["arguments"] == '{"x":12345678901234567890123}'


@pytest.mark.parametrize("kind", ["bash_20250124", "text_editor_20250728", "memory_20250818"])
def test_a_tool_that_the_caller_runs_gets_a_schema(kind: str) -> None:
    function = translated(tools=[{"type": kind, "name": "t"}])["tools"][0]["function"]

    assert function["parameters"]["properties"]["command"]["type"] == "string"


def test_the_user_is_named_by_a_hash_that_fits() -> None:
    chat = translated(metadata={"user_id": '{"account_uuid": "x"}' * 20})

    assert len(chat["user"]) == 64
