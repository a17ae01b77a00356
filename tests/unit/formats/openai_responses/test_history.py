"""Responses that the gateway keeps, and requests that go on from one."""

import asyncio
from typing import Any

import orjson
import pytest

from serve_app.errors import InvalidRequest
from serve_app.formats.openai_responses import history
from serve_app.formats.openai_responses.history import (
    ResponseStore,
    StoredResponse,
    expanded,
    history_of,
    input_page,
    kept,
)
from serve_app.formats.openai_responses.request import read_responses
from tests.support.responses import MemoryResponses

SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "4"}],
}
LOST = {"type": "reasoning", "id": "rs_1", "summary": []}
THOUGHT = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "z"}
ASKED = {"type": "message", "role": "user", "content": "2 + 2?"}
NEXT = {"model": "m", "input": "And 3 + 3?", "previous_response_id": "resp_1"}
MORE = {"type": "message", "role": "user", "content": "And 3 + 3?"}


def answer(id_: str = "resp_1", status: str = "completed") -> bytes:
    return orjson.dumps({"id": id_, "status": status, "output": [LOST, THOUGHT, SAID], "store": False})


def stored(request: dict[str, Any], response: bytes = answer(), tenant: str = "a") -> StoredResponse:
    found = kept(request, response, tenant, "ann", now=100.0, lifetime_s=10.0)
    assert found is not None
    return found


def history_from(store: ResponseStore, request: dict[str, Any], tenant: str = "a", now: float = 105.0) -> Any:
    return asyncio.run(history_of(request, store, tenant, now))


FIRST = stored({"model": "m", "input": "2 + 2?"})
SECOND = stored(NEXT, answer("resp_2"))


def store_with(*responses: StoredResponse) -> MemoryResponses:
    store = MemoryResponses()
    for response in responses:
        asyncio.run(store.put(response))
    return store


def test_a_response_is_kept_with_its_own_input_and_as_the_caller_asked_for_it() -> None:
    assert orjson.loads(SECOND.input) == [MORE]
    assert SECOND._replace(input=b"", response=b"") == StoredResponse(
        "resp_2", "a", "ann", 100.0, 110.0, "resp_1", b"", b""
    )
    told = orjson.loads(SECOND.response)
    assert (told["store"], told["previous_response_id"]) == (True, "resp_1")


def test_nothing_is_kept_against_the_callers_word_of_a_failure_or_of_what_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert kept({"input": "Hi", "store": False}, answer(), "a", "ann", 0, 1) is None
    assert kept({"input": "Hi"}, answer(status="failed"), "a", "ann", 0, 1) is None
    assert kept({"input": "Hi"}, answer(status="incomplete"), "a", "ann", 0, 1) is not None
    assert kept({"input": "Hi"}, b"[]", "a", "ann", 0, 1) is None
    monkeypatch.setattr(history, "MOST_BYTES", 10)
    assert kept({"input": "Hi"}, answer(), "a", "ann", 0, 1) is None


def test_a_request_gets_what_was_said_before_into_its_input() -> None:
    request = {**NEXT, "previous_response_id": "resp_2", "input": "Thanks"}
    body = expanded(request, history_from(store_with(FIRST, SECOND), request))

    thanks = {"type": "message", "role": "user", "content": "Thanks"}
    assert body == {
        "model": "m",
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "input": [ASKED, THOUGHT, SAID, MORE, THOUGHT, SAID, thanks],
    }
    assert read_responses(orjson.dumps(body)).model == "m"


def test_a_reference_to_an_item_of_the_history_becomes_the_item() -> None:
    request = {**NEXT, "input": [{"type": "item_reference", "id": "msg_1"}, MORE]}

    assert expanded(request, [FIRST])["input"] == [ASKED, THOUGHT, SAID, SAID, MORE]
    later = {"model": "m", "input": "Thanks", "previous_response_id": "resp_2"}
    again = expanded(later, [FIRST, stored(request, answer("resp_2"))])["input"]
    assert again[:5] == [ASKED, THOUGHT, SAID, SAID, MORE]


def test_a_reference_to_anything_else_is_refused_when_the_request_is_parsed() -> None:
    body = expanded({"model": "m", "input": [{"type": "item_reference", "id": "msg_9"}]}, [])

    with pytest.raises(InvalidRequest):
        read_responses(orjson.dumps(body))


def test_a_request_that_begins_a_conversation_asks_the_vendor_to_keep_nothing() -> None:
    assert expanded({"input": "Hi", "store": False}, []) == {"input": "Hi", "store": False}
    assert expanded({"input": "Hi", "include": ["x"]}, []) == {
        "input": "Hi",
        "store": False,
        "include": ["x", "reasoning.encrypted_content"],
    }


@pytest.mark.parametrize(("tenant", "now"), [("b", 105.0), ("a", 110.0)])
def test_what_is_another_tenants_or_has_expired_does_not_exist(tenant: str, now: float) -> None:
    with pytest.raises(InvalidRequest) as refused:
        history_from(store_with(FIRST), NEXT, tenant, now)

    assert (refused.value.code, refused.value.status) == ("previous_response_not_found", 400)


def test_what_names_a_response_that_is_not_in_the_history_is_refused_when_the_request_is_parsed() -> None:
    for name in ("resp_9", 5):
        with pytest.raises(InvalidRequest):
            read_responses(orjson.dumps(expanded({**NEXT, "previous_response_id": name}, [])))


def test_a_conversation_of_too_many_bytes_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_HISTORY_BYTES", 10)

    with pytest.raises(InvalidRequest, match="too long"):
        history_from(store_with(FIRST), NEXT)


def test_a_conversation_has_an_end_even_where_it_goes_round() -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        history_from(store_with(FIRST._replace(previous_id="resp_1")), NEXT)


def test_the_input_items_come_in_pages() -> None:
    newest = input_page([FIRST, SECOND], {"limit": "2"})
    rest = input_page([FIRST, SECOND], {"limit": "2", "after": newest["last_id"]})

    texts = [item.get("content") for item in (*newest["data"], *rest["data"])]
    assert texts == [MORE["content"], SAID["content"], None, ASKED["content"]]
    assert (newest["has_more"], rest["has_more"]) == (True, False)
    assert input_page([FIRST], {"order": "asc"})["data"][0]["content"] == ASKED["content"]
    assert input_page([FIRST], {"after": input_page([FIRST], {})["last_id"]})["data"] == []


@pytest.mark.parametrize(
    ("name", "value"), [("limit", "0"), ("limit", "101"), ("limit", "x"), ("order", "up"), ("after", "z")]
)
def test_a_malformed_query_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        input_page([FIRST], {name: value})

    assert refused.value.param == name


def test_a_store_deletes_what_it_is_told_to_and_what_has_expired() -> None:
    store = store_with(FIRST, SECOND._replace(expires_at=200.0))

    assert asyncio.run(store.purge(110.0)) == 1
    assert asyncio.run(store.get("a", "resp_1")) is None
    assert asyncio.run(store.delete("b", "resp_2")) is False
    assert asyncio.run(store.delete("a", "resp_2")) is True
