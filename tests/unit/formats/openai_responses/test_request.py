"""What the gateway reads in a Responses request, and what it refuses."""

from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.chat_request import ChatRequest, HostedTools
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_responses.hosted_tools import limit_uses
from serve_app.formats.openai_responses.request import read_responses
from tests.support.api import PIXEL

SCHEMA = {"type": "object", "properties": {"api_key": {"type": "string"}, "file_id": {"type": "string"}}}
FUNCTION = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}
USER = {"role": "user", "content": "Hi"}


def read(**fields: Any) -> ChatRequest:
    return read_responses(orjson.dumps({"model": "m", "input": "Hi", **fields}))


def refusal(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    return refused.value


def image(url: str = PIXEL, **fields: Any) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, **fields}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(parts)}


def test_a_text_is_all_that_a_request_needs() -> None:
    request = read_responses(b'\xef\xbb\xbf{"input":"Hi"}')

    assert (request.raw, request.model, request.stream, request.images) == (b'{"input":"Hi"}', None, False, 0)
    assert (request.input_tokens, request.output_tokens, request.output_limit) == (1, 500, None)
    assert request.prompt is not None


def test_the_request_of_a_coding_agent_is_read() -> None:
    request = read(
        stream=True,
        store=False,
        input=[
            {**user({"type": "input_text", "text": "x"}), "role": "developer", "id": "a"},
            user({"type": "input_text", "text": "Look"}),
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "zzz"},
            {"type": "function_call", "call_id": "1", "name": "view_image", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": [image(detail="original")]},
            {"type": "custom_tool_call", "call_id": "2", "name": "apply_patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "2", "output": "ok"},
            {"type": "an_item_of_next_year", "anything": [1]},
        ],
        tools=[
            FUNCTION,
            {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "definition": "x"}},
            {"type": "tool_search", "execution": "client"},
            {"type": "web_search", "external_web_access": False},
            {"type": "namespace", "name": "ns", "tools": [FUNCTION]},
        ],
        tool_choice="auto",
        reasoning={"effort": "high"},
        include=["reasoning.encrypted_content"],
        prompt_cache_key="k",
        text={"verbosity": "low"},
        client_metadata={"n": 100, "max_tokens": 5},
    )

    assert (request.stream, request.wants_usage, request.images) == (True, True, 1)
    assert (request.thinks, request.thinking, request.answers, request.output_limit) == (True, 4096, 1, None)
    assert request.tools == HostedTools(searches=5, lacks_uses=True)
    assert request.parameters["reasoning_effort"] == "high"
    assert request.parameters["verbosity"] == "low"
    assert {"store", "include", "input", "text", "reasoning"}.isdisjoint(request.parameters)


def test_the_bound_of_the_output_is_read_and_an_options_name_in_a_schema_is_none() -> None:
    text = {"format": {"type": "json_schema", "name": "n", "schema": {"max_tokens": 7}}}

    request = read(max_output_tokens=100.0, text=text)

    assert (request.output_limit, request.output_tokens) == (100, 100)
    assert request.parameters["max_completion_tokens"] == 100.0
    assert request.parameters["response_format"] == text["format"]


@pytest.mark.parametrize(
    ("tools", "fields", "found"),
    [
        ([FUNCTION], {}, HostedTools()),
        ([{"type": "web_search_preview"}], {}, HostedTools(searches=5, lacks_uses=True)),
        ([{"type": "web_search_2025_08_26"}], {"max_tool_calls": 2}, HostedTools(searches=2)),
        ([{"type": "file_search"}], {}, HostedTools(unbounded="file_search")),
        ([{"type": "shell"}], {}, HostedTools()),
        ([{"type": "shell", "environment": {"type": "local"}}], {}, HostedTools()),
        ([{"type": "shell", "environment": {"type": "container_auto"}}], {}, HostedTools(unbounded="shell")),
        ([{"type": "namespace", "name": "n", "tools": [FUNCTION]}], {}, HostedTools()),
        ([{"type": "tool_of_next_year"}], {}, HostedTools(unbounded="tool_of_next_year")),
        ([], {"enable_search": True}, HostedTools(unbounded="enable_search")),
    ],
)
def test_tools_that_the_vendor_runs_are_bounded_by_the_callers_word(
    tools: list[dict[str, Any]], fields: dict[str, Any], found: HostedTools
) -> None:
    assert read(tools=tools, **fields).tools == found


def test_tools_that_an_item_adds_count_as_well() -> None:
    added = {"type": "additional_tools", "role": "developer", "tools": [{"type": "code_interpreter"}]}

    assert read(input=[added, USER]).tools.unbounded == "code_interpreter"


def test_the_default_bound_of_hosted_tools_is_written_where_there_is_none() -> None:
    bounded: dict[str, Any] = {"max_tool_calls": 9}
    unbounded: dict[str, Any] = {}

    limit_uses(bounded)
    limit_uses(unbounded)

    assert (bounded, unbounded) == ({"max_tool_calls": 9}, {"max_tool_calls": 5})


def test_pictures_are_counted_in_messages_and_in_outputs_but_not_as_text() -> None:
    url = "data:image/png;base64," + "A" * 40_000
    link = "https://example.org/a.png"
    request = read(
        input=[
            user(image(url, detail="low"), image(link)),
            {"type": "function_call_output", "call_id": "1", "output": [image(url)]},
            {"type": "computer_call_output", "call_id": "1", "output": {"image_url": url}},
        ]
    )

    assert request.images == 4
    assert request.prompt is not None
    assert (request.prompt.low_pictures, request.prompt.pictures) == (1, 3)
    assert request.prompt.size < 1000
    assert request.input_tokens < 100
    assert request.image_links == {"https"}


def test_what_only_the_vendor_can_read_is_bounded_by_the_window() -> None:
    files = [
        {"type": "input_file", "file_url": "https://a.b/c.pdf"},
        {"type": "input_file", "file_data": "JVB"},
    ]
    request = read(input=[user(*files), {"type": "compaction", "encrypted_content": "z"}])

    assert request.prompt is not None
    assert request.prompt.unseen == 3


def test_a_picture_that_no_model_could_look_at_is_refused() -> None:
    error = refusal(input=[user(image("data:image/png;base64,=="))])

    assert (error.status, error.code, error.param) == (400, "invalid_image", "input")


def test_words_that_steer_the_gateway_are_content_where_people_and_schemas_use_them() -> None:
    text = {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}
    item = {"type": "mcp_list_tools", "tools": [{"name": "t", "input_schema": SCHEMA}]}

    assert read(tools=[FUNCTION], text=text, metadata={"api_key": "x"}, input=[item, USER]).model == "m"
    assert refusal(text={"api_key": "x"}).code == "forbidden_field"
    assert refusal(tools=[{"type": "function", "name": "f", "api_key": "x"}]).code == "forbidden_field"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}, "input": None}, "prompt"),
        ({"input": [user({"type": "input_image", "file_id": "file_1"})]}, "input[0].file_id"),
        ({"input": [user({"type": "input_file", "file_id": "file_1"})]}, "input[0].file_id"),
        ({"input": [{"type": "code_interpreter_call", "container_id": "c"}]}, "input[0].container_id"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "tools[0].vector_store_ids"),
        ({"tools": [{"type": "code_interpreter", "container": "c"}]}, "tools[0].container"),
        (
            {
                "tools": [
                    FUNCTION,
                    {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}},
                ]
            },
            "tools[1].file_ids",
        ),
        ({"tools": [{"type": "mcp", "connector_id": "c"}]}, "tools[0].connector_id"),
        (
            {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
            "prompt_cache_options.comparison_response_id",
        ),
        ({"a_field_of_next_year": [{"x": {"file_id": "f"}}]}, "a_field_of_next_year[0].file_id"),
    ],
)
def test_objects_of_the_operators_account_are_found_and_named(fields: dict[str, Any], param: str) -> None:
    named = read(**fields).vendor_object

    assert named is not None
    assert named.path == param
    assert f"'{param}'" in named.refusal.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True}, "background"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": [USER, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ],
)
def test_what_the_vendor_would_have_to_store_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    error = refusal(**fields)

    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", param)
    assert param in error.message


@pytest.mark.parametrize(
    ("fields", "server"),
    [
        (
            {"tools": [{"type": "mcp", "server_url": "https://MCP.example/sse?key=1"}]},
            ("tools[0].server_url", "https://mcp.example"),
        ),
        (
            {"input": [{"type": "additional_tools", "tools": [{"type": "mcp", "Server_URL": "x"}]}]},
            ("input[0].Server_URL", None),
        ),
    ],
    ids=["tool", "item"],
)
def test_servers_that_the_vendor_would_ask_are_found(
    fields: dict[str, Any], server: tuple[str, str | None]
) -> None:
    assert read(**fields).mcp_servers == (server,)


def test_links_to_pictures_and_files_are_found_and_those_that_are_only_read_are_not() -> None:
    cited = {"type": "url_citation", "url": "https://cited.example/"}
    said = {"type": "output_text", "text": "see https://said.example", "annotations": [cited]}
    request = read(
        input=[
            user({"type": "input_image", "image_url": "https://pictures.example/1.png"}),
            user({"type": "input_file", "file_url": "http://files.example:8080/1.pdf"}),
            {"type": "function_call_output", "call_id": "c", "output": [
                {"type": "input_image", "image_url": "https://tool.example/1.png"}
            ]},
            {"type": "computer_call_output", "call_id": "d", "output": {
                "type": "computer_screenshot", "image_url": "https://shot.example/1.png"
            }},
            {"type": "message", "role": "assistant", "content": [said]},
            {"type": "web_search_call", "id": "w", "action": {"type": "open_page", "url": "https://web.example"}},
        ]
    )  # fmt: skip

    assert request.links == {
        "https://pictures.example", "http://files.example:8080", "https://tool.example", "https://shot.example",
    }  # fmt: skip


def test_a_tool_that_asks_another_model_is_refused() -> None:
    drawing = {"type": "image_generation", "model": "gpt-image-1"}

    assert (refusal(tools=[drawing]).code, refusal(tools=[drawing]).param) == (
        "unchecked_model", "tools[0].model",
    )  # fmt: skip
    assert read(tools=[{**FUNCTION, "model": "x"}])


def test_a_conversation_that_the_vendor_shortens_has_no_bound() -> None:
    assert read(context_management=[{"type": "compaction"}]).tools.unbounded == "compaction"


def test_a_mark_of_the_cache_is_found_however_it_is_written() -> None:
    part = {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    raw = orjson.dumps({"input": [user(part)]})

    assert read_responses(raw).writes_cache
    assert read_responses(raw.replace(b"_cache_", b"_cache\\u005f")).writes_cache


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": "user", "content": None, "output": ["x"]},
        {"type": "function_call_output", "call_id": "c", "content": [{"type": "text"}], "output": "x"},
        user({"type": "input_text", "text": "x", "refusal": 1}),
    ],
)
def test_members_that_an_item_does_not_have_are_not_read(item: dict[str, Any]) -> None:
    assert read(input=[USER, item])


def test_ids_that_nobody_looks_up_pass() -> None:
    cited = {"type": "output_text", "text": "x", "annotations": [{"type": "file_citation", "file_id": "f"}]}

    assert read(
        input=[{"type": "message", "role": "assistant", "content": [cited]}, USER],
        tools=[{"type": "code_interpreter", "container": {"type": "auto"}}],
        background=False,
        conversation=None,
        metadata={"file_id": "f"},
        text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
    )


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": None}, 422, "input"),
        ({"input": 5}, 422, "input"),
        ({"input": []}, 400, "input"),
        ({"input": ["Hi"]}, 422, "input"),
        ({"input": [{"content": "Hi"}]}, 422, "input"),
        ({"input": [{"type": 5}]}, 422, "input"),
        ({"input": [{"role": "user", "content": 5}]}, 422, "input"),
        ({"input": [user({})]}, 422, "input"),
        ({"input": [user({"type": "input_text"})]}, 400, "input[0].content[0].text"),
        ({"input": [user({"type": "refusal"})]}, 400, "input[0].content[0].refusal"),
        ({"input": [user({"type": "input_image", "image_url": {}})]}, 400, "input[0].content[0].image_url"),
        ({"input": [user(image(detail=1))]}, 400, "input[0].content[0].detail"),
        ({"input": [user({"type": "input_file", "filename": 1})]}, 400, "input[0].content[0].filename"),
        ({"input": [{**USER, "id": 1}]}, 400, "input[0].id"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": ""}]}, 400, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": 1}]}, 400, "input[0].call_id"),
        ({"input": [{"type": "reasoning", "encrypted_content": 1}]}, 400, "input[0].encrypted_content"),
        ({"input": [{"type": "reasoning", "summary": ["x"]}]}, 400, "input[0].summary"),
        ({"input": [{"type": "additional_tools", "tools": [1]}]}, 400, "input[0].tools[0]"),
        ({"model": 1}, 422, "model"),
        ({"Stream": True}, 422, "Stream"),
        ({"Previous_Response_Id": "x"}, 422, "Previous_Response_Id"),
        ({"temperature": 3}, 422, "temperature"),
        ({"max_output_tokens": 0}, 422, "max_output_tokens"),
        ({"tools": {}}, 422, "tools"),
        ({"tools": [{}]}, 400, "tools[0]"),
        ({"tools": [{"type": "function"}]}, 400, "tools[0].name"),
        ({"tools": [{**FUNCTION, "strict": 1}]}, 400, "tools[0].strict"),
        ({"tools": [{**FUNCTION, "parameters": []}]}, 400, "tools[0].parameters"),
        ({"tools": [{**FUNCTION, "description": 1}]}, 400, "tools[0].description"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, 400, "tools[0].tools"),
        (
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}]},
            400,
            "tools[0].tools[0].type",
        ),
        ({"tool_choice": 1}, 400, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, 400, "tool_choice.name"),
        ({"tool_choice": {"type": "allowed_tools"}}, 400, "tool_choice.tools"),
        ({"reasoning": "high"}, 422, "reasoning"),
        ({"reasoning": {"effort": 1}}, 400, "reasoning.effort"),
        ({"text": {"format": {}}}, 400, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, 400, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, 400, "text.format.schema"),
        ({"text": {"verbosity": 1}}, 400, "text.verbosity"),
        ({"include": "x"}, 422, "include"),
        ({"metadata": []}, 422, "metadata"),
    ],
)
def test_a_malformed_request_is_refused_with_its_place(
    fields: dict[str, Any], status: int, param: str
) -> None:
    error = refusal(**fields)

    assert (error.status, error.param) == (status, param)
    assert isinstance(error, InvalidField) == (status == 422)
