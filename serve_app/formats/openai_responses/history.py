"""
Conversations that go on from a stored response, by `previous_response_id`.

Vendors are asked to keep nothing (`store: false`), because all callers share the operator's account there: a
request gets its whole history into its `input` before it is read for routing. Instructions are those of the
request alone, as this API has it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from serve_app.errors import InvalidRequest
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.json_body import BOM, InvalidField
from serve_app.formats.openai_responses.account_objects import refuse_stored, vendor_object
from serve_app.formats.openai_responses.fields import wrong
from serve_app.formats.openai_responses.items import Item, items_of, type_of
from serve_app.formats.openai_responses.request import read_fields
from serve_app.formats.upstream_json import is_too_deep
from serve_app.formats.vendor_objects import VendorObject, first_of, object_in
from serve_app.response_store.stored_response import MOST_BYTES, MOST_CHAIN_BYTES, MOST_TURNS, Chain
from serve_app.response_store.stored_response import StoredResponse as Stored

MOST_REFERENCES = 500  # items that one request refers to, and items of one response that can be referred to
LONGEST_ITEM_ID = 256  # characters

ENDED = ("completed", "incomplete")  # the statuses of a response that can be kept


class Conversation(NamedTuple):
    """
    A request with the history that it goes on from.

    Fields:
        content: what routing needs to know; its JSON has the whole conversation in `input`.
        own_input: the JSON of the request's own items.
    """

    content: ChatRequest
    own_input: bytes


def wants_store(body: Mapping[str, Any]) -> bool:
    """Return whether a request lets its response be kept, which is the default of this API."""
    return body.get("store") is not False


def begun(raw: bytes, *, body: dict[str, Any]) -> Conversation:
    """
    Return a request that goes on from no other.

    Args:
        raw: the request's JSON.
        body: its fields, each checked by itself.

    Raises:
        InvalidRequest: 400, something within a field is not what it must be.
        InvalidField: 422, the input is missing or of the wrong kind.
    """
    refuse_stored(body)
    return Conversation(read_fields(raw.removeprefix(BOM), body), dumps(items_of(body)))


def references_in(body: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Return the ids of the items that a request refers to.

    Raises:
        InvalidRequest: 400, they are too many, or something within an item is not what it must be.
        InvalidField: 422, the input is missing or of the wrong kind.
    """
    given = (item.get("id") for item in items_of(body) if item.get("type") == "item_reference")
    ids = tuple(dict.fromkeys(id_ for id_ in given if id_ and len(id_) <= LONGEST_ITEM_ID))
    if len(ids) > MOST_REFERENCES:
        raise wrong("input", f"refers to {len(ids)} items; at most {MOST_REFERENCES} can be looked up")
    return ids


def continued(
    body: Mapping[str, Any], history: Sequence[Stored], referred: Sequence[Stored] = ()
) -> Conversation:
    """
    Return a request with its history in its input.

    References to items are replaced by the items. A request that goes on from what was kept on local machines
    stays there as well.

    Args:
        body: the request's fields, each checked by itself.
        history: the responses that it goes on from, the oldest first.
        referred: other responses, which hold items that it refers to, the oldest first.

    Raises:
        InvalidRequest: 400, something within a field is not what it must be; 404, an item does not exist.
        InvalidField: 422, the input is missing or of the wrong kind.
    """
    fields = {name: value for name, value in body.items() if name != "previous_response_id"}
    if history and fields.get("conversation") is not None:
        raise wrong("conversation", "cannot be given together with previous_response_id")
    given = items_of(fields)
    turns = [_turn(stored) for stored in history]
    own = given
    if any(item.get("type") == "item_reference" for item in given):
        known = _by_id([_turn(stored) for stored in referred]) | dict(_listed(turns))
        own = [_meant(item, known, f"input[{place}]") for place, item in enumerate(given)]
    new = {**fields, "input": [one if one is asked else {} for one, asked in zip(own, given, strict=True)]}
    refuse_stored(new)
    fields["input"] = [*(item for turn in turns for item in turn.items), *own]
    content = read_fields(dumps(fields), fields)
    content = content._replace(vendor_object=vendor_object(new) or _named_before(turns))
    if any(stored.local_only for stored in (*history, *referred)):
        content = content._replace(wishes=content.wishes._replace(local_only=True))
    return Conversation(content, dumps(own))


def history_in(chain: Chain, previous_id: str) -> Sequence[Stored]:
    """
    Return the responses that a request goes on from, the oldest first.

    Args:
        chain: what the store has of them.
        previous_id: the id in the request.

    Raises:
        InvalidRequest: 404, one of them does not exist; 400, they are too many or too large.
    """
    if chain.missing is not None:
        raise not_found(previous_id, chain.missing)
    if chain.is_too_long:
        raise InvalidRequest(
            f"previous_response_id: the conversation has more than {MOST_TURNS} responses or "
            f"{MOST_CHAIN_BYTES / 1_000_000:g} MB; begin a new one, with what matters of it in 'input'",
            param="previous_response_id",
            code="conversation_too_long",
        )
    return chain.responses


def not_found(previous_id: str, missing: str) -> InvalidRequest:
    """Return the refusal of a request that goes on from a response that is not there."""
    if missing == previous_id:
        message = f"Previous response with id '{previous_id[:100]}' not found"
    else:
        message = f"The response '{missing}', which '{previous_id}' goes on from, was deleted or has expired"
    return InvalidRequest(
        f"{message}; send the conversation in 'input'",
        param="previous_response_id",
        code="previous_response_not_found",
        status=404,
    )


def can_be_kept(response: Mapping[str, Any]) -> bool:
    """
    Return whether an answer is a response that has ended, and that a later request can go on from.

    An upstream may write items that no request can hold.
    """
    if response.get("status") not in ENDED or not isinstance(output := response.get("output"), list):
        return False
    if is_too_deep(dict(response)):
        return False
    try:
        items_of({"input": output or ""})
    except (InvalidField, InvalidRequest):
        return False
    return True


def item_ids(response: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids by which later requests can refer to what a response says."""
    given = (item.get("id") for item in response["output"])
    ids = dict.fromkeys(id_ for id_ in given if isinstance(id_, str) and 0 < len(id_) <= LONGEST_ITEM_ID)
    return tuple(ids)[:MOST_REFERENCES]


def stored_json(response: Mapping[str, Any]) -> bytes:
    """Return a response as it is kept: valid JSON, which every reader takes; half an emoji becomes a `?`."""
    try:
        return orjson.dumps(response)
    except orjson.JSONEncodeError:  # half an emoji, or a number beyond 64 bits
        text = json.dumps(response, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8", "replace")


def is_too_large(own_input: bytes, response: bytes = b"") -> bool:
    """Return whether a response is too large to be kept with its input."""
    return len(own_input) + len(response) > MOST_BYTES


def input_items(history: Sequence[Stored]) -> list[Item]:
    """
    Return what the last of these responses answers, as this API lists it: the oldest first, each with an id.

    Callers may leave out the id of an item and repeat one; the id in the list is the same in every list.

    Args:
        history: the response, after those that it goes on from.
    """
    listed = _listed([_turn(stored) for stored in history])
    output = _turn(history[-1]).output
    return [{**_written_out(item), "id": id_} for id_, item in listed[: len(listed) - len(output)]]


class _Turn(NamedTuple):
    """The items that a response adds to its conversation: the caller's, then the model's."""

    id: str
    own: list[Item]
    output: list[Item]

    @property
    def items(self) -> list[Item]:
        return [*self.own, *self.output]


def _turn(stored: Stored) -> _Turn:
    return _Turn(stored.id.removeprefix("resp_"), loads(stored.input), loads(stored.response)["output"])


def _named_before(turns: Sequence[_Turn]) -> VendorObject | None:
    """Return what callers named of the vendor's account in a history, and not what the vendor named."""
    by_vendor = {item["id"] for turn in turns for item in turn.output if item.get("id")}
    said = (item for turn in turns for item in turn.own if item.get("id") not in by_vendor)
    return first_of(object_in(item, "previous_response_id") for item in said)


def _listed(turns: Sequence[_Turn]) -> list[tuple[str, Item]]:
    """Return all items with ids, of which no two are the same."""
    found: dict[str, Item] = {}
    for turn in turns:
        for place, item in enumerate(turn.items):
            id_ = item.get("id")
            found[id_ if id_ and id_ not in found else f"item_{turn.id}_{place}"] = item
    return list(found.items())


def _by_id(turns: Sequence[_Turn]) -> dict[str, Item]:
    """Return what models said by its id; of several with the same one, the newest."""
    return {item["id"]: item for turn in turns for item in turn.output if item.get("id")}


def _meant(item: Item, known: Mapping[str, Item], path: str) -> Item:
    """Return the item itself, or the one that it refers to. Raises InvalidRequest if that does not exist."""
    if item.get("type") != "item_reference":
        return item
    id_ = item.get("id") or ""
    if id_ not in known:
        message = f"{path}: Item with id '{id_[:100]}' not found; send the item itself"
        raise InvalidRequest(message, param=path, code="item_not_found", status=404)
    return known[id_]


def _written_out(item: Item) -> Item:
    """Return an item without short forms: a text in the place of parts, a message without its type."""
    if type_of(item) != "message":
        return item
    content = item.get("content")
    if isinstance(content, str):
        part: dict[str, Any] = {"type": "input_text", "text": content}
        if item["role"] == "assistant":
            part = {"type": "output_text", "text": content, "annotations": []}
        content = [part]
    return {**item, "type": "message", "content": content}
