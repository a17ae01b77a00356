"""
Responses that are kept for callers, around the answers of a gateway.

A request that goes on from a response makes one call of the store before it is planned, and one that lets its
response be kept makes one after the answer, before the caller gets its end. No other request makes any.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar

from serve_app.caller import Caller
from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.control.control_cache import ControlCache
from serve_app.control.protocol import ControlUnreachable
from serve_app.errors import GatewayUnavailable, InvalidRequest
from serve_app.events import Listener, NotKept, ResponseNotKept
from serve_app.formats.json_objects import as_json
from serve_app.formats.openai_responses.events import event_of
from serve_app.formats.openai_responses.history import (
    can_be_kept,
    history_in,
    is_too_large,
    item_ids,
    not_found,
    stored_json,
)
from serve_app.formats.openai_responses.kept_stream import KeptStream
from serve_app.formats.upstream_json import answer_in
from serve_app.gateway.response import Items, Response, ResponseStream
from serve_app.gateway.routing_info import RoutingInfo
from serve_app.ledger.store import StoreUnavailable
from serve_app.limits.limit import DAY_S
from serve_app.response_store.stored_response import MOST_BYTES, Chain, StoredResponse

KEPT_WITHIN_S = 2.0  # then the answer ends without it
RETRY_AFTER_S = 1.0

_ID = re.compile(r"resp_[0-9a-f]{32}")  # as they are made here

T = TypeVar("T")

log = logging.getLogger("sekha.gateway")


class Keeping(NamedTuple):
    """
    The id under which the answer of one request is kept, and the way it is kept.

    Fields:
        request_id: the request's id, for the log.
        response_id: the id of the response.
        tenant: the tenant whose callers may read it.
        previous_id: the response that it goes on from; None: it begins a conversation.
        own_input: the JSON of the request's own items; None: nothing is kept.
        local_only: the request asked that its data stays on local machines.
    """

    request_id: str
    response_id: str
    tenant: str
    previous_id: str | None
    own_input: bytes | None
    local_only: bool

    def members(self, is_kept: bool) -> dict[str, Any]:
        """Return what the response says of itself."""
        return {
            "id": self.response_id,
            "store": is_kept,
            "previous_response_id": self.previous_id,
        }


class StoredResponses:
    """
    The stored responses of one gateway.

    Args:
        settings: the configuration.
        control: this router's view of the control plane, which owns the store.
        clock: the source of time.
        tell: receives an event for each response that could not be kept.
    """

    def __init__(self, settings: Settings, control: ControlCache, clock: Clock, tell: Listener) -> None:
        self._control = control
        self._clock = clock
        self._tell = tell
        self._retention_s = settings.responses.retention_days * DAY_S

    @property
    def is_on(self) -> bool:
        """Return whether responses are kept at all."""
        return self._retention_s > 0

    async def history(self, caller: Caller, previous_id: str) -> tuple[StoredResponse, ...]:
        """
        Return the responses that a request goes on from, the oldest first.

        Raises:
            InvalidRequest: 404, one of them does not exist for this caller; 400, they are too many or too
                large, or storing is switched off.
            GatewayUnavailable: the store does not answer.
        """
        if not self.is_on:
            raise InvalidRequest(
                "previous_response_id: responses are not stored on this gateway "
                "(responses.retention_days is 0); send the conversation in 'input'",
                param="previous_response_id",
                code="unsupported_parameter",
            )
        if _ID.fullmatch(previous_id) is None:
            raise not_found(previous_id, previous_id)
        call = self._control.control_plane.response_chain(caller.tenant, previous_id)
        return tuple(history_in(await _answered(call), previous_id))

    async def referred(self, caller: Caller, ids: Sequence[str]) -> tuple[StoredResponse, ...]:
        """
        Return the responses that hold the items that a request refers to; an item may be in none.

        Raises:
            InvalidRequest: 400, the responses are too large together.
            GatewayUnavailable: the store does not answer.
        """
        found = await _answered(self._control.control_plane.responses_with_items(caller.tenant, ids))
        if found.is_too_long:
            raise InvalidRequest(
                "input: the responses with these items are too large together; send the items themselves",
                param="input",
                code="conversation_too_long",
            )
        return found.responses

    async def response(self, caller: Caller, response_id: str) -> StoredResponse:
        """
        Return a response.

        Raises:
            InvalidRequest: 404, it does not exist for this caller.
            GatewayUnavailable: the store does not answer.
        """
        found = None
        if _ID.fullmatch(response_id) is not None:
            found = await _answered(self._control.control_plane.stored_response(caller.tenant, response_id))
        if found is None:
            raise _unknown(response_id)
        return found

    async def chain(self, caller: Caller, response_id: str) -> tuple[StoredResponse, ...]:
        """
        Return a response after all that it goes on from.

        Raises:
            InvalidRequest: 404, it does not exist for this caller, or one that it goes on from does not.
            GatewayUnavailable: the store does not answer.
        """
        chain = Chain(missing=response_id)
        if _ID.fullmatch(response_id) is not None:
            chain = await _answered(self._control.control_plane.response_chain(caller.tenant, response_id))
        if chain.missing == response_id:
            raise _unknown(response_id)
        return tuple(history_in(chain, response_id))

    async def delete(self, caller: Caller, response_id: str) -> None:
        """
        Delete a response.

        Raises:
            InvalidRequest: 404, it does not exist for this caller.
            GatewayUnavailable: the store does not answer.
        """
        is_there = False
        if _ID.fullmatch(response_id) is not None:
            is_there = await _answered(
                self._control.control_plane.delete_response(caller.tenant, response_id)
            )
        if not is_there:
            raise _unknown(response_id)

    async def whole(self, response: Response, keeping: Keeping) -> Response:
        """Return an answer as its caller gets it, and keep it if it may be kept."""
        answer = answer_in(response.body)
        if not answer:
            self._not_kept(keeping, NotKept.NOT_A_RESPONSE)
            return response
        told = await self._told(answer, keeping, response.routed)
        return Response(as_json(told), response.routed)

    def streamed(self, stream: ResponseStream, keeping: Keeping) -> ResponseStream:
        """Return a stream as its caller gets it; before its last event the response is kept."""
        may_be_kept = keeping.own_input is not None and not is_too_large(keeping.own_input)
        kept = KeptStream(keeping.members(may_be_kept), MOST_BYTES)

        async def items() -> Items:
            async with aclosing(stream):
                async for item in stream:
                    passed_on.routed = stream.routed
                    if not isinstance(item, bytes):
                        yield item
                        continue
                    before, last, after = kept.feed(item)
                    if before:
                        yield before
                    if last is not None:
                        yield await self._last_event(kept, last, keeping, stream.routed)
                    if after:
                        yield after

        passed_on = ResponseStream(stream.routed, items(), stream.aclose)
        return passed_on

    async def _last_event(
        self, kept: KeptStream, last: Mapping[str, Any], keeping: Keeping, routed: RoutingInfo | None
    ) -> bytes:
        if keeping.own_input is None:
            return event_of(kept.renamed(last))
        if kept.is_too_large:
            self._not_kept(keeping, NotKept.TOO_LARGE)
            return event_of(kept.renamed(last, store=False))
        told = await self._told(kept.whole(last), keeping, routed)
        return event_of(kept.renamed(last, store=told["store"]))

    async def _told(
        self, answer: Mapping[str, Any], keeping: Keeping, routed: RoutingInfo | None
    ) -> dict[str, Any]:
        """Return the response with what it says of itself; it says that it is kept only if it is."""
        told = {**answer, **keeping.members(is_kept=True)}
        if keeping.own_input is None or answer.get("status") == "failed":
            return {**told, "store": False}
        if not can_be_kept(answer):
            self._not_kept(keeping, NotKept.NOT_A_RESPONSE)
            return {**told, "store": False}
        response = stored_json(told)
        if is_too_large(keeping.own_input, response):
            self._not_kept(keeping, NotKept.TOO_LARGE)
            return {**told, "store": False}
        now = self._clock.now()
        local_only = keeping.local_only or (routed is not None and routed.local_only)
        stored = StoredResponse(
            keeping.response_id,
            keeping.tenant,
            now,
            now + self._retention_s,
            keeping.previous_id,
            local_only,
            keeping.own_input,
            response,
        )
        is_kept = await self._put(stored, item_ids(answer), keeping)
        return told if is_kept else {**told, "store": False}

    async def _put(self, stored: StoredResponse, items: Sequence[str], keeping: Keeping) -> bool:
        """Keep a response; return whether it is. The answer is paid for, so no failure may end it."""
        try:
            async with asyncio.timeout(KEPT_WITHIN_S):
                await self._control.control_plane.store_response(stored, items)
        except (ControlUnreachable, StoreUnavailable, TimeoutError) as error:
            log.warning("request %s: the store does not keep its response: %s", keeping.request_id, error)
        except Exception:
            log.exception("request %s: our code failed to keep its response", keeping.request_id)
        else:
            return True
        self._not_kept(keeping, NotKept.STORE_UNAVAILABLE)
        return False

    def _not_kept(self, keeping: Keeping, reason: NotKept) -> None:
        if keeping.own_input is not None:
            self._tell(ResponseNotKept(keeping.request_id, reason))


async def _answered(call: Awaitable[T]) -> T:
    """Return what the store answers. Raises GatewayUnavailable (503) if it does not."""
    try:
        return await call
    except ControlUnreachable as error:
        raise GatewayUnavailable(f"The control actor does not answer: {error}", RETRY_AFTER_S) from error
    except StoreUnavailable as error:
        raise GatewayUnavailable(f"The store does not answer: {error}", RETRY_AFTER_S) from error


def _unknown(response_id: str) -> InvalidRequest:
    return InvalidRequest(
        f"Response with id '{response_id[:100]}' not found", code="response_not_found", status=404
    )
