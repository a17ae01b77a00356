"""What routing needs to know of a request for a message, read off its body."""

import base64
from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.anthropic_messages.fields import CHECKS
from serve_app.formats.anthropic_messages.request import read_messages
from serve_app.formats.chat_request import ChatRequest, HostedTools
from serve_app.formats.json_body import BOM, InvalidField
from serve_app.formats.routing_fields import Wishes
from serve_app.pricing.prompt import FRAME, TOOL_FRAME, Prompt
from serve_app.pricing.usage import Tier, dearer_tier

PNG = base64.b64encode(b"\x89PNG" + b"x" * 500).decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
LINKED = {"type": "image", "source": {"type": "url", "url": "https://a.example/1.png"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}


def raw_of(*contents: Any, **fields: Any) -> bytes:
    messages = [message(content) for content in contents or ("hi",)]
    return orjson.dumps({"max_tokens": 100, "messages": messages, **fields})


def read(*contents: Any, **fields: Any) -> ChatRequest:
    return read_messages(raw_of(*contents, **fields))


def message(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def result(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t1", "content": list(blocks)}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, {"model": None, "stream": False, "wants_usage": False, "images": 0}),
        ({}, {"output_limit": 100, "output_tokens": 100, "thinking": 0, "answers": 1, "speaks": False}),
        ({}, {"service_tier": None, "writes_cache": False, "thinks": False, "tools": HostedTools()}),
        ({}, {"require_vision": False, "require_audio": False, "max_cost": None, "context_size": None}),
        ({}, {"written_images": 0, "image_links": frozenset(), "parameters": {"max_tokens": 100}}),
        ({"model": "m"}, {"model": "m"}),
        ({"stream": True}, {"stream": True, "wants_usage": True}),
        ({"max_tokens": 0}, {"output_limit": 0, "output_tokens": 0}),
        ({"max_tokens": 9.0}, {"output_limit": 9}),
        ({"thinking": {"type": "enabled", "budget_tokens": 50}}, {"thinking": 50, "thinks": True}),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, {"thinking": 99, "thinks": True}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}, "max_tokens": 0}, {"thinking": 0}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": 0, "thinks": True}),
        ({"thinking": {"type": "disabled", "budget_tokens": 50}}, {"thinking": 0, "thinks": False}),
        ({"output_config": {"effort": "low"}}, {"thinks": True}),
        ({"service_tier": "standard_only"}, {"service_tier": "standard_only"}),
        ({"service_tier": "auto", "speed": "fast"}, {"service_tier": "speed_fast"}),
        ({"speed": "standard"}, {"service_tier": None}),
        ({"cache_control": {"type": "ephemeral"}}, {"writes_cache": True}),
        ({"preferred_model": "p"}, {"preferred_model": "p"}),
        ({"require_vision": True}, {"require_vision": True, "require_audio": False}),
        ({"max_cost": 0.5}, {"max_cost": 500_000_000}),
        ({"context_size": 100.0}, {"context_size": 100}),
        (
            {"models": ["a"], "provider": {"only": ["p"]}, "data_policy": "local"},
            {"wishes": Wishes(models=("a",), only=("p",), local_only=True)},
        ),
        ({"system": "s", "top_k": 5}, {"parameters": {"max_tokens": 100, "top_k": 5}}),
        ({"tools": [{**SEARCH, "max_uses": 3}]}, {"tools": HostedTools(searches=3)}),
        ({"tools": [SEARCH]}, {"tools": HostedTools(searches=5, lacks_uses=True)}),
        ({"tools": [TOOL, {**TOOL, "type": "custom"}]}, {"tools": HostedTools()}),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, {"tools": HostedTools()}),
        ({"tools": [{"type": "browser_toolset_20260801"}]}, {"tools": HostedTools()}),
        (
            {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
            {"tools": HostedTools(unbounded="code_execution_20250825")},
        ),
    ],
)
def test_a_field_says_what_it_says(fields: dict[str, Any], told: dict[str, Any]) -> None:
    found = read(**fields)._asdict()

    assert {name: found[name] for name in told} == told


def test_the_bytes_are_the_callers_without_their_mark() -> None:
    assert read_messages(BOM + raw_of()).raw == raw_of()


@pytest.mark.parametrize(
    "content",
    [[IMAGE], [result(IMAGE)], [{"type": "document", "source": {"type": "content", "content": [IMAGE]}}]],
    ids=["alone", "in a result", "in a document"],
)
def test_an_image_counts_wherever_it_is_and_its_data_is_no_text(content: list[dict[str, Any]]) -> None:
    found = read(content)

    assert found.images == 1
    assert found.prompt == Prompt(len(found.raw) - len(PNG) + FRAME, pictures=1)
    assert found.input_tokens < 20


@pytest.mark.parametrize(
    ("content", "schemes"),
    [
        ([LINKED, IMAGE], {"https"}),
        ([result(LINKED)], {"https"}),
        ([{"type": "document", "source": {"type": "url", "url": "HTTP://a.example/1.pdf"}}], {"http"}),
        ([PDF], set()),
    ],
)
def test_what_the_vendor_would_fetch_is_told_with_its_scheme(content: Any, schemes: set[str]) -> None:
    assert read(content).image_links == schemes


@pytest.mark.parametrize(
    ("content", "unseen"),
    [
        ([PDF], 1),
        ([result(PDF), PDF], 2),
        ([{"type": "document", "source": {"type": "url", "url": "https://a.example/1.pdf"}}], 1),
        ([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}], 0),
        (
            [{"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "content": PDF}}],
            1,
        ),
    ],
    ids=["PDF", "in a result", "link", "text", "in what was fetched"],
)
def test_a_file_that_only_the_vendor_can_read_may_fill_the_window(content: Any, unseen: int) -> None:
    prompt = read(content).prompt

    assert prompt is not None
    assert prompt.unseen == unseen


def test_tools_have_room_in_what_bounds_the_prompt() -> None:
    found = read(tools=[TOOL])

    assert found.prompt == Prompt(len(found.raw) + FRAME + TOOL_FRAME)


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("é" * 200, 100),
        ([result({"type": "text", "text": "x" * 400})], 100),
        ([{"type": "thinking", "thinking": "x" * 400, "signature": "y" * 40}], 110),
        ([{"type": "document", "title": "y" * 40, "source": {"type": "text", "data": "x" * 400}}], 110),
        ([{"type": "document", "source": {"type": "content", "content": "x" * 400}}], 100),
        ([{"type": "search_result", "source": "x" * 400, "content": []}], 100),
    ],
    ids=["not English", "result", "thinking", "document", "document of blocks", "search result"],
)
def test_text_is_estimated_at_four_bytes_a_token(content: Any, tokens: int) -> None:
    assert read(content).input_tokens == tokens


@pytest.mark.parametrize("system", ["x" * 400, [{"type": "text", "text": "x" * 400}]], ids=["text", "blocks"])
def test_instructions_are_read_by_the_model_too(system: Any) -> None:
    assert read("", system=system).input_tokens == 100


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{**TOOL, "description": "x" * 400}]},
        {"output_config": {"format": {"type": "json_schema", "schema": {"title": "x" * 400}}}},
        {"messages": [message([{"type": "tool_use", "id": "1", "name": "f", "input": {"a": "x" * 400}}])]},
    ],
    ids=["tools", "format", "arguments"],
)
def test_what_the_model_reads_as_well_is_counted(fields: dict[str, Any]) -> None:
    assert 100 <= read("", **fields).input_tokens < 130


KEPT = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [message([{"type": "text", "text": "x", **KEPT}])]},
        {"messages": [message([result({**IMAGE, **KEPT})])]},
        {"system": [{"type": "text", "text": "x", **KEPT}]},
        {"tools": [{**TOOL, **KEPT}]},
        {"messages": [message([{"type": "tool_addition", "tool": {"definition": {**TOOL, **KEPT}}}])]},
        {"messages": [{**message("x"), **KEPT}]},
    ],
)
def test_a_part_that_shall_be_kept_writes_the_cache(fields: dict[str, Any]) -> None:
    assert read(**fields).writes_cache


def test_a_mark_that_is_written_with_escapes_counts_as_well() -> None:
    raw = raw_of(system=[{"type": "text", "text": "x", **KEPT}])

    assert read_messages(raw.replace(b"cache_control", b"cache\\u005Fcontrol")).writes_cache


def test_the_word_alone_writes_no_cache() -> None:
    assert not read('"cache_control"').writes_cache


@pytest.mark.parametrize(
    ("fields", "tier"),
    [
        ({"speed": "fast"}, Tier.FAST),
        ({"inference_geo": "us"}, Tier.US),
        ({"inference_geo": "us", "speed": "fast", "service_tier": "auto"}, Tier.FAST_US),
        ({"inference_geo": "global"}, Tier.STANDARD),
        ({"inference_geo": ["us"]}, Tier.US),
    ],
)
def test_a_wish_at_another_price_is_reserved_at_that_price(fields: dict[str, Any], tier: Tier) -> None:
    assert dearer_tier(read(**fields).service_tier) is tier


@pytest.mark.parametrize(
    "fields",
    [{"context_management": {"edits": [{"type": "compact_20260112"}]}}, {"compaction": {"type": "x"}}],
)
def test_a_conversation_that_the_vendor_shortens_has_no_bound(fields: dict[str, Any]) -> None:
    assert read(**fields).tools.unbounded == "compaction"
    assert read(context_management={"edits": [{"type": "clear_thinking_20251015"}, 1]}).tools == HostedTools()


def added(definition: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": definition}}


@pytest.mark.parametrize(
    ("definition", "allowed"),
    [
        (TOOL, HostedTools()),
        ({**SEARCH, "max_uses": 2}, HostedTools(searches=2)),
        (SEARCH, HostedTools(searches=5, unbounded="web_search_20250305")),
        ({"type": "code_execution_20250825"}, HostedTools(unbounded="code_execution_20250825")),
    ],
    ids=["the caller's", "bounded", "without a bound", "unbounded"],
)
def test_a_tool_that_is_added_on_the_way_is_a_tool(definition: dict[str, Any], allowed: HostedTools) -> None:
    found = read([added(definition)])

    assert found.tools == allowed
    assert found.prompt == Prompt(len(found.raw) + FRAME + TOOL_FRAME)


@pytest.mark.parametrize(
    ("model", "counted"), [(None, 1), ("auto", 1), ("m", 0)], ids=["none", "auto", "named"]
)
def test_images_in_plain_text_are_looked_for_where_the_model_is_left_to_us(
    model: str | None, counted: int
) -> None:
    assert read("see https://a.example/1.png", model=model).written_images == counted


@pytest.mark.parametrize(
    ("content", "fields", "param"),
    [
        ("hi", {"container": "c1"}, "container"),
        ("hi", {"container": {"id": "c1", "skills": []}}, "container"),
        ("hi", {"thread": {"type": "create"}}, "thread"),
        ("hi", {"user_profile_id": "u"}, "user_profile_id"),
        ("hi", {"diagnostics": {"previous_message_id": "msg_1"}}, "diagnostics.previous_message_id"),
        ("hi", {"tools": [{"type": "mcp_toolset", "mcp_server_name": "s"}]}, "tools[0].type"),
        (
            [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
            {},
            "messages[0].content[0].source.file_id",
        ),
        (
            [result({"type": "document", "source": {"type": "file", "file_id": "f"}})],
            {},
            "messages[0].content[0].content[0].source.file_id",
        ),
        ([{"type": "container_upload", "file_id": "f"}], {}, "messages[0].content[0].file_id"),
        (
            [added({"type": "mcp_toolset"})],
            {},
            "messages[0].content[0].tool.definition.type",
        ),
    ],
)
def test_objects_of_the_vendors_account_are_found(content: Any, fields: dict[str, Any], param: str) -> None:
    named = read(content, **fields).vendor_object

    assert named is not None
    refusal = named.refusal
    assert (refusal.status, refusal.code, refusal.param) == (400, "unsupported_parameter", param)
    assert f"'{param}'" in refusal.message


def test_mcp_servers_are_found_and_their_use_has_no_known_price() -> None:
    server = {"type": "url", "url": "https://a.example/sse", "name": "s", "authorization_token": "t"}
    asked = read("hi", mcp_servers=[server], tools=[{"type": "mcp_toolset", "mcp_server_name": "s"}])

    assert asked.mcp_servers == (("mcp_servers[0].url", "https://a.example"),)
    assert asked.vendor_object is None
    assert read("hi", mcp_servers=[server]).tools.unbounded == "mcp_servers"


@pytest.mark.parametrize(
    ("servers", "param"),
    [
        ("https://a.example", "mcp_servers"),
        (["https://a.example"], "mcp_servers[0]"),
        ([{"type": "url"}], "mcp_servers[0].url"),
        ([{"type": "url", "url": "https://a.example"}] * 101, "mcp_servers"),
    ],
    ids=["text", "no object", "no address", "too many"],
)
def test_a_list_of_servers_that_cannot_be_read_is_refused(servers: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read("hi", mcp_servers=servers)

    assert (refused.value.status, refused.value.param) == (400, param)


def test_links_in_sources_are_found_at_every_depth_and_those_in_texts_are_not() -> None:
    linked = {"type": "image", "source": {"type": "url", "url": "https://pictures.example/1.png"}}
    deep = result({"type": "document", "source": {"type": "url", "url": "http://10.0.0.1:80/1.pdf"}})
    written = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "https://x"},
    }
    found = {"type": "search_result", "source": "https://found.example", "title": "t", "content": []}

    asked = read([linked, deep, written, found, {"type": "text", "text": "https://said.example"}])

    assert asked.links == {"https://pictures.example", "http://10.0.0.1"}


def test_the_id_of_a_file_that_a_tool_made_passes() -> None:
    made = {"type": "code_execution_output", "file_id": "f"}
    ran = {
        "type": "code_execution_tool_result",
        "content": {"type": "code_execution_result", "content": [made]},
    }

    assert read([ran]).images == 0
    assert read(container=None, mcp_servers=[]).images == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"fallbacks": [{"model": "dear"}]}, "fallbacks"),
        ({"fallbacks": "default"}, "fallbacks"),
        ({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "dear"}]}, "tools[0].model"),
        ({"tools": [{"type": "advisor_20260301", "model": "dear", "input_schema": {}}]}, "tools[0].model"),
    ],
)
def test_the_vendor_is_not_asked_for_models_that_nobody_checked(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)

    assert (refused.value.code, refused.value.param) == ("unchecked_model", param)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"model": 5}, "model"),
        ({"temperature": 1.1}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stream": 1}, "stream"),
        ({"metadata": []}, "metadata"),
        ({"thinking": "on"}, "thinking"),
        ({"output_config": []}, "output_config"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"cache_control": True}, "cache_control"),
        ({"Max_Tokens": 5}, "Max_Tokens"),
        ({"max_cost": -1}, "max_cost"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(**body)

    assert refused.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": 5}]}]}, "messages[0].content[0]"),
        ({"system": 5}, "system"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": 5}}, "output_config.effort"),
        ({"output_config": {"format": "json"}}, "output_config.format"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "f", "input_schema": {}, "description": 5}]}, "tools[0].description"),
        ({"tools": [{"type": 5}]}, "tools[0].type"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        (
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}},
            "tool_choice.disable_parallel_tool_use",
        ),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ],
)
def test_what_is_wrong_below_a_field_is_named_with_its_path(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)

    assert refused.value.param == param


@pytest.mark.parametrize(
    ("block", "member"),
    [
        ({"type": "text", "text": 5}, "text"),
        ({"type": "image"}, "source"),
        ({"type": "image", "source": {}}, "source.type"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/bmp"}}, "source.media_type"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png"}}, "source.data"),
        ({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}, "source.url"),
        ({"type": "image", "source": {"type": "url"}}, "source.url"),
        ({"type": "document", "source": {"type": "base64"}}, "source.data"),
        ({"type": "document", "source": {"type": "content", "content": 5}}, "source.content"),
        ({"type": "document", "source": {"type": "url", "url": "data:application/pdf"}}, "source.url"),
        ({"type": "tool_use", "id": "1", "name": "f"}, "input"),
        ({"type": "tool_use", "id": "1", "input": {}}, "name"),
        ({"type": "server_tool_use", "name": "f", "input": {}}, "id"),
        ({"type": "tool_result"}, "tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "1", "content": 5}, "content"),
        ({"type": "tool_result", "tool_use_id": "1", "content": ["x"]}, "content"),
        ({"type": "thinking"}, "thinking"),
        ({"type": "redacted_thinking"}, "data"),
    ],
)
def test_a_block_that_lacks_what_its_type_needs_is_named(block: dict[str, Any], member: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read("hi", [{"type": "text", "text": "x"}, block])
    assert refused.value.param == f"messages[1].content[1].{member}"

    with pytest.raises(InvalidRequest) as refused:
        read([result(block)])
    assert refused.value.param == f"messages[0].content[0].content[0].{member}"


def test_an_image_that_no_model_could_look_at_is_refused() -> None:
    broken = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}}

    with pytest.raises(InvalidRequest, match="does not decode"):
        read([broken])


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "made_up_tomorrow", "deep": [1, {"er": None}]}],
        [{"type": "made_up_tomorrow", "content": [{"type": ["odd"]}, 7, {"type": "text", "text": "x"}]}],
        [{"type": "text", "text": "x", "citations": []}],
        [{"type": "tool_result", "tool_use_id": "1"}],
        [],
    ],
)
def test_what_nobody_has_heard_of_passes(content: Any) -> None:
    assert read(content, made_up=[{"a": 1}]).parameters["made_up"] == [{"a": 1}]


def test_a_system_message_may_only_change_the_effort() -> None:
    change = {"role": "system", "output_config": {"effort": "low"}}

    assert read(messages=[{"role": "user", "content": "hi"}, change]).images == 0


def test_the_checks_know_what_they_check() -> None:
    assert read(**dict.fromkeys(CHECKS.keys() - {"max_tokens"}, None)).output_limit == 100
