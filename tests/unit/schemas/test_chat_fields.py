"""What a later stage relies on is checked at the door; everything else passes."""

from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.schemas.chat import read_chat
from serve_app.schemas.embeddings import read_embedding
from serve_app.schemas.exact import dumps
from serve_app.schemas.parts import PARTS

HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
F = {"name": "f"}


def refusal(body: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        read_chat(orjson.dumps(body))
    return refused.value


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", "content": None, **fields}]}


def part(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [fields]}]}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tools": [{"type": 5}]}, "tools[0].type"),
        ({"tools": [{"function": 5}]}, "tools[0].function"),
        (
            {"tools": [{"type": "function", "function": {**F, "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        (
            {"tools": [{"type": "function", "function": {**F, "description": 1}}]},
            "tools[0].function.description",
        ),
        ({"tools": [{"type": "function", "function": {**F, "strict": "yes"}}]}, "tools[0].function.strict"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
        ({"tool_choice": {"type": "x", "function": 5}}, "tool_choice.function.name"),
        ({"function_call": {}}, "function_call"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
        (
            {"response_format": {"type": "json_schema", "json_schema": F}},
            "response_format.json_schema.schema",
        ),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"logit_bias": {"5": "much"}}, "logit_bias"),
        (message(tool_calls=5), "messages[0].tool_calls"),
        (message(tool_calls=[5]), "messages[0].tool_calls[0]"),
        (message(tool_calls=[{"id": 5}]), "messages[0].tool_calls[0].id"),
        (message(tool_calls=[{"type": "function"}]), "messages[0].tool_calls[0].function"),
        (message(tool_calls=[{"function": {}}]), "messages[0].tool_calls[0].function"),
        (
            message(tool_calls=[{"function": {**F, "arguments": {"a": 1}}}]),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (message(function_call="f"), "messages[0].function_call"),
        (message(name=5), "messages[0].name"),
        (message(tool_call_id=5), "messages[0].tool_call_id"),
        (part(type="telepathy"), "messages[0].content[0].type"),
        (part(type="input_audio"), "messages[0].content[0].input_audio"),
        (part(type="file", file="x"), "messages[0].content[0].file"),
        (part(type="input_audio", input_audio={"format": []}), "messages[0].content[0].input_audio.format"),
        (
            part(type="image_url", image_url={"url": "https://a/b", "detail": {}}),
            "messages[0].content[0].image_url.detail",
        ),
        (part(type="refusal"), "messages[0].content[0].refusal"),
        (part(type="video_url", video_url=5), "messages[0].content[0].video_url"),
    ],
)
def test_a_field_that_a_later_stage_would_stumble_over_is_a_400_that_names_it(
    more: dict[str, Any], param: str
) -> None:
    refused = refusal({**HI, **more})

    assert (refused.status, refused.code, refused.param) == (400, "invalid_value", param)
    assert param in refused.message


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": True}, {"temperature": 1e300}, {"temperature": "hot"}, {"top_p": 1.1},
        {"top_p": True}, {"presence_penalty": -3}, {"frequency_penalty": []}, {"n": 1.5}, {"n": 129},
        {"n": True}, {"seed": 0.5}, {"seed": "x"}, {"max_tokens": 1e300}, {"max_tokens": 10**300},
        {"max_tokens": 0}, {"max_tokens": 5e-324}, {"max_tokens": False}, {"max_completion_tokens": -1},
        {"max_cost": 1e300}, {"max_cost": True}, {"context_size": 10**20}, {"stop": 5}, {"stop": [5]},
        {"stream_options": []}, {"metadata": 5}, {"tools": {}}, {"functions": [1]}, {"user": 5},
        {"logprobs": 5}, {"modalities": "text"}, {"audio": "wav"}, {"thinking": True}, {"logit_bias": []},
        {"reasoning_effort": 1}, {"response_format": "json"}, {"web_search_options": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_of_the_wrong_kind_or_out_of_bounds_is_a_422(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_chat(dumps({**HI, **more}))

    assert (refused.value.status, refused.value.param) == (422, next(iter(more)))


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 5}]},
        {"tools": [{"googleSearch": {}}]},
        {"tools": [{"name": "f", "input_schema": {}}]},
        {"tools": [{"type": "function", "function": {**F, "parameters": None, "vendors": "own"}}]},
        {"tool_choice": "required", "parallel_tool_calls": None, "stop": None, "metadata": None},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}},
        {"response_format": {"type": "json_schema", "json_schema": {**F, "schema": {}}}},
        {"response_format": {"type": "structural_tag", "structures": []}},
        {"max_cost": 5e-324, "temperature": 5e-324, "top_p": 0, "seed": -(10**30), "n": 128},
        {"stop": ["a", "b"], "logit_bias": {"50256": -100}, "logprobs": True, "top_logprobs": -1},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "reasoning_effort": "high"},
        {"service_tier": 5, "made_up_tomorrow": [{"x": None}]},
        message(tool_calls=[{"id": "1", "function": {**F, "arguments": '{"a": '}}]),
        message(tool_calls=[{"id": "1", "type": "custom", "custom": {"name": "f", "input": "x"}}]),
        message(tool_calls=None, function_call=None, refusal=None, audio={"id": "1"}),
        *[part(type=kind, text="x") for kind in ("text", "guarded_text", "input_text")],
        part(type="input_audio", input_audio={"data": "AAAA", "format": "wav"}),
        part(type="video_url", video_url={"url": "https://a/b.mp4"}),
        part(type="document", source={"type": "text", "data": "x"}),
        part(type="thinking", thinking="hm", signature="s"),
        part(type="tool_result", tool_use_id="1", content="x"),
    ],
)
def test_what_vendors_take_passes(more: dict[str, Any]) -> None:
    assert read_chat(dumps({**HI, **more})).input_tokens >= 0


def test_the_refusal_of_a_part_lists_the_known_types() -> None:
    assert all(kind in refusal(part(type="telepathy")).message for kind in PARTS)


@pytest.mark.parametrize(
    "more",
    [{"input": [True]}, {"input": [[1, False]]}, {"input": [10**30]}, {"input": [-1]}, {"dimensions": 0},
     {"dimensions": 1.5}, {"encoding_format": 5}, {"user": {}}, {"max_cost": -1}],
    ids=str,
)  # fmt: skip
def test_an_embeddings_body_is_checked_likewise(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_embedding(dumps({"input": "hi", **more}))

    assert refused.value.status == 422
