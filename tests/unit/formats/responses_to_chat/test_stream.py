"""A chat's stream, and its whole answer, as a response."""

from typing import Any

import orjson
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from serve_app.formats.json_objects import as_json
from serve_app.formats.openai_chat.chunks import frame_of
from serve_app.formats.openai_chat.stream_conversion import whole_of as chat_of
from serve_app.formats.openai_responses.events import events_in, whole_of
from serve_app.formats.responses_to_chat.reasoning import unsealed
from serve_app.formats.responses_to_chat.translation import ResponsesToChat

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
BLOCKS = [{"type": "thinking", "thinking": "Two cities.", "signature": "c2ln"}]
TOOLS = [
    {"type": "function", "name": "get", "parameters": {}, "strict": False},
    {"type": "custom", "name": "patch"},
    {"type": "namespace", "name": "crm", "description": "", "tools": [{"type": "function", "name": "find"}]},
    {"type": "shell"},
    {"type": "tool_search", "execution": "client"},
]
USAGE = {
    "prompt_tokens": 332,
    "completion_tokens": 40,
    "total_tokens": 372,
    "prompt_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 9},
}
TOLD_USAGE = {
    "input_tokens": 332,
    "input_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 20},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 9},
    "total_tokens": 372,
}


def translation() -> ResponsesToChat:
    return ResponsesToChat(orjson.dumps({"model": "m", "input": "Hi", "tools": TOOLS}))


def chunk(delta: dict[str, Any], finish: str | None = None, **choice: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish, **choice}]
    return {"id": "chatcmpl-1", "created": 5, "model": "x", "choices": choices}


def piece(
    index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: str | None = None
) -> Any:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    whole = {"index": index, "id": call_id, "function": function}
    return {"tool_calls": [{key: value for key, value in whole.items() if value is not None}]}


def stream_of(*chunks: dict[str, Any]) -> bytes:
    stream = translation().stream()
    return b"".join(stream.feed(frame_of(each)) for each in chunks) + stream.end()


def events_of(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    """The events, each of which the vendor's client must take."""
    events = list(events_in(stream_of(*chunks)))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        EVENT.validate_python(event)
    return events


def response_of(*chunks: dict[str, Any]) -> dict[str, Any]:
    response = events_of(*chunks)[-1]["response"]
    Response.model_validate(response)
    done = [event["item"] for event in events_of(*chunks) if event["type"] == "response.output_item.done"]
    in_order = sorted(response["output"], key=str)
    assert in_order == sorted(done, key=str)
    found: dict[str, Any] = response
    return found


def output_of(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    """The output without ids."""
    return [
        {key: value for key, value in item.items() if key != "id"} for item in response_of(*chunks)["output"]
    ]


def short(event: dict[str, Any]) -> dict[str, Any]:
    """An event without its number and the whole response."""
    return {key: value for key, value in event.items() if key not in ("sequence_number", "response", "type")}


CHUNKS = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Two cities."}),
    chunk({"thinking_blocks": BLOCKS}),
    chunk({"content": "Check"}),
    chunk({"content": "ing."}),
    chunk(piece(0, "toolu_a", "get", "")),
    chunk(piece(0, arguments='{"c":')),
    chunk(piece(0, arguments='"A"}')),
    chunk(piece(1, "toolu_b", "now", "")),
    chunk(piece(1, arguments="{}")),
    chunk({}, "tool_calls"),
    {"id": "chatcmpl-1", "choices": [], "usage": USAGE},
)


def test_a_thought_a_text_and_two_calls_make_the_events_of_the_vendor() -> None:
    events = events_of(*CHUNKS)
    rs, msg, fc_a, fc_b = (item["id"] for item in events[-1]["response"]["output"])
    seed = events[0]["response"]["id"].removeprefix("resp_")

    assert [rs, msg, fc_a, fc_b] == [f"rs_{seed}0", f"msg_{seed}1", f"fc_{seed}2", f"fc_{seed}3"]
    summary = {"item_id": rs, "output_index": 0, "summary_index": 0}
    text = {"item_id": msg, "output_index": 1, "content_index": 0}
    thought = {"type": "summary_text", "text": "Two cities."}
    part = {"type": "output_text", "text": "Checking.", "annotations": []}
    reasoning = {"type": "reasoning", "id": rs, "summary": [thought]}
    message = {"type": "message", "id": msg, "role": "assistant", "status": "completed", "content": [part]}
    call = {"type": "function_call", "id": fc_a, "call_id": "toolu_a", "name": "get", "status": "completed"}
    call_a, call_b = call | {"arguments": '{"c":"A"}'}, call | {
        "id": fc_b, "call_id": "toolu_b", "name": "now", "arguments": "{}",
    }  # fmt: skip
    a, b = {"item_id": fc_a, "output_index": 2}, {"item_id": fc_b, "output_index": 3}
    empty = {"status": "in_progress", "content": []}
    begun = {"arguments": "", "status": "in_progress"}
    sealed = events[-1]["response"]["output"][0]["encrypted_content"]
    assert unsealed(sealed) == BLOCKS

    assert [(event["type"].removeprefix("response."), short(event)) for event in events] == [
        ("created", {}),
        ("in_progress", {}),
        ("output_item.added", {"output_index": 0, "item": {"type": "reasoning", "id": rs, "summary": []}}),
        ("reasoning_summary_part.added", {**summary, "part": {"type": "summary_text", "text": ""}}),
        ("reasoning_summary_text.delta", {**summary, "delta": "Two cities."}),
        ("reasoning_summary_text.done", {**summary, "text": "Two cities."}),
        ("reasoning_summary_part.done", {**summary, "part": thought}),
        ("output_item.done", {"output_index": 0, "item": {**reasoning, "encrypted_content": sealed}}),
        (
            "output_item.added",
            {"output_index": 1, "item": {**message, **empty}},
        ),
        ("content_part.added", {**text, "part": {**part, "text": ""}}),
        ("output_text.delta", {**text, "delta": "Check", "logprobs": []}),
        ("output_text.delta", {**text, "delta": "ing.", "logprobs": []}),
        ("output_text.done", {**text, "text": "Checking.", "logprobs": []}),
        ("content_part.done", {**text, "part": part}),
        ("output_item.done", {"output_index": 1, "item": message}),
        ("output_item.added", {"output_index": 2, "item": call_a | begun}),
        ("function_call_arguments.delta", {**a, "delta": '{"c":'}),
        ("function_call_arguments.delta", {**a, "delta": '"A"}'}),
        ("output_item.added", {"output_index": 3, "item": call_b | begun}),
        ("function_call_arguments.delta", {**b, "delta": "{}"}),
        ("function_call_arguments.done", {**a, "name": "get", "arguments": '{"c":"A"}'}),
        ("output_item.done", {"output_index": 2, "item": call_a}),
        ("function_call_arguments.done", {**b, "name": "now", "arguments": "{}"}),
        ("output_item.done", {"output_index": 3, "item": call_b}),
        ("completed", {}),
    ]
    assert events[-1]["response"]["usage"] == TOLD_USAGE
    assert events[0]["response"]["usage"] is None
    assert (events[0]["response"]["created_at"], events[0]["response"]["model"]) == (5, "x")


def test_each_event_has_its_type_as_its_name() -> None:
    frames = stream_of(*CHUNKS).split(b"\n\n")[:-1]

    assert all(frame.startswith(b"event: response.") for frame in frames)
    assert all(frame.split(b"\n")[0][7:] in frame.split(b"\n")[1] for frame in frames)


def test_a_whole_answer_is_the_response_of_its_stream() -> None:
    whole = chat_of(b"".join(map(frame_of, CHUNKS)))
    response = orjson.loads(translation().answer(orjson.dumps(whole)))

    Response.model_validate(response)
    assert response == response_of(*CHUNKS)
    assert response == whole_of(stream_of(*CHUNKS))


def test_ids_are_the_same_each_time_and_others_for_another_request_or_answer() -> None:
    def id_of(body: dict[str, Any], answer: dict[str, Any]) -> str:
        found: str = orjson.loads(ResponsesToChat(orjson.dumps(body)).answer(orjson.dumps(answer)))["id"]
        return found

    asked = {"model": "m", "input": "Hi"}
    first = id_of(asked, {"id": "1"})
    assert first == id_of(asked, {"id": "1"})
    assert (
        len(
            {first, id_of({**asked, "input": "Ho"}, {"id": "1"}), id_of(asked, {}), id_of(asked, {"id": [1]})}
        )
        == 3
    )


@pytest.mark.parametrize(
    ("finish", "delta", "status", "reason"),
    [
        ("stop", {"content": "Hi"}, "completed", None),
        ("tool_calls", piece(0, "a", "get", "{}"), "completed", None),
        ("stop", piece(0, "a", "get", "{}"), "completed", None),
        (None, {"content": "Hi"}, "completed", None),
        ("length", {"content": "Hi"}, "incomplete", "max_output_tokens"),
        ("content_filter", {"content": "Hi"}, "incomplete", "content_filter"),
        ("content_filter", {"refusal": "No."}, "completed", None),
        ("stop", {"refusal": "No."}, "completed", None),
    ],
)
def test_the_finish_reason_is_the_status(
    finish: str | None, delta: dict[str, Any], status: str, reason: str | None
) -> None:
    events = events_of(chunk(delta), chunk({}, finish))
    response = events[-1]["response"]

    assert events[-1]["type"] == f"response.{status}"
    assert response["status"] == status
    assert response["incomplete_details"] == (None if reason is None else {"reason": reason})


def test_what_the_limit_cut_is_incomplete_and_what_was_before_is_not() -> None:
    output = output_of(chunk({"content": "Hi"}), chunk(piece(0, "a", "get", '{"c')), chunk({}, "length"))

    assert [item["status"] for item in output] == ["completed", "incomplete"]
    assert output[1]["arguments"] == '{"c'


def test_a_refusal_is_a_part_of_its_own() -> None:
    [message] = output_of(chunk({"content": "I"}), chunk({"refusal": "No"}), chunk({"refusal": "."}))

    assert message["content"] == [
        {"type": "output_text", "text": "I", "annotations": []},
        {"type": "refusal", "refusal": "No."},
    ]


def test_texts_before_and_after_a_call_are_two_messages_around_it() -> None:
    output = output_of(chunk({"content": "A"}), chunk(piece(0, "a", "get", "{}")), chunk({"content": "B"}))

    assert [item["type"] for item in output] == ["message", "function_call", "message"]


def test_a_thought_alone_is_closed_as_well() -> None:
    assert output_of(chunk({"reasoning": "Hm"}), chunk({}, "stop")) == [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
    ]


def test_a_hidden_thought_is_an_item_without_a_summary() -> None:
    redacted = [{"type": "redacted_thinking", "data": "zz"}]
    [reasoning, message] = output_of(chunk({"thinking_blocks": redacted}), chunk({"content": "Hi"}))

    assert (reasoning["summary"], unsealed(reasoning["encrypted_content"])) == ([], redacted)
    assert message["type"] == "message"


@pytest.mark.parametrize(
    ("name", "arguments", "item"),
    [
        ("patch", '{"input":"*** B"}', {"type": "custom_tool_call", "name": "patch", "input": "*** B"}),
        ("patch", "*** B", {"type": "custom_tool_call", "name": "patch", "input": "*** B"}),
        (
            "crm__find",
            "{}",
            {"type": "function_call", "name": "find", "namespace": "crm", "arguments": "{}"},
        ),
        ("shell", '{"commands":["ls"]}', {"type": "shell_call", "action": {"commands": ["ls"]}}),
        (
            "tool_search",
            '{"query":"x"}',
            {"type": "tool_search_call", "execution": "client", "arguments": {"query": "x"}},
        ),
        ("unheard_of", "", {"type": "function_call", "name": "unheard_of", "arguments": ""}),
    ],
)
def test_a_call_is_told_as_the_callers_tool(name: str, arguments: str, item: dict[str, Any]) -> None:
    pieces = [chunk(piece(0, "a", name, arguments[:3])), chunk(piece(0, arguments=arguments[3:]))]

    assert output_of(*pieces) == [{"call_id": "a", "status": "completed", **item}]


def test_arguments_that_a_model_got_wrong_run_nothing() -> None:
    [call] = output_of(chunk(piece(0, "a", "shell", "rm -r")))

    assert call["action"] == {"commands": [], "_raw": "rm -r"}


def test_the_text_of_a_custom_tool_comes_as_one_delta() -> None:
    events = events_of(chunk(piece(0, "a", "patch", '{"input":')), chunk(piece(0, arguments='"x"}')))

    told = [(event["type"], event.get("delta")) for event in events if "custom_tool" in event["type"]]
    assert told == [
        ("response.custom_tool_call_input.delta", "x"),
        ("response.custom_tool_call_input.done", None),
    ]


A = piece(0, "a", "get", "1")


@pytest.mark.parametrize(
    "pieces",
    [
        [
            piece(0, "a", "get", "1"),
            piece(1, "b", "now", "2"),
            piece(0, None, None, "1"),
            piece(1, None, None, "2"),
        ],
        [
            piece(0, "a", "get", "1"),
            piece(0, None, None, "1"),
            piece(0, "b", "now", "2"),
            piece(0, "", "", "2"),
        ],
        [piece(None, "a", "get", "1"), piece(None, None, None, "1"), piece(None, "b", "now", "22")],
        [piece(0, "a", None, "1"), piece(0, None, "get", "1"), piece(1, "b", "now", "22")],
        [A, A, piece(1, "b", "now", "22")],
    ],
    ids=["in turn", "always the first index", "no index", "a name that comes late", "id and name each time"],
)
def test_pieces_of_calls_are_put_together(pieces: list[Any]) -> None:
    output = output_of(*map(chunk, pieces))

    told = [(item["call_id"], item["name"], item["arguments"]) for item in output]
    assert told == [("a", "get", "11"), ("b", "now", "22")]


def test_a_call_without_an_id_gets_one_and_a_call_without_a_name_is_none() -> None:
    [call] = output_of(chunk(piece(0, None, "get", "{}")), chunk(piece(1, "b", None, "{}")))

    assert call["call_id"].startswith("call_")


def test_a_call_of_the_older_kind_is_one_as_well() -> None:
    [call] = output_of(
        chunk({"function_call": {"name": "get", "arguments": "{}"}}), chunk({}, "function_call")
    )

    assert (call["name"], call["arguments"]) == ("get", "{}")


def test_citations_and_probabilities_come_along() -> None:
    citation = {"url": "u", "title": "t", "start_index": 0, "end_index": 1}
    cited = {
        "type": "url_citation",
        "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1},
    }
    likely = {
        "token": "Hi",
        "logprob": -0.5,
        "bytes": [72],
        "top_logprobs": [{"token": "Ho", "logprob": -1.0}],
    }

    [message] = output_of(
        chunk({"content": "Hi", "annotations": [cited]}, logprobs={"content": [likely]}),
        chunk({"content": "!"}),
    )

    [part] = message["content"]
    assert part["annotations"] == [{"type": "url_citation", **citation}]
    tops = [{"token": "Ho", "logprob": -1.0, "bytes": []}]
    assert part["logprobs"] == [{**likely, "top_logprobs": tops}]
    assert part["text"] == "Hi!"


def test_only_the_first_answer_is_told() -> None:
    second = {"id": "1", "choices": [{"index": 1, "delta": {"content": "B"}}]}

    [message] = output_of(chunk({"content": "A"}), second, chunk({"content": "C"}))
    assert message["content"][0]["text"] == "AC"


def test_an_answer_of_nothing_is_a_response_of_nothing() -> None:
    assert output_of() == []
    assert orjson.loads(translation().answer(b"nothing"))["status"] == "completed"


def test_a_text_of_half_a_character_passes() -> None:
    stream = translation().stream()
    block = b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'

    assert b'"delta":"\\ud83d"' in stream.feed(block)
    assert b'"delta":"\\ud83d"' in stream.feed(block)
    assert stream.end()


TEXTS = st.text(max_size=4)
DELTAS = st.one_of(
    st.builds(lambda text: {"content": text}, TEXTS),
    st.builds(lambda text: {"reasoning_content": text}, TEXTS),
    st.builds(lambda text: {"refusal": text}, TEXTS),
    st.just({"thinking_blocks": BLOCKS}),
    st.builds(
        piece,
        st.integers(0, 2) | st.none(),
        st.sampled_from(["a", "b", None]),
        st.sampled_from(["get", "patch", "shell", "crm__find", None]),
        TEXTS,
    ),
)


@for_all(st.lists(DELTAS, max_size=8), st.sampled_from(["stop", "length", "content_filter", None]))
def test_whatever_the_order_the_events_are_valid_and_the_end_repeats_them(
    deltas: list[dict[str, Any]], finish: str | None
) -> None:
    chunks = [*map(chunk, deltas), chunk({}, finish)]
    events = events_of(*chunks)
    response_of(*chunks)

    begun = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    ended = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert sorted(begun) == sorted(ended) == list(range(len(begun)))
    said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert said == "".join(delta.get("content", "") for delta in deltas)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "choices", "delta", "message", "content", "reasoning_content", "thinking_blocks", "tool_calls",
            "function", "name", "arguments", "index", "id", "finish_reason", "usage", "prompt_tokens",
            "completion_tokens", "annotations", "url_citation", "logprobs", "function_call", "refusal",
            "type", "created", "model", "service_tier", "top_logprobs", "token", "bytes",
        ]),
        inner | st.sampled_from(["get", "patch", "shell", "thinking"]),
        max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip
CHOICES = st.lists(
    st.fixed_dictionaries({"delta": JSON, "message": JSON}, optional={"logprobs": JSON}), max_size=2
)
ANY = JSON | st.fixed_dictionaries({"choices": CHOICES}, optional={"usage": JSON, "id": JSON})


@for_all(st.lists(ANY, max_size=4), st.binary(max_size=30))
def test_whatever_an_upstream_sends_becomes_a_response(payloads: list[Any], noise: bytes) -> None:
    made = translation()
    stream = made.stream()

    frames = [stream.feed(frame_of(payload)) for payload in payloads]
    frames += [stream.feed(b"data: " + noise + b"\n\n"), stream.feed(b"data: [DONE]\n\n"), stream.end()]

    assert whole_of(b"".join(frames)) is not None
    for payload in payloads:
        assert orjson.loads(made.answer(as_json(payload)))["id"]
    assert orjson.loads(made.answer(noise))["id"]


def test_nesting_without_end_is_no_failure() -> None:
    made = translation()
    deep = (
        b'{"choices":[{"index":0,"delta":{"content":"Hi","annotations":' + b"[" * 900 + b"]" * 900 + b"}}]}"
    )

    assert made.stream().feed(b"data: " + deep + b"\n\n")
    assert orjson.loads(made.answer(deep))["status"] == "completed"
