"""A Responses request as a chat request."""

import time
from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.responses_to_chat.messages import NO_OUTPUT, SEE_BELOW
from serve_app.formats.responses_to_chat.reasoning import sealed, unsealed
from serve_app.formats.responses_to_chat.tools import LONGEST_NAME
from serve_app.formats.responses_to_chat.translation import ResponsesToChat

BLOCKS = [{"type": "thinking", "thinking": "Two cities.", "signature": "c2ln"}]
SCHEMA = {"type": "object", "properties": {}}
FUNCTION = {"type": "function", "name": "get", "description": "d", "parameters": SCHEMA, "strict": False}
IMAGE = {"type": "input_image", "image_url": "https://a.b/c.png", "detail": "original"}


def translation(items: Any = "Hi", **fields: Any) -> ResponsesToChat:
    return ResponsesToChat(orjson.dumps({"model": "m", "input": items, **fields}))


def chat_of(items: Any = "Hi", **fields: Any) -> dict[str, Any]:
    body = translation(items, **fields).body
    OPENAI_CHAT.parse(body)  # whatever is made is a valid chat request
    chat: dict[str, Any] = orjson.loads(body)
    return chat


def messages_of(*items: dict[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = chat_of(list(items))["messages"]
    return messages


def said(role: str, *texts: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text} for text in texts]
    return {"type": "message", "role": role, "content": content}


def call(call_id: str, name: str = "get", arguments: str = "{}", **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **fields}


def output(call_id: str | None, output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def called(call_id: str, name: str = "get", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def text(of: str) -> dict[str, Any]:
    return {"type": "text", "text": of}


def result(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def test_a_text_is_the_message_of_a_user_after_the_instructions() -> None:
    assert chat_of("Hi", instructions="Be brief.") == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }


def test_a_turn_of_the_model_is_one_message_and_its_outputs_follow_in_the_calls_order() -> None:
    messages = messages_of(
        said("developer", "One", "two"),
        said("user", "Look"),
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Two cities."}],
         "content": None, "encrypted_content": sealed(BLOCKS)},
        said("assistant", "Checking", "."),
        call("a", arguments='{"c":"A"}'),
        call("b", id="fc_1"),
        output("b", "rain"),
        output("a", "sun"),
        said("assistant", "Sun."),
    )  # fmt: skip

    assert messages == [
        {"role": "developer", "content": [text("One"), text("two")]},
        {"role": "user", "content": "Look"},
        {"role": "assistant", "reasoning_content": "Two cities.", "thinking_blocks": BLOCKS,
         "content": "Checking.", "tool_calls": [called("a", arguments='{"c":"A"}'), called("b")]},
        result("a", "sun"),
        result("b", "rain"),
        {"role": "assistant", "content": "Sun."},
    ]  # fmt: skip


def test_what_another_vendor_encrypted_and_thoughts_that_led_to_nothing_are_left_out() -> None:
    foreign = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
    lost = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}

    assert messages_of(foreign, said("assistant", "Yes"), lost, said("user", "Hi")) == [
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "Hi"},
    ]


@pytest.mark.parametrize(
    "content", [None, "", "gw1.", "gw1.!", "gw1.bnVsbA", "gw1.W10", "gw1.ü", "gw2.W10", 5]
)
def test_no_envelope_of_the_gateway_holds_no_blocks(content: object) -> None:
    assert unsealed(content) == []


def test_an_envelope_gives_back_thinking_blocks_and_nothing_else() -> None:
    assert unsealed(sealed([*BLOCKS, {"type": "text", "text": "x"}, 5])) == BLOCKS
    assert unsealed(sealed([{**BLOCKS[0], "deep": [[1]]}])) == BLOCKS


def test_outputs_find_their_calls_wherever_they_are() -> None:
    late = messages_of(call("a"), said("user", "Wait"), output("a", "sun"))
    early = messages_of(output("a", "sun"), call("a"))
    missing = messages_of(call("a"), said("user", "Hi"))
    orphan = messages_of(said("user", "Hi"), output("z", "sun"))
    nameless = messages_of(output(None, "sun"))
    twice = messages_of(call("a"), output("a", "sun"), output("a", "rain"))
    again = messages_of(call("a"), output("a", "sun"), call("a"), output("a", "rain"))

    assistant = {"role": "assistant", "content": None, "tool_calls": [called("a")]}
    assert late == [assistant, result("a", "sun"), {"role": "user", "content": "Wait"}]
    assert early == [assistant, result("a", "sun")]
    assert missing == [assistant, result("a", NO_OUTPUT), {"role": "user", "content": "Hi"}]
    assert orphan[1] == {"role": "user", "content": "Output of the tool call 'z':\nsun"}
    assert [message["role"] for message in nameless] == ["user"]
    assert twice == [assistant, result("a", "rain")]
    assert again == [assistant, result("a", "sun"), assistant, result("a", "rain")]


def test_pictures_in_outputs_follow_the_group_in_a_users_message() -> None:
    done = {"type": "input_text", "text": "Done."}
    messages = messages_of(call("a"), call("b"), output("a", [IMAGE]), output("b", [done, IMAGE]))

    image = {"type": "image_url", "image_url": {"url": IMAGE["image_url"], "detail": "high"}}
    assert messages[1:] == [
        result("a", SEE_BELOW),
        result("b", "Done."),
        {"role": "user", "content": [image, image]},
    ]


def test_an_id_that_no_chat_takes_is_another_one_for_call_and_output_alike() -> None:
    assistant, tool = messages_of(call("functions.Bash:0"), output("functions.Bash:0", None))

    [made] = assistant["tool_calls"]
    assert made["id"] == tool["tool_call_id"] != "functions.Bash:0"
    assert tool["content"] == ""


def test_parts_are_written_in_the_words_of_the_chat() -> None:
    file = {"type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}
    [message] = messages_of({"role": "user", "content": [IMAGE, file, {"type": "input_text", "text": "x"}]})

    assert message["content"][1:] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}},
        {"type": "text", "text": "x"},
    ]


def test_a_refusal_stays_one() -> None:
    parts = [{"type": "refusal", "refusal": "No."}]

    assert messages_of({"role": "assistant", "content": parts}) == [
        {"role": "assistant", "content": None, "refusal": "No."}
    ]


def test_functions_are_nested_and_what_a_chat_does_not_know_of_them_is_told() -> None:
    made = translation(tools=[{**FUNCTION, "defer_loading": True, "output_schema": {"type": "string"}}])

    [tool] = orjson.loads(made.body)["tools"]
    assert tool["type"] == "function"
    assert tool["function"] == {"name": "get", "description": "d", "parameters": SCHEMA, "strict": False}
    assert made.dropped == ("tools.defer_loading", "tools.output_schema")


def test_a_custom_tool_is_a_function_with_one_text() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    made = translation(
        [{"type": "custom_tool_call", "call_id": "1", "name": "apply_patch", "input": '*** "B"'},
         {"type": "custom_tool_call_output", "call_id": "1", "output": "ok"}],
        tools=[{"type": "custom", "name": "apply_patch", "description": "Patch.", "format": grammar}],
    )  # fmt: skip
    chat = orjson.loads(made.body)

    function = chat["tools"][0]["function"]
    assert function["parameters"]["required"] == ["input"]
    assert function["description"].startswith("Patch.\n\n")
    assert "start: x" in function["description"]
    assert chat["messages"][0]["tool_calls"] == [called("1", "apply_patch", '{"input":"*** \\"B\\""}')]
    assert made.dropped == ("tools.format",)


def test_members_of_a_namespace_have_its_name_in_front() -> None:
    space = {"type": "namespace", "name": "crm", "description": "The CRM.", "tools": [FUNCTION]}
    chat = chat_of([call("1", namespace="crm")], tools=[space, FUNCTION])

    assert [tool["function"]["name"] for tool in chat["tools"]] == ["crm__get", "get"]
    assert chat["tools"][0]["function"]["description"] == "The CRM.\n\nd"
    assert chat["messages"][0]["tool_calls"] == [called("1", "crm__get")]


def test_a_name_that_is_too_long_is_cut_and_differs_from_others() -> None:
    names = ["x" * 70 + end for end in "ab"]
    chat = chat_of([call("1", names[0])], tools=[{**FUNCTION, "name": name} for name in names])

    made = [tool["function"]["name"] for tool in chat["tools"]]
    assert len(set(made)) == 2
    assert all(len(name) <= LONGEST_NAME for name in made)
    assert chat["messages"][0]["tool_calls"] == [called("1", made[0])]


def test_tools_that_callers_run_themselves_are_functions() -> None:
    chat = chat_of(
        [
            {"type": "shell_call", "call_id": "1", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "1", "output": [{"stdout": "a"}]},
            {"type": "local_shell_call", "call_id": "2", "action": {"type": "exec", "command": ["ls"]}},
            {"type": "local_shell_call_output", "id": "2", "output": "b"},
            {"type": "tool_search_call", "call_id": "3", "execution": "client", "arguments": {"query": "x"}},
            {"type": "tool_search_output", "call_id": "3", "execution": "client", "tools": [FUNCTION]},
        ],
        tools=[
            {"type": "shell", "environment": {"type": "local"}},
            {"type": "local_shell"},
            {"type": "apply_patch"},
            {"type": "tool_search", "execution": "client", "description": "Find.", "parameters": SCHEMA},
        ],
    )

    names = [tool["function"]["name"] for tool in chat["tools"]]
    assert names == ["shell", "local_shell", "apply_patch", "tool_search", "get"]
    assert chat["tools"][3]["function"] == {
        "name": "tool_search",
        "description": "Find.",
        "parameters": SCHEMA,
    }
    assert [message for message in chat["messages"] if message["role"] == "tool"] == [
        result("1", '[{"stdout":"a"}]'),
        result("2", "b"),
        result("3", '{"tools":["get"]}'),
    ]


def test_what_the_vendor_would_run_is_left_out_and_told() -> None:
    made = translation(
        [{"type": "web_search_call", "id": "ws_1"}, said("user", "Hi"),
         {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}],
        tools=[{"type": "web_search"}, {"type": "mcp"}, {"type": "tool_search"},
               {"type": "shell", "environment": {"type": "container_auto"}}],
        parallel_tool_calls=False,
    )  # fmt: skip
    chat = orjson.loads(made.body)

    assert [tool["function"]["name"] for tool in chat["tools"]] == ["get"]
    assert made.dropped == (
        "input.web_search_call", "tools.mcp", "tools.shell", "tools.tool_search", "tools.web_search",
    )  # fmt: skip
    assert "tools" not in chat_of(tools=[{"type": "web_search"}], parallel_tool_calls=True)


FILE_URL = {"type": "input_file", "file_url": "https://a.b/c.pdf"}
CUSTOM = {"type": "custom", "name": "p"}
SEARCH = {"type": "web_search"}


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ({"type": "function", "name": "get"}, {"type": "function", "function": {"name": "get"}}),
        ({"type": "custom", "name": "p"}, {"type": "function", "function": {"name": "p"}}),
        ({"type": "shell"}, {"type": "function", "function": {"name": "shell"}}),
    ],
)
def test_the_choice_of_a_tool_is_that_of_its_function(choice: Any, wanted: Any) -> None:
    tools = [FUNCTION, CUSTOM, {"type": "shell"}, SEARCH]

    assert chat_of(tools=tools, tool_choice=choice)["tool_choice"] == wanted


@pytest.mark.parametrize(("mode", "wanted"), [("auto", "auto"), ("required", "required")])
def test_allowed_tools_are_the_only_ones(mode: str, wanted: str) -> None:
    allowed = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "custom", "name": "p"}]}
    chat = chat_of(tools=[FUNCTION, CUSTOM, SEARCH], tool_choice=allowed)

    assert [tool["function"]["name"] for tool in chat["tools"]] == ["p"]
    assert chat["tool_choice"] == wanted


def test_required_needs_a_tool_that_the_chat_has() -> None:
    assert chat_of(tools=[FUNCTION], tool_choice="required")["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [FUNCTION, SEARCH], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [SEARCH], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": "sometimes"}, "tool_choice"),
        ({"items": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
        ({"items": [{"type": "compaction_trigger"}]}, "input[0]"),
        ({"items": [{"type": "item_of_next_year"}]}, "input[0]"),
        ({"items": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"items": [{"role": "user", "content": [{"type": "x"}]}]}, "input[0].content[0]"),
        (
            {"items": [{"role": "user", "content": [FILE_URL]}]},
            "input[0].content[0]",
        ),
        ({"items": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0]"),
    ],
)
def test_what_must_not_be_left_out_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        translation(**fields)

    assert (refused.value.status, refused.value.param) == (400, param)
    assert param in refused.value.message


def test_parameters_are_renamed_or_told() -> None:
    schema = {"name": "n", "schema": SCHEMA, "strict": True}
    form = {"type": "json_schema", **schema}
    made = translation(
        max_output_tokens=100, reasoning={"effort": "high", "summary": "auto", "context": "all_turns"},
        text={"format": form, "verbosity": "low"}, truncation="auto", max_tool_calls=3, store=True,
        include=["reasoning.encrypted_content", "message.output_text.logprobs"], top_logprobs=2,
        stream=True, stream_options={"include_obfuscation": False}, temperature=0.5, top_p=0.9,
        metadata={"a": "b"}, user="u", prompt_cache_key="k", service_tier="flex", top_k=7,
        client_metadata={"x": "y"}, background=False,
    )  # fmt: skip

    chat = orjson.loads(made.body)
    del chat["messages"]
    assert chat == {
        "model": "m", "max_tokens": 100, "reasoning_effort": "high", "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": schema},
        "logprobs": True, "top_logprobs": 2, "stream": True,
        "stream_options": {"include_usage": True}, "temperature": 0.5, "top_p": 0.9,
        "metadata": {"a": "b"}, "user": "u", "prompt_cache_key": "k", "service_tier": "flex", "top_k": 7,
    }  # fmt: skip
    assert made.dropped == ("max_tool_calls", "reasoning.context", "truncation")


def test_very_many_references_and_thoughts_take_no_time_that_others_would_wait_for() -> None:
    count = 10_000
    spaces = [{"type": "namespace", "name": f"n{n}", "tools": [FUNCTION]} for n in range(count)]
    named = [{"type": "function", "name": FUNCTION["name"], "namespace": f"n{n}"} for n in range(count)]
    thought = {"type": "reasoning", "summary": [], "encrypted_content": sealed([{"type": "thinking"}])}
    began = time.process_time()

    chat = chat_of(
        [*[thought] * 5 * count, {"role": "assistant", "content": "x"}],
        tools=spaces,
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": named},
    )

    assert len(chat["tools"]) == count
    assert len(chat["messages"][0]["thinking_blocks"]) == 5 * count
    assert time.process_time() - began < 20  # minutes, if each were compared with each


UNCHECKED = (
    "messages", "functions", "function_call", "modalities", "audio", "prediction", "response_format", "stop",
    "n", "max_tokens", "max_completion_tokens", "logprobs", "logit_bias", "web_search_options", "plugins",
    "thinking", "cache_control", "extra_body", "chat_template_kwargs", "a_field_of_next_year",
)  # fmt: skip


@pytest.mark.parametrize("name", UNCHECKED)
def test_what_the_callers_format_has_not_checked_reaches_no_chat(name: str) -> None:
    smuggled = translation(**{name: [{"role": "user", "content": [{"type": "file", "file_id": "x"}]}]})

    assert orjson.loads(smuggled.body) == orjson.loads(translation().body)
    assert smuggled.dropped == (name,)


def test_defaults_that_ask_for_nothing_are_not_told() -> None:
    made = translation(
        truncation="disabled", text={"format": {"type": "text"}}, reasoning={"context": "auto"}
    )

    assert made.dropped == ()
    assert chat_of(text={"format": {"type": "json_object"}})["response_format"] == {"type": "json_object"}
    assert translation(include=["file_search_call.results"]).dropped == ("include",)


def test_a_number_keeps_every_digit() -> None:
    body = b'{"model":"m","input":"Hi","seed":12345678901234567890123}'

    assert b"12345678901234567890123" in ResponsesToChat(body).body


@pytest.mark.parametrize("choice", ["allowed_tools", "function", "custom", "web_search", ""])
def test_a_text_that_names_a_type_of_tool_is_no_choice(choice: str) -> None:
    body = b'{"input": "hi", "tool_choice": "%b"}' % choice.encode()

    with pytest.raises(InvalidRequest, match="tool_choice"):
        ResponsesToChat(body)
