"""What a later stage relies on is checked at the door; everything else passes."""

from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import dumps
from serve_app.formats.openai_chat.fields import CHECKS
from serve_app.formats.openai_chat.parts import PARTS, check_part
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import read_embedding

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


@pytest.mark.parametrize(
    ("name", "least", "most", "step"),
    [
        ("max_cost", 0, 1_000_000_000, 0.5),
        ("context_size", 1, 2_147_483_647, 1),
        ("temperature", 0, 2, 0.01),
        ("top_p", 0, 1, 0.01),
        ("min_p", 0, 1, 0.01),
        ("presence_penalty", -2, 2, 0.01),
        ("frequency_penalty", -2, 2, 0.01),
        ("n", 1, 128, 1),
        ("max_tokens", 1, 2_147_483_647, 1),
        ("max_completion_tokens", 1, 2_147_483_647, 1),
    ],
)
def test_a_number_may_be_as_small_and_as_large_as_its_bounds(
    name: str, least: int, most: int, step: float
) -> None:
    for allowed in (least, most, None):
        read_chat(dumps({**HI, name: allowed}))
    for beyond in (least - step, most + step):
        refused = refusal({**HI, name: beyond})
        assert (refused.status, refused.param) == (422, name)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_every_field_of_the_table_may_be_null_and_not_just_anything(name: str) -> None:
    read_chat(dumps({**HI, name: None}))

    wrong: Any = [[[]]] if name != "stop" else {"a": 1}
    assert refusal({**HI, name: wrong}).param in (name, f"{name}.type")


@pytest.mark.parametrize("name", ["seed", "top_k", "top_logprobs"])
def test_a_whole_number_without_bounds_may_be_any(name: str) -> None:
    for number in (-(10**12), 0, 10**12, 5.0):
        read_chat(dumps({**HI, name: number}))
    assert refusal({**HI, name: 0.5}).param == name


PASSES = [
    {"stop": "a"}, {"stop": []}, {"modalities": ["text"]}, {"stream_options": {}},
    {"stream_options": {"include_usage": None}}, {"stream_options": {"include_usage": False}},
    {"logit_bias": {}}, {"logit_bias": {"5": 0.5}}, {"tools": []}, {"tools": [{"type": None}]},
    {"functions": [F]}, {"functions": [{**F, "description": "d", "parameters": {}, "strict": False}]},
    {"tool_choice": {}}, {"tool_choice": {"type": "function", "function": F}},
    {"tool_choice": {"function": F}}, {"function_call": "auto"}, {"function_call": F},
    {"response_format": {"type": "text"}},
]  # fmt: skip


@pytest.mark.parametrize("more", PASSES, ids=str)
def test_the_least_that_a_field_needs_is_enough(more: dict[str, Any]) -> None:
    read_chat(dumps({**HI, **more}))


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"stop": ["a", 5]}, "stop"),
        ({"modalities": ["text", 5]}, "modalities"),
        ({"tools": [{}, 5]}, "tools"),
        ({"functions": [F, {"name": ""}]}, "functions[1].name"),
        ({"functions": [F, 5]}, "functions"),
        ({"tools": [{}, {"type": 5}]}, "tools[1].type"),
        ({"logit_bias": {"5": True}}, "logit_bias"),
        ({"tool_choice": {"type": 5}}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": 5}}}, "tool_choice.function.name"),
        ({"function_call": 5}, "function_call"),
        ({"function_call": {"name": 5}}, "function_call"),
        ({"response_format": {"type": 5}}, "response_format.type"),
        ({"response_format": {"type": "json_schema", "json_schema": 5}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": 5, "schema": {}}}},
            "response_format.json_schema.name",
        ),
        (message(refusal=5), "messages[0].refusal"),
        (message(tool_calls=[{"type": 5}]), "messages[0].tool_calls[0].type"),
        (message(tool_calls=[{"type": None}]), "messages[0].tool_calls[0].function"),
        (message(tool_calls=[{"type": "custom", "function": 5}]), "messages[0].tool_calls[0].function"),
        (message(function_call={"name": 5}), "messages[0].function_call"),
        (message(function_call={**F, "arguments": 5}), "messages[0].function_call.arguments"),
        ({"messages": [{"role": "user", "content": "hi", "name": 5}]}, "messages[0].name"),
        ({"messages": [*HI["messages"], *message(name=5)["messages"]]}, "messages[1].name"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages"),
        ({"messages": [{"role": "user", "content": {}}]}, "messages"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages"),
        (part(type=5), "messages"),
        (part(type="text"), "messages"),
        (part(type="tool_use", name=5), "messages[0].content[0].name"),
        (part(type="thinking", thinking=5), "messages[0].content[0].thinking"),
        (part(type="audio_url", audio_url={"url": 5}), "messages[0].content[0].audio_url.url"),
        (part(type="file", file={"file_id": 5}), "messages[0].content[0].file.file_id"),
    ],
)
def test_what_a_field_lacks_is_refused_at_its_place(more: dict[str, Any], param: str) -> None:
    assert refusal({**HI, **more}).param == param


@pytest.mark.parametrize("kind", [kind for kind, needed in PARTS.items() if needed])
def test_a_part_needs_what_its_type_stands_for_in_one_of_the_ways_it_may_be_written(kind: str) -> None:
    needed = PARTS[kind]
    assert needed is not None
    field, types = needed
    examples: dict[type, Any] = {str: "x", dict: {}, list: []}
    for a_type, example in examples.items():
        written = {"type": kind, field: example}
        if a_type in types:
            check_part(written, "here")
        elif kind != "text":
            with pytest.raises(InvalidRequest, match=f"here.{field}: a part of type {kind} needs"):
                check_part(written, "here")


def test_what_a_part_may_be_is_told_and_an_endless_type_is_cut() -> None:
    assert refusal(part(type="video_url", video_url=5)).message.endswith("needs an object or a text here")
    assert refusal(part(type="thinking")).message.endswith("needs a text or a list here")
    assert "'" + "y" * 100 + "'" in refusal(part(type="y" * 101)).message
