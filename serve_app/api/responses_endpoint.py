"""`POST /v1/responses`: like every endpoint of models, and its conversations go on from stored responses."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from serve_app.api.asgi import Scope, Send
from serve_app.api.auth import Keyring
from serve_app.api.intake import Intake
from serve_app.api.model_endpoint import ModelEndpoint, new_request_id
from serve_app.caller import Caller
from serve_app.config.data_policy import DataPolicy
from serve_app.formats.openai_responses.format import OPENAI_RESPONSES
from serve_app.formats.openai_responses.history import (
    Conversation,
    begun,
    continued,
    references_in,
    wants_store,
)
from serve_app.formats.openai_responses.request import parsed_fields
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.gateway.running_gateway import RunningGateway
from serve_app.gateway.stored_responses import Keeping

RESPONSES = "/v1/responses"


class ResponsesEndpoint(ModelEndpoint):
    """The endpoint of Responses."""

    def __init__(self, running: RunningGateway, keyring: Keyring, intake: Intake) -> None:
        super().__init__(running, keyring, intake, OPENAI_RESPONSES, Operation.CHAT)
        self._stored = running.stored_responses
        self._local_only = running.settings.routing.data_policy is DataPolicy.LOCAL

    async def _respond(self, scope: Scope, raw: bytes, caller: Caller, send: Send) -> None:
        head = self._head(scope)
        body = await self._intake.parsed(parsed_fields, raw)
        previous_id = body.get("previous_response_id")
        history = () if previous_id is None else await self._stored.history(caller, previous_id)
        refers = self._stored.is_on and b"item_reference" in raw
        references = references_in(body) if refers else ()
        referred = await self._stored.referred(caller, references) if references else ()
        size = sum(stored.size for stored in (*history, *referred))
        with self._intake.holding(caller, size):
            if previous_id is None and not references:
                conversation = await self._intake.parsed(partial(begun, body=body), raw)
            else:
                conversation = await self._intake.parsed(
                    lambda _: continued(body, history, referred), raw, size
                )
            request = self._request(head, conversation.content, caller)
            keeping = self._keeping(request, body, conversation)
            if keeping is None:
                await self._serve(request, send)
            elif request.streams:
                stream = await self._gateway.stream(request)
                await self._send_stream(self._stored.streamed(stream, keeping), request, send)
            else:
                response = await self._gateway.answer(request)
                await self._send_whole(await self._stored.whole(response, keeping), request, send)

    def _keeping(
        self, request: GatewayRequest, body: Mapping[str, Any], conversation: Conversation
    ) -> Keeping | None:
        """Return how the answer is named and kept; None: it goes to the caller as it is."""
        keeps = wants_store(body) and self._stored.is_on
        previous_id = body.get("previous_response_id")
        if not keeps and previous_id is None and not body.get("store"):
            return None
        return Keeping(
            request_id=request.id,
            response_id=f"resp_{new_request_id()}",
            tenant=request.caller.tenant,
            previous_id=previous_id,
            own_input=conversation.own_input if keeps else None,
            local_only=conversation.content.wishes.local_only
            or request.caller.local_only
            or self._local_only,
        )
