"""An engine for a local model, in tests: it has the scripted upstream answer, and says it as vLLM's would."""

import json
from typing import Any

import aiohttp

from serve_app.providers.vllm_engine import Said


class HttpEngine:
    """
    Asks over HTTP, and gives the bytes as they come; closed, it closes the connection.

    What the upstream refuses is one error object with the HTTP status as its code, as vLLM has it: an engine
    has neither a status nor headers. An upstream that breaks the connection is an engine that has died.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def chat(self, fields: dict[str, Any], request_id: str) -> Said:
        return self._asked("/v1/chat/completions", fields)

    def embed(self, fields: dict[str, Any], request_id: str) -> Said:
        return self._asked("/v1/embeddings", fields)

    async def check(self) -> None:
        asking = aiohttp.ClientSession(raise_for_status=True)
        async with asking, asking.get(f"{self._url}/v1/models") as response:
            await response.json()

    async def _asked(self, path: str, fields: dict[str, Any]) -> Said:
        asking = aiohttp.ClientSession()
        async with asking, asking.post(self._url + path, json=fields) as response:
            if response.status != 200:
                told = await response.json()
                told["error"]["code"] = response.status
                yield json.dumps(told).encode()
            elif fields.get("stream") and response.content_type == "text/event-stream":
                async for piece in response.content.iter_any():
                    yield piece
            else:
                yield await response.read()
