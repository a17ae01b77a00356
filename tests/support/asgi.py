"""
Requests handed to the whole application as Serve hands them over, over an upstream that keeps what it sees.

Here a header may be any bytes, of any name, any number of times: no client stands between.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from serve_app.api.app import build_api
from serve_app.api.asgi import Headers
from serve_app.api.auth import Keyring
from serve_app.observability.metrics import exposition
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.http.provider import HttpProvider
from tests.support.clock import FakeClock
from tests.support.harness import Harness
from tests.support.settings import two_providers

OURS = "sk-the-gateways-own-key"  # which the upstream is shown


@dataclass(frozen=True)
class Question:
    """One request, as a server hands it over."""

    method: str
    path: str
    headers: Headers
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


class Upstream:
    """Answers whatever it is asked, and keeps what it has seen."""

    def __init__(self) -> None:
        self.seen: list[tuple[Mapping[str, str], bytes]] = []
        self.url = ""

    async def open(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.method == "GET":
            return web.json_response({"data": []})
        self.seen.append((request.headers, body))
        if request.path.endswith("embeddings"):
            return web.json_response(
                {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1}}
            )
        if json.loads(body).get("stream"):
            said = {"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}
            text = f"data: {json.dumps({'choices': [said]})}\n\ndata: [DONE]\n\n"
            return web.Response(text=text, content_type="text/event-stream")
        said = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        return web.json_response({"choices": [said], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


def with_request_id(app: Any) -> Any:
    """The application behind what Serve puts in front: the first id counts, and comes back as it was sent."""

    async def told(scope: Any, receive: Any, send: Any) -> None:
        given = [value for name, value in scope["headers"] if name == b"x-request-id"] or [b"of-serve"]
        pairs = [*scope["headers"]] + ([(b"x-request-id", b"of-serve")] if given == [b"of-serve"] else [])

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-request-id", given[0])]}
            await send(message)

        await app({**scope, "headers": pairs}, receive, sent)

    return told


@dataclass
class Answered:
    """What came back."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    is_whole: bool = False

    def take(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            assert not self.status
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")
            self.is_whole = not message.get("more_body", False)


class RunningClock(FakeClock):
    """The test says what time it is; spans pass as they do, because the network under it waits for real."""

    def monotonic(self) -> float:
        return time.monotonic()


class Running:
    """One gateway of two providers, with these keys, hosts and pages."""

    def __init__(
        self, upstream: Upstream, auth: dict[str, Any], router: dict[str, Any], now: float = 1e6
    ) -> None:
        self.clock, self.upstream = RunningClock(now), upstream
        vendor = {"type": "openai_compatible", "base_url": upstream.url, "api_key": OURS}
        configured = two_providers(vendor, auth=auth, router=router)
        row = VENDORS["openai_compatible"]
        self._providers: Any = {
            p.id: HttpProvider(p, row, OURS, self.clock) for p in configured.llm_providers
        }
        self.harness = Harness(configured, self._providers, self.clock)
        self.keys = Keyring.of(configured, {}, self.clock)
        app = build_api(self.harness.running, self.keys, exposition)
        self.app = with_request_id(app)

    async def open(self) -> None:
        await self.harness.open()
        self.keys.take(self.harness.control.runtime_config)

    async def close(self) -> None:
        for provider in self._providers.values():
            await provider.aclose()

    async def asked(self, question: Question) -> Answered:
        """The answer; a TimeoutError when there is none within a time that no request here takes."""
        self.clock.advance(3600)
        self.harness.events.clear()
        self.upstream.seen.clear()
        answered = Answered()
        messages = [{"type": "http.request", "body": question.body, "more_body": False}]

        async def receive() -> Any:
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            answered.take(message)

        path = question.path
        scope = {
            "type": "http", "method": question.method, "path": path, "raw_path": path.encode(),
            "root_path": "", "query_string": b"", "headers": question.headers, "scheme": "http",
            "client": ("10.0.0.1", 1), "server": ("localhost", 80), "http_version": "1.1",
            "asgi": {"version": "3.0"},
        }  # fmt: skip
        async with asyncio.timeout(30):
            await self.app(scope, receive, send)
        return answered
