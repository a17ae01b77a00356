"""Endpoints whose requests are forms with files."""

from typing import cast

from serve_app.api.asgi import Receive, Scope, Send
from serve_app.api.model_endpoint import ModelEndpoint
from serve_app.caller import Caller
from serve_app.formats.base import FormFormat
from serve_app.gateway.request import Content


class FormEndpoint(ModelEndpoint):
    """An endpoint that models answer, and that takes a form; its files last until the answer was sent."""

    async def _receive(self, scope: Scope, receive: Receive, caller: Caller, send: Send) -> None:
        head = self._head(scope)  # before a file is read in vain
        wire = cast(FormFormat[Content], self._format)
        async with self._intake.form(scope, receive, caller) as form:
            content = await self._intake.read_aside(wire.parse_form, form)
            await self._serve(self._request(head, content, caller), send)
