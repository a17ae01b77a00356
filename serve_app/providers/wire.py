"""
Any OpenAI-compatible upstream, over one pooled HTTP session.

Answers and streams are passed on as the bytes they came in; what is read on the way is whether they are
whole, and what they used.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.providers.base import Answer, Call, Health, StreamEnd, StreamHead, StreamItem
from serve_app.providers.bodies import (
    ask_for_stream,
    ask_for_whole,
    chars_in,
    choices_in,
    fields_of,
    usage_in,
)
from serve_app.providers.catalogue import Vendor
from serve_app.providers.frames import ChatFrames
from serve_app.providers.keys import missing_key
from serve_app.providers.probe import listed_models, look
from serve_app.providers.wire_failures import (
    NETWORK,
    broken,
    failure_of_error,
    failure_of_exception,
    failure_of_response,
)

KEEPALIVE_S = 60.0  # how long an idle connection is kept for the next request
LAST_WORDS_S = 0.05  # how long to wait for the end after [DONE], so that the connection can be used again
CHARS_PER_CHUNK = 4  # a chunk is about one token, and a token about four characters

_VERSION = re.compile(r"/v\d+(alpha|beta)?\d*$")


def versioned(base_url: str) -> str:
    """The address that paths are appended to: `/v1` is added unless the path ends in a version already."""
    base_url = base_url.rstrip("/")
    return base_url if _VERSION.search(urlsplit(base_url).path) else f"{base_url}/v1"


@dataclass(slots=True)
class _Opened:
    """A stream of which the first chunk has arrived."""

    response: aiohttp.ClientResponse
    frames: ChatFrames
    first: bytes


class WireProvider:
    """Speaks OpenAI's words to one upstream; the session opens with the first call."""

    def __init__(self, config: ProviderConfig, vendor: Vendor, api_key: str | None, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._base_url = versioned(config.base_url or vendor.base_url or "")
        self._api_key = api_key
        self._missing_key = missing_key(config, vendor, api_key)
        self._session: aiohttp.ClientSession | None = None

    async def chat(self, call: Call) -> Answer | UpstreamError:
        fields = fields_of(call)
        ask_for_whole(fields)
        return await self._whole("/chat/completions", call, fields, must_have="choices")

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self._whole("/embeddings", call, fields_of(call), must_have="data")

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        """
        A chat completion in blocks of whole frames.

        `call.timeout_s` bounds the time to the first chunk; after that the provider's `timeout` bounds every
        silence. Closing the generator closes the connection at once, and the upstream stops working.
        """
        started = self._clock.monotonic()
        opened = await self._open(call)
        if isinstance(opened, UpstreamError):
            yield opened
            return
        try:
            yield StreamHead(self._since(started))
            yield opened.first
            while block := await self._more(opened):
                yield block
            yield self._last_item(opened.frames, started)
        finally:
            opened.response.close()

    async def health(self) -> Health:
        return await look(self._config, self._clock, self._missing_key, self._models)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # One request, one whole answer

    async def _whole(
        self, path: str, call: Call, fields: dict[str, Any], must_have: str
    ) -> Answer | UpstreamError:
        if self._missing_key is not None:
            return self._keyless()
        started = self._clock.monotonic()
        try:
            async with self._post(path, call, fields, total_s=call.timeout_s) as response:
                body = await response.read()
        except NETWORK as error:
            return failure_of_exception(error, self._config.id)
        if response.status != 200:
            return self._refusal(response, body)
        return self._checked(body, must_have, self._since(started))

    def _checked(self, body: bytes, must_have: str, upstream_s: float) -> Answer | UpstreamError:
        """The answer, when it is one: proxies in between answer 200 with a web page, or with nothing."""
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            return broken(self._config.id, "sent an answer that is not JSON", 200)
        if not isinstance(answer, dict):
            return broken(self._config.id, "sent an answer that is not a JSON object", 200)
        if answer.get("error"):
            return failure_of_error(answer["error"], self._config.id, self._api_key)
        if not isinstance(answer.get(must_have), list):
            return broken(self._config.id, f"sent an answer without '{must_have}'", 200)
        usage = usage_in(answer)
        return Answer(body, usage, upstream_s, chars_in(answer) if usage is None else 0)

    # One request, many frames

    async def _open(self, call: Call) -> _Opened | UpstreamError:
        """Wait for the first chunk: until it is there, the request can still go to another target."""
        if self._missing_key is not None:
            return self._keyless()
        fields = fields_of(call)
        ask_for_stream(fields)
        response: aiohttp.ClientResponse | None = None
        opened: _Opened | UpstreamError | None = None
        try:
            async with asyncio.timeout(call.timeout_s):
                response = await self._post("/chat/completions", call, fields, idle_s=self._config.timeout)
                opened = await self._first(response, call, choices_in(fields))
        except NETWORK as error:
            opened = failure_of_exception(error, self._config.id)
        finally:
            if response is not None and not isinstance(opened, _Opened):
                response.close()
        return opened

    async def _first(
        self, response: aiohttp.ClientResponse, call: Call, choices: int
    ) -> _Opened | UpstreamError:
        if response.status != 200:
            return self._refusal(response, await response.read())
        if response.content_type != "text/event-stream":
            return broken(self._config.id, f"sent '{response.content_type}' instead of a stream", 200)
        frames = ChatFrames(self._config.id, call.wants_usage, choices, self._api_key)
        opened = _Opened(response, frames, b"")
        opened.first = await self._more(opened)
        if opened.first:
            return opened
        return frames.failure or broken(self._config.id, "ended its stream before the first token", 200)

    async def _more(self, opened: _Opened) -> bytes:
        """Everything that has arrived since, once there is something to show; empty: that was all."""
        frames, content = opened.frames, opened.response.content
        try:
            while not (frames.is_done or frames.failure):
                data = await content.readany()
                if not data:
                    return frames.end()
                if block := frames.feed(data):
                    return block
            if frames.is_done:
                await _read_to_the_end(content)
        except TimeoutError:
            frames.failure = upstream_error(
                f"Provider '{self._config.id}' fell silent in the middle of its answer",
                self._config.id,
                FailureKind.TIMEOUT,
            )
        except (aiohttp.ClientError, OSError):
            pass  # cut off: whether the answer was whole by then, the frames know
        return b""

    def _last_item(self, frames: ChatFrames, started: float) -> StreamEnd | UpstreamError:
        if frames.failure is not None:
            return frames.failure
        if not frames.is_complete:
            return broken(self._config.id, "was cut off in the middle of its answer", 200)
        return StreamEnd(frames.usage, self._since(started), frames.count * CHARS_PER_CHUNK)

    # The connection

    def _post(
        self,
        path: str,
        call: Call,
        fields: dict[str, Any],
        total_s: float | None = None,
        idle_s: float | None = None,
    ) -> Any:
        headers = {"Content-Type": "application/json", **self._authorization()}
        if call.request_id:
            headers["X-Request-Id"] = call.request_id
        return self._opened_session().post(
            self._base_url + path,
            data=orjson.dumps(fields),
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=total_s, connect=self._config.connect_timeout_s, sock_read=idle_s
            ),
        )

    async def _models(self) -> tuple[str, ...] | UpstreamError:
        return await listed_models(
            self._opened_session(),
            f"{self._base_url}/models",
            self._authorization(),
            self._config.id,
            now=self._clock.now(),
            secret=self._api_key,
        )

    def _opened_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes) -> UpstreamError:
        return failure_of_response(
            response.status,
            response.headers,
            body,
            self._config.id,
            now=self._clock.now(),
            secret=self._api_key,
        )

    def _keyless(self) -> UpstreamError:
        return upstream_error(self._missing_key or "", self._config.id, FailureKind.AUTH)

    def _since(self, started: float) -> float:
        return self._clock.monotonic() - started


async def _read_to_the_end(content: aiohttp.StreamReader) -> None:
    """A connection goes back to the pool only when its answer has been read to the end."""
    try:
        async with asyncio.timeout(LAST_WORDS_S):
            while await content.readany():
                pass
    except TimeoutError:
        pass  # the upstream keeps it open; it will be closed instead
