"""The guard in front of FastAPI: keys before bodies, and bounds on them."""

from fastapi import FastAPI

from serve_app.api.asgi import (
    JSON,
    CallerGone,
    Message,
    Receive,
    Scope,
    Send,
    path_within,
    send_answer,
)
from serve_app.api.auth import Keyring
from serve_app.api.errors import error_headers
from serve_app.api.exception_handlers import error_body
from serve_app.api.intake import Intake
from serve_app.api.unknown_path import hint_for
from serve_app.caller import ANYONE
from serve_app.errors import GatewayError
from serve_app.formats.json_body import BOM, parse_json

SMALL_BODY = 1_000_000  # bytes; more than any endpoint but the hot ones needs


class Guarded:
    """
    A guard in front of FastAPI, which would read a whole body before it checks the key.

    The routes check the key themselves, on the route that matched; the guard only refuses early, and limits
    the size of bodies. A body is JSON, whatever its content type says: curl declares a form.
    """

    def __init__(self, app: FastAPI, keyring: Keyring, public: frozenset[str], intake: Intake) -> None:
        self._app = app
        self._keyring = keyring
        self._public = public
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            caller = ANYONE
            if path_within(scope) not in self._public:
                caller = await self._keyring.caller(scope)
            if hint_for(path_within(scope)) is not None:  # nothing there takes a body: it is not read
                await self._app(scope, _replayed(b"", receive), watched)
                return
            async with self._intake.body(scope, receive, caller, SMALL_BODY) as raw:
                body = raw.removeprefix(BOM)
                if body:
                    parse_json(body)
                    _call_json(scope)
                await self._app(scope, _replayed(body, receive), watched)
        except GatewayError as error:
            if begun:
                raise
            await send_answer(send, error.status, error_body(scope, error), error_headers(error))
        except CallerGone:
            return


def _call_json(scope: Scope) -> None:
    """Set the headers of a request to those of its unpacked body: plain JSON."""
    replaced = (b"content-type", b"content-encoding", b"content-length")
    scope["headers"] = [*(pair for pair in scope["headers"] if pair[0] not in replaced), JSON]


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that begins with the body that was already read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
