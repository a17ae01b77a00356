"""`POST /v1/messages/count_tokens`: the length of a prompt, as its vendor counts it, or estimated."""

import orjson

from serve_app.api.asgi import CallerGone, Headers, Receive, Scope, Send, send_answer
from serve_app.api.auth import Keyring
from serve_app.api.errors import error_headers
from serve_app.api.intake import Intake
from serve_app.api.model_endpoint import format_headers, request_id_of
from serve_app.errors import GatewayError
from serve_app.formats.anthropic_messages.format import ANTHROPIC_MESSAGES
from serve_app.formats.anthropic_messages.request import read_prompt
from serve_app.gateway.gateway import Gateway
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.routing.target import Target

COUNT_TOKENS = "/v1/messages/count_tokens"

HOW = b"x-sekha-token-count"

PER_IMAGE = 1600  # tokens of a picture of 1092 by 1092, the largest that Claude does not scale down


class TokenCountEndpoint:
    """
    Returns the vendor's count, where the model's vendor has one; else an estimate, at four bytes per token
    and a fixed number per image.

    Nothing is spent. The caller must be allowed to use the model.
    """

    def __init__(self, gateway: Gateway, keyring: Keyring, intake: Intake) -> None:
        self._gateway = gateway
        self._keyring = keyring
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = await self._keyring.model_caller(scope)
            async with self._intake.body(scope, receive, caller) as raw:
                wire, id_ = ANTHROPIC_MESSAGES, request_id_of(scope)
                content = await self._intake.parsed(read_prompt, raw)
                headers = format_headers(scope, wire.name)
                counted = await self._gateway.count_tokens(
                    GatewayRequest(id_, Operation.ROUTE, content, caller, format=wire, headers=headers)
                )
                if counted.exact is not None:
                    await send_answer(send, 200, counted.exact, _headers(b"exact", counted.target))
                    return
                tokens = content.input_tokens + PER_IMAGE * content.images
                body = orjson.dumps({"input_tokens": tokens})
                await send_answer(send, 200, body, [(HOW, b"estimated")])
        except GatewayError as error:
            await send_answer(send, error.status, ANTHROPIC_MESSAGES.error(error), error_headers(error))
        except CallerGone:
            return


def _headers(how: bytes, target: Target) -> Headers:
    return [
        (HOW, how),
        (b"x-sekha-provider", target.provider_id.encode()),
        (b"x-sekha-model", target.model_id.encode()),
    ]
