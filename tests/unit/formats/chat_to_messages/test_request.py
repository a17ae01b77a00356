"""A chat request as an upstream with Anthropic Messages gets it."""

from typing import Any

import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.chat_to_messages.translation import ChatToMessages
from serve_app.formats.exact_json import dumps, loads

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
TOOL = {"name": "f", "description": "d", "input_schema": SCHEMA}
CACHED = {"cache_control": {"type": "ephemeral"}}
MARKED = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: WORD"}}
PNG = "data:image/png;base64,AAAA"
TEXT_INPUT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def body(**members: Any) -> bytes:
    return dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **members})


def translated(**members: Any) -> dict[str, Any]:
    """Return the Messages request for a chat request with these members."""
    asked: dict[str, Any] = loads(ChatToMessages(body(**members)).body)
    return asked


def turns(*messages: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the turns for these messages."""
    return [(turn["role"], turn["content"]) for turn in translated(messages=list(messages))["messages"]]


def said(role: str, content: Any = None, **members: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **members}


def text(words: str, **members: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **members}


def call(call_id: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def use(call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": arguments}


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 7.0, "max_tokens": 5}, {"max_tokens": 7}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5}),
        ({"stop": "a"}, {"stop_sequences": ["a"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"n": 1, "logprobs": False, "store": False, "modalities": ["text"]}, {}),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"safety_identifier": "s"}, {"metadata": {"user_id": "s"}}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"service_tier": "priority"}, {"service_tier": "auto"}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}),
        ({"reasoning_effort": "xhigh"}, {"output_config": {"effort": "xhigh"}}),
        ({"thinking": {"type": "adaptive"}, "top_k": 4}, {"thinking": {"type": "adaptive"}, "top_k": 4}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        (
            {"response_format": {"type": "json_object"}},
            {"system": [text("Answer with one JSON object and with nothing else.")]},
        ),
        ({"tools": [FUNCTION]}, {"tools": [TOOL]}),
        ({"tools": [{**FUNCTION, **CACHED}]}, {"tools": [{**TOOL, **CACHED}]}),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]},
        ),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMA}}
                ]
            },
            {"tools": [{"name": "f", "strict": True, "input_schema": SCHEMA}]},
        ),
        (
            {"tools": [{"type": "custom", "custom": {"name": "c", "description": "d", "format": GRAMMAR}}]},
            {
                "tools": [
                    {
                        "name": "c",
                        "description": "d\nThe input has to follow this grammar (lark):\nstart: WORD",
                        "input_schema": TEXT_INPUT,
                    }
                ]
            },
        ),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        ),
        (
            {"functions": [FUNCTION["function"]], "function_call": {"name": "f"}},
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
        ),
        ({"tools": [FUNCTION], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": {"type": "auto"}}),
        ({"tools": [FUNCTION], "tool_choice": "required"}, {"tools": [TOOL], "tool_choice": {"type": "any"}}),
        ({"tools": [FUNCTION], "tool_choice": "none"}, {"tools": [TOOL], "tool_choice": {"type": "none"}}),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
        ),
        (
            {
                "tools": [FUNCTION, {"type": "function", "function": {"name": "g"}}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [FUNCTION]},
                },
            },
            {"tools": [TOOL], "tool_choice": {"type": "any"}},
        ),
        (
            {"tools": [FUNCTION], "parallel_tool_calls": False},
            {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            {"tools": [FUNCTION], "parallel_tool_calls": False, "tool_choice": "none"},
            {"tools": [TOOL], "tool_choice": {"type": "none"}},
        ),
        ({"parallel_tool_calls": False, "tool_choice": "auto"}, {}),
        ({"max_cost": 1, "provider": {"order": []}}, {"max_cost": 1, "provider": {"order": []}}),
    ],
)
def test_a_parameter_is_carried_in_the_words_of_messages(
    members: dict[str, Any], asked: dict[str, Any]
) -> None:
    plain = {"model": "m", "messages": [{"role": "user", "content": [text("hi")]}]}

    assert translated(**members) == {**plain, **asked}
    assert ChatToMessages(body(**members)).dropped == ()


@pytest.mark.parametrize(
    ("members", "dropped"),
    [
        ({"seed": 1, "logprobs": True, "logit_bias": {"5": 1}}, ("logit_bias", "logprobs", "seed")),
        (
            {"frequency_penalty": 1, "presence_penalty": 1, "prediction": {}, "store": True},
            ("frequency_penalty", "prediction", "presence_penalty", "store"),
        ),
        ({"metadata": {"a": "b"}, "verbosity": "low"}, ("metadata", "verbosity")),
        ({"web_search_options": {}, "prompt_cache_key": "k"}, ("prompt_cache_key", "web_search_options")),
        ({"temperature": 1.5}, ("temperature",)),
        ({"temperature": 0.5, "top_p": 0.5}, ("top_p",)),
        ({"stop": ["\n", "a"]}, ("stop",)),
        ({"service_tier": "flex"}, ("service_tier",)),
        ({"reasoning_effort": "heroic"}, ("reasoning_effort",)),
        ({"tools": [FUNCTION, {"type": "web_search"}]}, ("tools.web_search",)),
        ({"messages": [said("user", "a", name="ann")]}, ("messages.name",)),
        ({"messages": [said("assistant", "a", audio={"id": "x"})]}, ("messages.audio",)),
        ({"messages": [said("assistant", "a", reasoning_content="hm")]}, ("messages.reasoning_content",)),
        (
            {"messages": [said("assistant", "a", thinking_blocks=[{"type": "thinking", "thinking": "hm"}])]},
            ("messages.thinking_blocks",),
        ),
        (
            {"messages": [said("user", [{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}])]},
            ("messages.detail",),
        ),
        (
            {"messages": [said("user", [text(str(n), **CACHED) for n in range(5)])]},
            ("messages.cache_control",),
        ),
    ],
)
def test_what_is_lost_is_told_by_the_callers_name(members: dict[str, Any], dropped: tuple[str, ...]) -> None:
    assert ChatToMessages(body(**members)).dropped == dropped


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        (
            {"messages": [said("user", [{"type": "input_audio", "input_audio": {"data": "A"}}])]},
            "messages[0].content[0]",
        ),
        ({"messages": [said("user", [{"type": "video_url", "video_url": "x"}])]}, "messages[0].content[0]"),
        (
            {"messages": [said("user", [{"type": "file", "file": {"file_id": "x"}}])]},
            "messages[0].content[0].file.file_id",
        ),
        (
            {"messages": [said("user", [{"type": "image", "source": {"type": "file", "file_id": "x"}}])]},
            "messages[0].content[0].source.file_id",
        ),
        (
            {
                "messages": [
                    said(
                        "user",
                        [
                            {
                                "type": "document",
                                "source": {
                                    "type": "content",
                                    "content": [
                                        {"type": "image", "source": {"type": "file", "file_id": "x"}},
                                    ],
                                },
                            }
                        ],
                    )
                ]
            },
            "messages[0].content[0].source.content[0].source.file_id",
        ),
        (
            {
                "messages": [
                    said("user", [{"type": "image_url", "image_url": {"url": "data:image/bmp;base64,A"}}])
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [said("user", [{"type": "image_url", "image_url": {"url": "ftp://x"}}])]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [said("system", [{"type": "image_url", "image_url": {"url": PNG}}])]},
            "messages[0].content[0].type",
        ),
        ({"messages": [said("robot", "x")]}, "messages[0].role"),
        (
            {"messages": [said("assistant", tool_calls=[{"type": "custom", "custom": {}}])]},
            "messages[0].tool_calls[0].custom.name",
        ),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": "perhaps"}, "tool_choice"),
        ({"safety_identifier": 5}, "safety_identifier"),
    ],
)
def test_what_must_not_be_left_out_is_refused_by_its_path(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ChatToMessages(body(**members))

    assert refused.value.param == param
    assert refused.value.status == 400


def test_a_tool_with_an_odd_name_is_none_of_those_that_are_allowed() -> None:
    odd = {"name": {}, "input_schema": SCHEMA}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}}

    assert translated(tools=[FUNCTION, odd], tool_choice=choice)["tools"] == [TOOL]


def test_instructions_at_the_start_stand_apart_with_their_marks() -> None:
    asked = translated(
        messages=[
            said("system", "a"),
            said("developer", [text("b", **CACHED), text(" ")]),
            said("user", "hi"),
        ]
    )

    assert asked["system"] == [text("a"), text("b", **CACHED)]
    assert asked["messages"] == [{"role": "user", "content": [text("hi")]}]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [said("user", "a"), said("system", "s"), said("assistant", "b")],
            [("user", [text("a")]), ("system", [text("s")]), ("assistant", [text("b")])],
        ),
        ([said("user", "a"), said("system", "s")], [("user", [text("a")]), ("system", [text("s")])]),
        (
            [said("user", "a"), said("system", "s"), said("developer", "t")],
            [("user", [text("a")]), ("system", [text("s"), text("t")])],
        ),
        (
            [said("user", "a"), said("system", "s"), said("user", "b")],
            [("user", [text("a"), text("s"), text("b")])],
        ),
        (
            [said("user", "a"), said("assistant", "b"), said("system", "s"), said("user", "c")],
            [("user", [text("a")]), ("assistant", [text("b")]), ("user", [text("s"), text("c")])],
        ),
    ],
)
def test_later_instructions_are_a_turn_where_one_may_stand_and_text_elsewhere(
    messages: list[Any], expected: list[Any]
) -> None:
    assert turns(*messages) == expected


def test_neighbours_of_one_role_become_one_turn_and_empty_messages_none() -> None:
    assert turns(said("user", "a"), said("user", ""), said("user", [text("b")]), said("assistant", " ")) == [
        ("user", [text("a"), text("b")])
    ]
    assert turns(said("system", "s")) == [("user", [text(".")])]


def test_pictures_and_files_become_blocks() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
    words = {"type": "text", "media_type": "text/plain", "data": "words"}
    png = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    jpeg = {"type": "base64", "media_type": "image/jpeg", "data": "AA"}

    def file(data: str, **members: str) -> dict[str, Any]:
        return {"type": "file", "file": {"file_data": data, **members}}

    parts = [
        text("Look", **CACHED),
        {"type": "image_url", "image_url": {"url": PNG}, "prompt_cache_breakpoint": {"ttl": "30m"}},
        {"type": "image_url", "image_url": "data:image/jpg;charset=x;base64,AA"},
        {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
        file("data:application/pdf;base64,AAAA", filename="a.pdf"),
        file("data:text/markdown;base64,d29yZHM="),
        file(PNG),
        {"type": "document", "source": pdf},
    ]

    assert turns(said("user", parts)) == [
        (
            "user",
            [
                text("Look", **CACHED),
                {"type": "image", "source": png, **MARKED},
                {"type": "image", "source": jpeg},
                {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}},
                {"type": "document", "source": pdf, "title": "a.pdf"},
                {"type": "document", "source": words},
                {"type": "image", "source": png},
                {"type": "document", "source": pdf},
            ],
        )
    ]


def test_the_results_of_a_turn_open_the_users_next_one_in_the_order_of_the_calls() -> None:
    assert turns(
        said("assistant", "Checking.", tool_calls=[call("a", '{"c":"A"}'), call("b", "")]),
        result("b", [text("1"), {"type": "image_url", "image_url": {"url": "http://x"}}]),
        {**result("a", "sunny"), **CACHED},
        said("user", "thanks"),
    ) == [
        ("assistant", [text("Checking."), use("a", c="A"), use("b")]),
        (
            "user",
            [
                {"type": "tool_result", "tool_use_id": "a", "content": [text("sunny")], **CACHED},
                {
                    "type": "tool_result",
                    "tool_use_id": "b",
                    "content": [text("1"), {"type": "image", "source": {"type": "url", "url": "http://x"}}],
                },
                text("thanks"),
            ],
        ),
    ]


def test_a_late_result_moves_up_a_missing_one_is_filled_in_and_one_without_a_call_is_told_as_text() -> None:
    found = turns(
        said("assistant", tool_calls=[call("a"), call("b")]),
        said("user", "wait"),
        result("a", "first"),
        result("a", ""),
        result("zz", "stray"),
    )

    assert found[1][1] == [
        {"type": "tool_result", "tool_use_id": "a"},
        {
            "type": "tool_result",
            "tool_use_id": "b",
            "content": "Error: no result was recorded for this call.",
            "is_error": True,
        },
        text("wait"),
        text("Result of an earlier call of a tool:"),
        text("stray"),
    ]


def test_calls_of_the_older_kind_and_of_tools_that_take_text_become_uses() -> None:
    found = turns(
        said("assistant", function_call={"name": "f", "arguments": "{}"}),
        {"role": "function", "name": "f", "content": "1"},
        said(
            "assistant", tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "f", "input": "raw"}}]
        ),
        result("c", "2"),
    )

    assert found[0][1][0]["input"] == {}
    assert found[1][1][0]["tool_use_id"] == found[0][1][0]["id"]
    assert found[2][1] == [use("c", input="raw")]


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        ("", {}),
        ("null", {}),
        ('{"b":1,"a":12345678901234567890123}', {"b": 1, "a": 12345678901234567890123}),
    ],
)
def test_arguments_become_an_object(arguments: str, taken: dict[str, Any]) -> None:
    assert turns(said("assistant", tool_calls=[call("a", arguments)]))[0][1] == [use("a", **taken)]


@pytest.mark.parametrize("arguments", ["[1]", '{"a', "[" * 300 + "]" * 300])
def test_arguments_that_are_no_whole_object_are_refused(arguments: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        turns(said("assistant", tool_calls=[call("a", arguments)]))

    assert caught.value.code == "invalid_tool_arguments"
    assert caught.value.param == "messages[0].tool_calls[0].function.arguments"


def test_signed_thoughts_come_first_and_others_not_at_all() -> None:
    signed = {"type": "thinking", "thinking": "hm", "signature": "s"}
    redacted = {"type": "redacted_thinking", "data": "x"}
    unsigned = {"type": "thinking", "thinking": "hm", "signature": ""}
    message = said(
        "assistant",
        "Hi",
        thinking_blocks=[signed, redacted, unsigned],
        reasoning_content="hm",
        tool_calls=[call("a")],
    )

    assert turns(message)[0] == ("assistant", [signed, redacted, text("Hi"), use("a")])
    assert turns(said("assistant", [text("Hi"), signed])) == [("assistant", [signed, text("Hi")])]


def test_a_mark_on_a_message_is_put_on_its_last_block() -> None:
    assert turns(said("user", [text("a"), text("b")], **CACHED)) == [
        ("user", [text("a"), text("b", **CACHED)])
    ]


def test_a_refusal_is_text() -> None:
    assert turns(said("assistant", [{"type": "refusal", "refusal": "No."}], refusal="Never.")) == [
        ("assistant", [text("No."), text("Never.")])
    ]


def test_ids_that_messages_do_not_take_are_replaced_with_their_results() -> None:
    found = turns(said("assistant", tool_calls=[call("functions.f:0")]), result("functions.f:0", "x"))

    assert found[0][1][0]["id"] == found[1][1][0]["tool_use_id"]
    assert found[0][1][0]["id"].startswith("call_")
