"""
Responses that the gateway keeps, so that a request can go on from one by `previous_response_id`.

Vendors are asked to keep nothing (`store: false`), because all callers share the operator's account there: a
request gets the whole history into its `input` before it is parsed. A stored response belongs to its tenant.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.openai_responses.items import Item, items_of
from serve_app.formats.upstream_json import answer_in

MOST_TURNS = 500  # responses that one request can go on from
MOST_BYTES = 8_000_000  # of one stored response, with its input
MOST_HISTORY_BYTES = 32_000_000  # of all responses that a request goes on from
MOST_LISTED = 100  # items on a page
LISTED = 20  # items on a page where the caller asks for no number

_ENCRYPTED = "reasoning.encrypted_content"


class StoredResponse(NamedTuple):
    """
    A response that was kept, with what it answers.

    Fields:
        id: the response's id, which is unique within the tenant.
        tenant: the tenant whose callers may read it.
        caller: the caller who asked.
        created_at: when it was kept, in seconds since 1970.
        expires_at: when it is deleted, in seconds since 1970.
        previous_id: the stored response that it goes on from; None: it begins a conversation.
        input: the JSON of its own input items, without those of the responses before.
        response: the JSON of the response.
    """

    id: str
    tenant: str
    caller: str
    created_at: float
    expires_at: float
    previous_id: str | None
    input: bytes
    response: bytes


class ResponseStore(Protocol):
    """Where responses are kept."""

    async def get(self, tenant: str, response_id: str) -> StoredResponse | None:
        """Return a tenant's response; None without one of this id."""

    async def put(self, stored: StoredResponse) -> None:
        """Keep a response; one that the tenant has under the same id is replaced."""

    async def delete(self, tenant: str, response_id: str) -> bool:
        """Delete a tenant's response; return whether there was one."""

    async def purge(self, now: float) -> int:
        """Delete what has expired by now; return how many responses that were."""


def wants_store(request: Mapping[str, Any]) -> bool:
    """Return whether a request lets its response be kept, which is the default of this API."""
    return request.get("store") is not False


async def history_of(
    request: Mapping[str, Any], store: ResponseStore, tenant: str, now: float
) -> list[StoredResponse]:
    """
    Return the responses that a request goes on from, the oldest first.

    Args:
        request: the body, parsed.
        store: where responses are kept.
        tenant: the caller's tenant.
        now: in seconds since 1970; what has expired by then does not exist.

    Raises:
        InvalidRequest: 400, one of them is not there, or they are too many or too large.
    """
    found: list[StoredResponse] = []
    size = 0
    wanted = request.get("previous_response_id")
    while isinstance(wanted, str):
        stored = await store.get(tenant, wanted)
        if stored is None or stored.expires_at <= now:
            message = f"no stored response '{wanted[:100]}' was found; send the conversation in 'input'"
            raise _wrong(message, "previous_response_not_found")
        found.append(stored)
        size += len(stored.input) + len(stored.response)
        if len(found) > MOST_TURNS or size > MOST_HISTORY_BYTES:
            message = "the conversation is too long to go on from; send what matters of it in 'input'"
            raise _wrong(message, "conversation_too_long")
        wanted = stored.previous_id
    return found[::-1]


def expanded(request: Mapping[str, Any], history: Sequence[StoredResponse]) -> dict[str, Any]:
    """
    Return a request with its history in its input, which asks the vendor to keep nothing.

    References to items of the history are replaced by the items. Instructions are those of the request alone,
    as this API has it. Reasoning is asked for in the encrypted form, since no vendor keeps it.

    Args:
        request: the body, parsed.
        history: the responses that it goes on from, the oldest first.

    Raises:
        InvalidField: 422, the input is missing or of the wrong kind.
        InvalidRequest: 400, an item is not what it must be.
    """
    body = {**request, "store": False}
    if history:
        del body["previous_response_id"]
    if history or isinstance(request.get("input"), list):
        body["input"] = _resolved([*_items_of(history), *items_of(request)])
    include = request.get("include") or []
    if (wants_store(request) or history) and isinstance(include, list) and _ENCRYPTED not in include:
        body["include"] = [*include, _ENCRYPTED]
    return body


def kept(
    request: Mapping[str, Any], response: bytes, tenant: str, caller: str, now: float, lifetime_s: float
) -> StoredResponse | None:
    """
    Return what is kept of an answer; None where nothing is.

    Nothing is kept where the caller forbids it, of a response that failed, and of one that is too large.

    Args:
        request: the caller's body, parsed, before it was expanded.
        response: the whole response, in JSON.
        tenant: the caller's tenant.
        caller: the caller.
        now: in seconds since 1970.
        lifetime_s: how long it is kept.
    """
    if not wants_store(request):
        return None
    answer = answer_in(response)
    id_ = answer.get("id")
    previous = request.get("previous_response_id")
    own = dumps(items_of(request))
    is_whole = answer.get("status") in ("completed", "incomplete")
    if not isinstance(id_, str) or not is_whole or len(own) + len(response) > MOST_BYTES:
        return None
    told = dumps({**answer, "store": True, "previous_response_id": previous})
    return StoredResponse(id_, tenant, caller, now, now + lifetime_s, previous, own, told)


def input_page(history: Sequence[StoredResponse], query: Mapping[str, str]) -> dict[str, Any]:
    """
    Return a page of the input items of a stored response, the newest first unless the caller asks otherwise.

    Args:
        history: the response, after those that it goes on from.
        query: `limit`, `order` (asc, desc) and `after`, the id of the last item on the page before.

    Raises:
        InvalidRequest: 400, the query is malformed.
    """
    *before, last = history
    items = _resolved([*_items_of(before), *loads(last.input)])
    items = [_with_id(item, last.id, place) for place, item in enumerate(items)]
    order, limit, after = query.get("order", "desc"), query.get("limit", str(LISTED)), query.get("after")
    if order not in ("asc", "desc"):
        raise _wrong("should be asc or desc", "invalid_value", "order")
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:10]) <= MOST_LISTED):
        raise _wrong(f"should be a number from 1 to {MOST_LISTED}", "invalid_value", "limit")
    if order == "desc":
        items.reverse()
    if after is not None:
        place = next((n for n, item in enumerate(items) if item["id"] == after), None)
        if place is None:
            raise _wrong(f"there is no item '{after[:100]}'", "invalid_value", "after")
        items = items[place + 1 :]
    page = items[: int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > len(page),
    }


def _items_of(history: Sequence[StoredResponse]) -> list[Item]:
    """Return what was said so far: by the caller, and by the model."""
    return [item for stored in history for item in (*loads(stored.input), *_output_of(stored))]


def _resolved(items: Sequence[Item]) -> list[Item]:
    """Return the items, with each reference to one before it replaced by that one."""
    known: dict[str, Item] = {}
    found = []
    for given in items:
        id_ = given.get("id")
        item = given
        if isinstance(id_, str):
            item = known.get(id_, given) if given.get("type") == "item_reference" else given
            known[id_] = item
        found.append(item)
    return found


def _output_of(stored: StoredResponse) -> list[Item]:
    """Return what a response said, but for thoughts that only the vendor that kept nothing could read."""
    output = loads(stored.response).get("output")
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    return [item for item in items if item.get("type") != "reasoning" or item.get("encrypted_content")]


def _with_id(item: Item, response_id: str, place: int) -> Item:
    """Return an item with an id; callers may leave it out."""
    return item if isinstance(item.get("id"), str) else {**item, "id": f"item_{response_id}_{place}"}


def _wrong(message: str, code: str, param: str = "previous_response_id") -> InvalidRequest:
    return InvalidRequest(f"{param}: {message}", param=param, code=code)
