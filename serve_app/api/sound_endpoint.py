"""Endpoints whose answers are sound, sent on as it comes."""

from contextlib import aclosing

from serve_app.api.asgi import AnswerCutShort, Send
from serve_app.api.model_endpoint import ModelEndpoint, routed_headers
from serve_app.errors import GatewayError
from serve_app.gateway.request import GatewayRequest

UNNAMED = "application/octet-stream"  # what an answer without a type is called


class SoundEndpoint(ModelEndpoint):
    """An endpoint that models answer with sound."""

    async def _serve(self, request: GatewayRequest, send: Send) -> None:
        """
        Forward the sound as it comes. One cut short breaks the connection: there is no place in it for an
        error, and an end would make it look whole.
        """
        stream = await self._gateway.stream(request)
        headers = routed_headers(stream.routed) if stream.routed else []
        headers.append((b"content-type", (stream.content_type or UNNAMED).encode("latin-1")))
        async with aclosing(stream):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for item in stream:
                if isinstance(item, bytes):
                    await send({"type": "http.response.body", "body": item, "more_body": True})
                elif isinstance(item, GatewayError):
                    raise AnswerCutShort(item.code)
        await send({"type": "http.response.body", "body": b""})
