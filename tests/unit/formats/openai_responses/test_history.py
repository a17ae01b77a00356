"""Requests that go on from stored responses."""

from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_responses.history import (
    Conversation,
    begun,
    can_be_kept,
    continued,
    history_in,
    input_items,
    is_too_large,
    item_ids,
    references_in,
    stored_json,
    wants_store,
)
from serve_app.response_store.stored_response import Chain
from tests.support.responses import answer, asked, response_id, said, stored

THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "z"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "4"}

FIRST = stored(1, response=stored_json(answer(THOUGHT, CALL, id=response_id(1))))
SECOND = stored(2, 1, input=orjson.dumps([RESULT]))
HISTORY = [FIRST, SECOND]
SAID_BEFORE = [asked("q1"), THOUGHT, CALL, RESULT, said("a2")]


def going_on(*, history: Any = HISTORY, **fields: Any) -> Conversation:
    body = {"model": "m", "input": "next", "previous_response_id": response_id(2), **fields}
    return continued(body, history)


def sent(conversation: Conversation) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(conversation.content.raw)
    return body


# Going on


def test_a_request_gets_what_was_said_before_into_its_input() -> None:
    conversation = going_on(instructions="Be brief")

    assert sent(conversation) == {
        "model": "m",
        "input": [*SAID_BEFORE, asked("next")],
        "instructions": "Be brief",
    }
    assert orjson.loads(conversation.own_input) == [asked("next")]
    assert conversation.content.model == "m"


def test_the_history_counts_as_input() -> None:
    alone = begun(b'{"model":"m","input":"next"}', body={"model": "m", "input": "next"})

    assert going_on().content.input_tokens > alone.content.input_tokens


def test_a_text_and_the_same_message_go_on_alike() -> None:
    assert sent(going_on(input=[asked("next")])) == sent(going_on())


@pytest.mark.parametrize("reference", ["fc_1", "item_" + response_id(1).removeprefix("resp_") + "_0"])
def test_a_reference_to_an_item_of_the_history_becomes_the_item(reference: str) -> None:
    conversation = going_on(input=[{"type": "item_reference", "id": reference}, asked("next")])

    meant = CALL if reference == "fc_1" else asked("q1")
    assert sent(conversation)["input"] == [*SAID_BEFORE, meant, asked("next")]
    assert orjson.loads(conversation.own_input) == [meant, asked("next")]


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [asked("a"), {"type": "item_reference", "id": "msg_of_nobody"}]},
        {"input": [asked("a"), {"type": "item_reference"}]},
        {"input": [asked("a"), {"type": "item_reference", "id": ""}]},
    ],
)
def test_a_reference_to_anything_else_is_refused_by_its_place(fields: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        going_on(**fields)

    assert (refused.value.status, refused.value.param) == (404, "input[1]")
    assert refused.value.code == "item_not_found"


def test_a_reference_to_an_item_of_another_response_becomes_the_item() -> None:
    local = stored(8, response=stored_json(answer(said("older", id="msg_1"))), local_only=True)
    other = stored(9, response=stored_json(answer(said("newer", id="msg_1"), THOUGHT)))
    given = [{"type": "item_reference", "id": "msg_1"}, asked("next")]

    alone = continued({"model": "m", "input": given}, (), (local, other))
    assert sent(alone)["input"] == [said("newer", id="msg_1"), asked("next")]
    assert alone.content.wishes.local_only
    after = continued({"model": "m", "input": given}, HISTORY, (other,))
    assert sent(after)["input"] == [*SAID_BEFORE, said("newer", id="msg_1"), asked("next")]
    assert not after.content.wishes.local_only


def test_the_items_that_a_request_refers_to_are_looked_up_once() -> None:
    given = [{"type": "item_reference", "id": id_} for id_ in ("a", "b", "a", "", "x" * 257)]

    assert references_in({"input": [*given, asked("q")]}) == ("a", "b")
    assert references_in({"input": "text"}) == ()
    with pytest.raises(InvalidRequest, match="refers to 501 items"):
        references_in({"input": [{"type": "item_reference", "id": str(n)} for n in range(501)]})


def test_items_are_found_by_ids_that_are_not_too_many_nor_too_long() -> None:
    assert item_ids(answer(THOUGHT, said("a"), {"type": "x"}, {"type": "x", "id": "y" * 257}, THOUGHT)) == (
        "rs_1",
        "msg_a",
    )
    assert len(item_ids(answer(*({"type": "x", "id": str(n)} for n in range(600))))) == 500


FILE = {"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}


@pytest.mark.parametrize(
    ("fields", "param"), [({"conversation": "conv_1"}, "conversation"), ({"background": True}, "background")]
)
def test_what_is_refused_without_a_history_is_refused_with_one(fields: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        going_on(**fields)

    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0].vector_store_ids"),
        ({"input": [asked("next"), FILE]}, "input[1].file_id"),
        ({"history": [stored(1, input=orjson.dumps([FILE]))]}, "previous_response_id.file_id"),
    ],
)
def test_what_callers_name_of_the_vendors_account_is_known_by_its_place(fields: Any, path: str) -> None:
    named = going_on(**fields).content.vendor_object

    assert named is not None
    assert named.path == path


def test_what_the_vendor_itself_named_is_nothing_that_a_caller_needs_permission_for() -> None:
    ran = {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "code": "1"}
    first = stored(1, response=stored_json(answer(ran)))
    reference = {"type": "item_reference", "id": "ci_1"}
    again = going_on(history=[first], input=[reference, asked("next")])
    second = stored(2, 1, input=again.own_input)

    assert sent(again)["input"] == [asked("q1"), ran, ran, asked("next")]
    assert again.content.vendor_object is None
    assert going_on(history=[first, second]).content.vendor_object is None


@pytest.mark.parametrize("fields", [{"input": None}, {"input": 5}])
def test_an_input_of_the_wrong_kind_is_refused(fields: Any) -> None:
    with pytest.raises(InvalidField):
        going_on(**fields)


def test_what_was_kept_on_local_machines_stays_there() -> None:
    local = FIRST._replace(local_only=True)

    assert going_on(history=[local, SECOND]).content.wishes.local_only
    assert not going_on().content.wishes.local_only


def test_a_number_of_many_digits_keeps_them() -> None:
    before = stored(1, input=b'[{"type":"x","n":123456789012345678901234567890}]')

    assert b'"n":123456789012345678901234567890' in going_on(history=[before]).content.raw


# The chain


def test_a_whole_chain_is_the_history() -> None:
    assert history_in(Chain((FIRST, SECOND)), response_id(2)) == (FIRST, SECOND)


@pytest.mark.parametrize(("missing", "says"), [(2, "Previous response"), (1, "was deleted or has expired")])
def test_a_chain_with_a_gap_is_refused_in_openais_words(missing: int, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        history_in(Chain(missing=response_id(missing)), response_id(2))

    assert (refused.value.status, refused.value.code) == (404, "previous_response_not_found")
    assert refused.value.param == "previous_response_id"


def test_a_chain_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="more than 500 responses or 32 MB") as refused:
        history_in(Chain(is_too_long=True), response_id(2))

    assert (refused.value.status, refused.value.param) == (400, "previous_response_id")


# What is kept


@pytest.mark.parametrize(("store", "wanted"), [(None, True), (True, True), (False, False)])
def test_a_response_is_kept_unless_the_caller_forbids_it(store: Any, wanted: bool) -> None:
    assert wants_store({} if store is None else {"store": store}) is wanted
    assert wants_store({"store": None})


@pytest.mark.parametrize(
    ("response", "can_be"),
    [
        (answer(said("x")), True),
        (answer(), True),
        (answer(said("x"), status="incomplete"), True),
        (answer({"type": "of_the_future", "id": "z"}), True),
        (answer(said("x"), status="failed"), False),
        (answer(said("x"), status="in_progress"), False),
        ({**answer(), "output": None}, False),
        ({**answer(), "output": ["x"]}, False),
        (answer({"type": "message", "id": "m"}), False),
        (answer({"type": "function_call", "id": "m"}), False),
        ({}, False),
    ],
)
def test_only_an_ended_response_that_can_be_sent_again_is_kept(response: Any, can_be: bool) -> None:
    assert can_be_kept(response) is can_be


def test_what_is_nested_too_deep_is_not_kept() -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}

    assert not can_be_kept(answer(said("x", more=deep)))


def test_half_an_emoji_and_large_numbers_are_kept_as_valid_json() -> None:
    raw = stored_json({"text": "\ud83d!", "n": 10**30})

    assert orjson.loads(raw)["text"] == "?!"
    assert b"1" + b"0" * 30 in raw


def test_a_response_has_a_largest_size() -> None:
    assert not is_too_large(b"x" * 2_000_000, b"x" * 2_000_000)
    assert is_too_large(b"x" * 2_000_000, b"x" * 2_000_001)
    assert is_too_large(b"x" * 4_000_001)


# The list of input items


def test_what_a_response_answers_is_listed_with_ids_that_stay() -> None:
    third = stored(3, 2)
    second, all_ = input_items(HISTORY), input_items([*HISTORY, third])

    assert [item["type"] for item in second] == [
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert all_[: len(second)] == second
    assert all_[len(second) :] == [said("a2"), {**all_[-1], "type": "message", "role": "user"}]
    ids = [item["id"] for item in all_]
    assert ids[1:3] == ["rs_1", "fc_1"]
    assert len(set(ids)) == len(ids)


def test_a_text_is_listed_as_the_part_that_it_stands_for() -> None:
    given = [
        {"role": "user", "content": "hi"},
        {"type": "message", "role": "assistant", "content": "ho"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}], "id": "msg_9"},
    ]

    first, second, third = input_items([stored(1, input=orjson.dumps(given))])
    assert (first["type"], first["content"]) == ("message", [{"type": "input_text", "text": "hi"}])
    assert second["content"] == [{"type": "output_text", "text": "ho", "annotations": []}]
    assert third == given[2]


def test_an_id_that_is_repeated_is_listed_under_another_one() -> None:
    again = stored(2, 1, input=orjson.dumps([CALL, RESULT]))

    listed = input_items([FIRST, again])
    assert [item["id"] for item in listed if item["type"] == "function_call"] == [
        "fc_1",
        f"item_{response_id(2).removeprefix('resp_')}_0",
    ]
