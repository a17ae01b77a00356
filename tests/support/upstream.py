"""
An upstream for tests: a real HTTP server on a loopback port that does what the request tells it to.

It speaks OpenAI (chat, completions, Responses, embeddings, sound), Ollama and Anthropic. A request has its
orders in the last user message, the prompt or the embedding input, as `[[{…}]]`; `upstream.mode` gives the
same orders to every request until `recover()`:

    status, error_code                fail with this HTTP status, with this code in OpenAI's error object
    retry_after · retry_after_date    and a Retry-After in seconds · as a date at least so many seconds ahead
    refuse                            400 in the vendor's own words: context_length, content_filter, prefill
    stall · stall_headers             say nothing at all · send the head of an answer, and then nothing
    late_s                            answer so many seconds late; a stream has sent its head by then
    reset                             break the connection instead of answering
    html · empty · malformed          a web page · no body · broken JSON; in a stream one broken frame
    content_type · oversize           the right answer under a wrong name · so many bytes too long
    chunks, chunk_delay_s             how many pieces a stream has, and the pause before each
    cut_after, stall_after            break a stream after so many pieces, or fall silent; a whole answer
                                      that is not streamed half way through
    stall_s                           a stream that has fallen silent breaks off after so many seconds
    no_prefill                        refuse a conversation that ends with the assistant's own words
    no_done · no_usage                leave out the [DONE], or in other formats the end · never tell the usage
    no_stop                           leave out the `message_stop` after the end
    cached                            in a message: tell so many tokens as read from the cache
    usage                             in a message: tell these numbers of tokens, read and written
    error_after                       an error event after so many pieces
    only_for · only_with              faults only for this model · for a request that has this field; others
                                      get what is no fault
    error_in_answer                   of speech and transcripts: 200, and an error with this code in its place
    bare                              the list of models without OpenAI's envelope around it

With `times` a fault happens only so many times, whichever it is; then the request is answered.
"""

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.utils import formatdate
from itertools import count
from math import ceil
from types import TracebackType
from typing import Any

from aiohttp import BodyPartReader, web

ORDERS = re.compile(r"\[\[(\{.*\})\]\]", re.DOTALL)
ORDERS_GIVEN = web.RequestKey("orders", dict)
OPENAI_TYPE = {401: "authentication_error", 429: "rate_limit_error"}
ANTHROPIC_TYPE = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
SHAPE = frozenset(
    {"late_s", "chunks", "chunk_delay_s", "no_usage", "usage", "cached"}
)  # orders that are no faults


@dataclass(frozen=True)
class Refusal:
    """A 400 as OpenAI and as Anthropic put it."""

    code: str | None
    openai: str
    anthropic: str


REFUSALS = {
    "context_length": Refusal(
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
        "Please reduce the length of the messages.",
        "prompt is too long: 208310 tokens > 200000 maximum",
    ),
    "content_filter": Refusal(
        "content_filter",
        "The response was filtered due to the prompt triggering the content management policy.",
        "Output blocked by content filtering policy",
    ),
    "prefill": Refusal(
        None,
        "Assistant response prefill is not supported by this model.",
        "This model does not support assistant message prefill. "
        "The conversation must end with a user message.",
    ),
}
MP3 = b"\xff\xfb\x90\xc0" + bytes(413)  # one frame of sound
WEB_PAGE = "<html><body>502 Bad Gateway</body></html>"


@dataclass(frozen=True)
class Seen:
    """
    A request as it arrived; header names in lower case.

    `port` tells one connection from another, `at` is when, in seconds on the monotonic clock.
    """

    method: str
    path: str
    headers: dict[str, str]
    json: Any
    port: int
    at: float


class ScriptedUpstream:
    """`with ScriptedUpstream() as upstream:` runs it in a thread of its own; `upstream.url` is where."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Seen] = []
        self.models = ["gpt-4o-mini", "gpt-4o", "text-embedding-3-small"]
        self.mode: dict[str, Any] = {}
        self.models_mode: dict[str, Any] = {}
        self.open_streams = 0
        self.open_requests = 0
        self.url = ""
        self._port = port
        self._server: web.Server | None = None
        self._failed: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._listening = asyncio.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(),), daemon=True
        )

    def recover(self) -> None:
        """Forget all orders that were given to every request, and how often they were carried out."""
        self.mode = {}
        self.models_mode = {}
        self._failed.clear()

    @property
    def last(self) -> Seen:
        return self.requests[-1]

    @property
    def asked(self) -> list[Seen]:
        """The requests for an answer: not those that only look whether it is there."""
        return [seen for seen in self.requests if seen.method == "POST"]

    @property
    def arrived(self) -> list[float]:
        """When each of `asked` came; the distance between two never lies."""
        return [seen.at for seen in self.asked]

    @property
    def open_connections(self) -> set[int]:
        """The callers' ports of all connections, those that rest between two requests included."""
        transports = [handler.transport for handler in self._server.connections] if self._server else []
        return {port_at(transport) for transport in transports if transport is not None}

    def __enter__(self) -> "ScriptedUpstream":
        self._thread.start()
        self._ready.wait(10)
        return self

    async def __aenter__(self) -> "ScriptedUpstream":
        """Run it in the running loop instead, where its time is that of the test."""
        self._serving = asyncio.create_task(self._serve())
        await self._listening.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        await self._serving
        self._loop.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=64 * 1024**2, middlewares=[self._take_down])
        app.router.add_post("/v1/chat/completions", self._openai_chat)
        app.router.add_post("/v1/completions", self._openai_completions)
        app.router.add_post("/v1/responses", self._openai_responses)
        app.router.add_post("/v1/embeddings", self._openai_embeddings)
        app.router.add_post("/v1/rerank", self._rerank)
        app.router.add_post("/v2/rerank", self._rerank)
        app.router.add_post("/v1/audio/speech", self._openai_speech)
        app.router.add_post("/v1/audio/transcriptions", self._openai_transcription)
        app.router.add_post("/v1/audio/translations", self._openai_transcription)
        app.router.add_post("/v1/moderations", self._moderations)
        app.router.add_post("/v1/images/generations", self._images)
        app.router.add_post("/v1/images/edits", self._images)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/messages", self._anthropic_messages)
        app.router.add_post("/v1/messages/count_tokens", self._anthropic_count)
        app.router.add_get("/api/tags", self._ollama_tags)
        app.router.add_post("/api/chat", self._ollama_chat)
        app.router.add_post("/api/embed", self._ollama_embed)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        self._server = runner.server
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        self._listening.set()
        await self._stop.wait()
        await runner.cleanup()

    @web.middleware
    async def _take_down(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Record the request, and do instead of answering what its orders say."""
        at = asyncio.get_running_loop().time()
        body = await body_of(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Seen(request.method, request.path, headers, body, port_of(request), at))
        orders = self._orders(request.path, body)
        request[ORDERS_GIVEN] = orders
        self.open_requests += 1
        try:
            if orders.get("stall"):
                await asyncio.sleep(3600)
            if orders.get("reset") and request.transport is not None:
                request.transport.abort()
                return web.Response()
            if orders.get("stall_headers"):
                kind = "text/event-stream" if (body or {}).get("stream") else "application/json"
                await web.StreamResponse(headers={"Content-Type": kind}).prepare(request)
                await asyncio.sleep(3600)
            if orders.get("no_prefill") and is_prefilled(body or {}):
                orders = {**orders, "refuse": "prefill"}
            answer = self._refusal(request.path, orders) or await handler(request)
            return await self._spoiled(request, orders, answer)
        finally:
            self.open_requests -= 1

    def _orders(self, path: str, body: Any) -> dict[str, Any]:
        if path == "/v1/models":
            return dict(self.models_mode)
        found = ORDERS.search(last_text(body or {}))
        orders = {**self.mode, **(json.loads(found[1]) if found else {})}
        is_spared = "only_with" in orders and orders["only_with"] not in (body or {})
        if is_spared or orders.get("only_for") not in (None, (body or {}).get("model")):
            return {name: value for name, value in orders.items() if name in ("chunks", "chunk_delay_s")}
        if "times" in orders:
            key = json.dumps(orders, sort_keys=True)
            self._failed[key] += 1
            if self._failed[key] > orders["times"]:
                return {name: value for name, value in orders.items() if name in SHAPE}
        return orders

    async def _spoiled(
        self, request: web.Request, orders: dict[str, Any], answer: web.StreamResponse
    ) -> web.StreamResponse:
        """What the orders have against a whole answer; a stream has been sent by now."""
        if not isinstance(answer, web.Response):
            return answer
        await asyncio.sleep(orders.get("late_s", 0))
        answer.body = whole = bytes(answer.body or b"") + b" " * orders.get("oversize", 0)
        answer.content_type = kind = orders.get("content_type", answer.content_type)
        if not orders.keys() & {"cut_after", "stall_after"}:
            return answer
        half = web.StreamResponse(headers={"Content-Type": kind, "Content-Length": str(len(whole))})
        await half.prepare(request)
        await half.write(whole[: len(whole) // 2])
        if "stall_after" in orders:
            await asyncio.sleep(3600)
        if request.transport is not None:
            request.transport.close()
        return half

    def _refusal(self, path: str, orders: dict[str, Any]) -> web.Response | None:
        if orders.get("html"):
            return web.Response(text=WEB_PAGE, content_type="text/html")
        if orders.get("empty"):
            return web.Response(body=b"")
        refusal = REFUSALS.get(orders.get("refuse", ""))
        code = refusal.code if refusal else orders.get("error_code")
        status = orders.get("status") or (400 if refusal or code else 200)
        if status == 200:
            return None
        headers = {"Retry-After": str(orders["retry_after"])} if "retry_after" in orders else {}
        if "retry_after_date" in orders:
            headers["Retry-After"] = http_date(orders["retry_after_date"])
        message = refusal.openai if refusal else f"scripted failure {code or status}"
        if path == "/v1/messages":
            kind = ANTHROPIC_TYPE.get(status, "api_error")
            message = refusal.anthropic if refusal else message
            body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
        elif path.startswith("/api/"):
            body = {"error": message}
        else:
            kind = OPENAI_TYPE.get(status, "server_error" if status >= 500 else "invalid_request_error")
            body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
        return web.json_response(body, status=status, headers=headers)

    async def _pieces(self, orders: dict[str, Any], text: str) -> AsyncIterator[str]:
        """The text in pieces, at the pace and up to the point that was ordered."""
        words = re.findall(r"\s*\S+|\s+$", text)
        pieces = [f"w{n} " for n in range(orders["chunks"])] if "chunks" in orders else words
        if "oversize" in orders:
            pieces.append("x" * orders["oversize"])
        for number, piece in enumerate(pieces):
            if number == orders.get("cut_after"):
                raise ConnectionAbortedError
            if number == orders.get("stall_after"):
                await asyncio.sleep(orders.get("stall_s", 3600))
                raise ConnectionAbortedError
            if delay_s := orders.get("chunk_delay_s"):
                await asyncio.sleep(delay_s)
            yield piece

    async def _stream(
        self, request: web.Request, frames: AsyncIterator[bytes], kind: str
    ) -> web.StreamResponse:
        kind = request[ORDERS_GIVEN].get("content_type", kind)
        response = web.StreamResponse(headers={"Content-Type": kind})
        self.open_streams += 1
        try:
            await response.prepare(request)
            await asyncio.sleep(request[ORDERS_GIVEN].get("late_s", 0))
            async for frame in frames:
                await response.write(frame)
            await response.write_eof()
        except ConnectionAbortedError:
            if request.transport is not None:
                request.transport.close()
        finally:
            self.open_streams -= 1
        return response

    # OpenAI

    async def _models(self, request: web.Request) -> web.Response:
        rows = [{"id": name, "object": "model", "owned_by": "tests"} for name in self.models]
        if request[ORDERS_GIVEN].get("bare"):
            return web.json_response(rows)
        return web.json_response({"object": "list", "data": rows})

    async def _openai_chat(self, request: web.Request) -> web.StreamResponse:
        body, orders = await request.json(), request[ORDERS_GIVEN]
        if body.get("stream"):
            return await self._stream(request, self._openai_frames(body, orders), "text/event-stream")
        if orders.get("malformed"):
            return web.Response(text='{"id": "chatcmpl-1", "cho', content_type="application/json")
        message = answer_message(body)
        choices = [
            {"index": n, "message": message, "finish_reason": finish_of(message)}
            for n in range(body.get("n") or 1)
        ]
        answer = {**envelope(body, "chat.completion"), "choices": choices}
        if not orders.get("no_usage"):
            answer["usage"] = usage_for(body)
        return web.json_response(answer)

    async def _openai_frames(self, body: dict[str, Any], orders: dict[str, Any]) -> AsyncIterator[bytes]:
        wants_usage = (body.get("stream_options") or {}).get("include_usage") and not orders.get("no_usage")
        message = answer_message(body)

        def frame(delta: dict[str, Any], n: int, finish: str | None = None) -> bytes:
            chunk = {
                **envelope(body, "chat.completion.chunk"),
                "choices": [{"index": n, "delta": delta, "finish_reason": finish}],
                **({"usage": None} if wants_usage else {}),
            }
            return sse(chunk)

        choices = range(body.get("n") or 1)
        for n in choices:
            if orders.get("error_after") != 0 and orders.get("cut_after") != 0:
                yield frame({"role": "assistant", "content": ""}, n)
        if message.get("tool_calls"):
            yield frame({"tool_calls": [{"index": 0, **call} for call in message["tool_calls"]]}, 0)
        number = 0
        async for piece in self._pieces(orders, message["content"] or ""):
            if number == orders.get("error_after"):
                yield sse({"error": {"message": "scripted failure", "type": "server_error", "code": None}})
                return
            if orders.get("malformed") and number == 1:
                yield b'data: {"choices": [{"del\n\n'
            for n in choices:
                yield frame({"content": piece}, n)
            number += 1
        for n in choices:
            yield frame({}, n, finish_of(message))
        if wants_usage:
            yield sse({**envelope(body, "chat.completion.chunk"), "choices": [], "usage": usage_for(body)})
        if not orders.get("no_done"):
            yield b"data: [DONE]\n\n"

    async def _openai_completions(self, request: web.Request) -> web.StreamResponse:
        body, orders = await request.json(), request[ORDERS_GIVEN]
        if body.get("stream"):
            return await self._stream(request, self._completion_frames(body, orders), "text/event-stream")
        if orders.get("malformed"):
            return web.Response(text='{"id": "cmpl-1", "cho', content_type="application/json")
        choices = [completion_choice(n, said_to(body, prompt), "stop") for n, prompt in prompts_of(body)]
        answer = {**envelope(body, "text_completion"), "choices": choices}
        if not orders.get("no_usage"):
            answer["usage"] = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        return web.json_response(answer)

    async def _completion_frames(self, body: dict[str, Any], orders: dict[str, Any]) -> AsyncIterator[bytes]:
        def frame(*choices: dict[str, Any], **more: Any) -> bytes:
            return sse({**envelope(body, "text_completion"), "choices": list(choices), **more})

        for n, prompt in prompts_of(body):
            number = 0
            async for piece in self._pieces(orders, said_to(body, prompt)):
                if number == orders.get("error_after"):
                    yield sse(
                        {"error": {"message": "scripted failure", "type": "server_error", "code": None}}
                    )
                    return
                if orders.get("malformed") and number == 1:
                    yield b'data: {"choices": [{"te\n\n'
                yield frame(completion_choice(n, piece, None))
                number += 1
            yield frame(completion_choice(n, "", "stop"))
        if (body.get("stream_options") or {}).get("include_usage") and not orders.get("no_usage"):
            yield frame(usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
        if not orders.get("no_done"):
            yield b"data: [DONE]\n\n"

    async def _openai_responses(self, request: web.Request) -> web.StreamResponse:
        body, orders = await request.json(), request[ORDERS_GIVEN]
        if body.get("stream"):
            return await self._stream(request, self._responses_events(body, orders), "text/event-stream")
        if orders.get("malformed"):
            return web.Response(text='{"id": "resp_1", "outp', content_type="application/json")
        return web.json_response(response_of(body, orders, [output_item(body)]))

    async def _responses_events(self, body: dict[str, Any], orders: dict[str, Any]) -> AsyncIterator[bytes]:
        item, numbers = output_item(body), count()
        place = {"item_id": item["id"], "output_index": 0}

        def told(kind: str, **fields: Any) -> bytes:
            return event(f"response.{kind}", **fields, sequence_number=next(numbers))

        begun = {**response_of(body, orders, []), "status": "in_progress", "usage": None}
        if orders.get("error_after") != 0 and orders.get("cut_after") != 0:
            yield told("created", response=begun)
            yield told("in_progress", response=begun)
        if item["type"] == "function_call":
            yield told("output_item.added", output_index=0, item={**item, "arguments": ""})
            yield told("function_call_arguments.delta", **place, delta=item["arguments"])
            yield told("function_call_arguments.done", **place, arguments=item["arguments"])
        else:
            async for frame in self._written_events(orders, item, told):
                yield frame
                if b'"type": "error"' in frame:
                    return
        yield told("output_item.done", output_index=0, item=item)
        if not orders.get("no_done"):
            yield told("completed", response=response_of(body, orders, [item]))

    async def _written_events(
        self, orders: dict[str, Any], item: dict[str, Any], told: Callable[..., bytes]
    ) -> AsyncIterator[bytes]:
        """The events of a message, up to where it is done."""
        (part,) = item["content"]
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        yield told("output_item.added", output_index=0, item={**item, "content": []})
        yield told("content_part.added", **place, part={**part, "text": ""})
        number = 0
        async for piece in self._pieces(orders, part["text"]):
            if number == orders.get("error_after"):
                yield event("error", code="server_error", message="scripted failure", param=None)
                return
            if orders.get("malformed") and number == 1:
                yield b'event: response.output_text.delta\ndata: {"type": "response.outp\n\n'
            yield told("output_text.delta", **place, delta=piece, logprobs=[])
            number += 1
        yield told("output_text.done", **place, text=part["text"], logprobs=[])
        yield told("content_part.done", **place, part=part)

    async def _openai_embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        rows = [{"object": "embedding", "index": n, "embedding": vector(t)} for n, t in enumerate(texts)]
        tokens = sum(len(str(text).split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response({"object": "list", "data": rows, "model": body["model"], "usage": usage})

    async def _rerank(self, request: web.Request) -> web.Response:
        """Score each document by the words that it shares with the query; `/v2` answers as Cohere does."""
        body, orders = await request.json(), request[ORDERS_GIVEN]
        if orders.get("malformed"):
            return web.Response(text='{"results": [{"ind', content_type="application/json")
        texts = [text if isinstance(text, str) else text["text"] for text in body["documents"]]
        wanted = set(body["query"].split())
        scored = [(len(wanted & set(text.split())) / (len(wanted) or 1), n) for n, text in enumerate(texts)]
        best = sorted(scored, key=lambda row: (-row[0], row[1]))[: body.get("top_n") or len(texts)]
        results = [{"index": n, "relevance_score": score} for score, n in best]
        tokens = sum(len(text.split()) + len(body["query"].split()) for text in texts)
        if request.path.startswith("/v2"):
            billed = {"search_units": -(-len(texts) // 100)}
            return web.json_response({"id": "r-1", "results": results, "meta": {"billed_units": billed}})
        rows = [{**row, "document": {"text": texts[row["index"]]}} for row in results]
        usage = {} if orders.get("no_usage") else {"usage": {"total_tokens": tokens}}
        return web.json_response({"model": body["model"], "results": rows, **usage})

    async def _openai_speech(self, request: web.Request) -> web.StreamResponse:
        async def sound() -> AsyncIterator[bytes]:
            if code := request[ORDERS_GIVEN].get("error_in_answer"):
                yield json.dumps({"error": {"message": f"scripted failure {code}", "code": code}}).encode()
                return
            async for _ in self._pieces(request[ORDERS_GIVEN], (await request.json())["input"]):
                yield MP3

        return await self._stream(request, sound(), "audio/mpeg")

    async def _openai_transcription(self, request: web.Request) -> web.StreamResponse:
        body, orders = self.requests[-1].json, request[ORDERS_GIVEN]
        if orders.get("malformed"):
            return web.Response(text='{"text": "Hel', content_type="application/json")
        if code := orders.get("error_in_answer"):
            return web.json_response({"error": {"message": f"scripted failure {code}", "code": code}})
        said = f"{len(body['file']['content'])} bytes of {body['file']['filename']}"
        match body.get("response_format", "json"):
            case "text":
                return web.Response(text=f"{said}\n")
            case "srt":
                return web.Response(text=f"1\n00:00:00,000 --> 00:00:01,000\n{said}\n")
            case "vtt":
                return web.Response(text=f"WEBVTT\n\n00:00.000 --> 00:01.000\n{said}\n")
            case "verbose_json":
                answer: dict[str, Any] = {"task": "transcribe", "duration": 3.2, "text": said, "segments": []}
            case _:
                answer = {"text": said}
        if "usage" in orders:
            answer["usage"] = orders["usage"]
        return web.json_response(answer)

    async def _moderations(self, request: web.Request) -> web.Response:
        """Flag what mentions violence."""
        body, orders = await request.json(), request[ORDERS_GIVEN]
        if orders.get("malformed"):
            return web.Response(text='{"results": [{"fla', content_type="application/json")
        given = body["input"] if isinstance(body["input"], list) else [body["input"]]
        texts = given if isinstance(given[0], str) else [last_text({"prompt": given})]
        flags = ["violence" in text for text in texts]
        results = [
            {"flagged": bad, "categories": {"violence": bad}, "category_scores": {"violence": float(bad)}}
            for bad in flags
        ]
        return web.json_response({"id": "modr-1", "model": body["model"], "results": results})

    async def _images(self, request: web.Request) -> web.Response:
        """Make pictures of a prompt, or of pictures; the usage is that of a GPT image model."""
        body, orders = self.requests[-1].json, request[ORDERS_GIVEN]
        if orders.get("malformed"):
            return web.Response(text='{"created": 1, "da', content_type="application/json")
        n = int(body.get("n") or 1)
        data = [{"b64_json": "aGVsbG8=", "revised_prompt": body["prompt"]} for _ in range(n)]
        read, shown = len(body["prompt"].split()), 194 * n * pictures_in(body)
        whole = read + shown
        usage = {"input_tokens": whole, "output_tokens": 1056 * n, "total_tokens": whole + 1056 * n}
        usage |= {"input_tokens_details": {"text_tokens": read, "image_tokens": shown}}
        told = {} if orders.get("no_usage") else {"usage": usage}
        return web.json_response({"created": 1, "data": data, **told})

    # Ollama

    async def _ollama_tags(self, request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": name, "model": name} for name in self.models]})

    async def _ollama_chat(self, request: web.Request) -> web.StreamResponse:
        body, orders = await request.json(), request[ORDERS_GIVEN]
        tokens = usage_for(body)
        end = {"done": True, "done_reason": "stop"}
        end |= {"prompt_eval_count": tokens["prompt_tokens"], "eval_count": tokens["completion_tokens"]}
        if body.get("stream", True) is False:
            return web.json_response({"model": body["model"], "message": answer_message(body), **end})

        async def lines() -> AsyncIterator[bytes]:
            async for piece in self._pieces(orders, answer_text(body)):
                message = {"role": "assistant", "content": piece}
                yield json.dumps({"model": body["model"], "message": message, "done": False}).encode() + b"\n"
            yield json.dumps({"model": body["model"], "message": {"content": ""}, **end}).encode() + b"\n"

        return await self._stream(request, lines(), "application/x-ndjson")

    async def _ollama_embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        return web.json_response({"model": body["model"], "embeddings": [vector(text) for text in texts]})

    # Anthropic

    async def _anthropic_messages(self, request: web.Request) -> web.StreamResponse:
        body, orders = await request.json(), request[ORDERS_GIVEN]
        if body.get("stream"):
            return await self._stream(request, self._anthropic_events(body, orders), "text/event-stream")
        if orders.get("malformed"):
            return web.Response(text='{"id": "msg_1", "cont', content_type="application/json")
        content = [answer_block(body)]
        message = {**anthropic_envelope(body), "content": content, "stop_reason": stop_reason_of(content)}
        return web.json_response({**message, **anthropic_usage(body, orders)})

    async def _anthropic_count(self, request: web.Request) -> web.StreamResponse:
        if request[ORDERS_GIVEN].get("malformed"):
            return web.json_response({"tokens": "many"})
        body = await request.json()
        known = {"model", "messages", "system", "tools", "tool_choice", "thinking"}
        if unknown := set(body) - known:  # as Anthropic does
            message = f"{min(unknown)}: Extra inputs are not permitted"
            error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
            return web.json_response(error, status=400)
        return web.json_response({"input_tokens": len(json.dumps(body["messages"]))})

    async def _anthropic_events(self, body: dict[str, Any], orders: dict[str, Any]) -> AsyncIterator[bytes]:
        usage, block = anthropic_usage(body, orders), answer_block(body)
        is_text = block["type"] == "text"
        if orders.get("error_after") != 0 and orders.get("cut_after") != 0:
            start = {**anthropic_envelope(body), "content": [], "stop_reason": None, **usage}
            yield event("message_start", message=start)
            yield event(
                "content_block_start", index=0, content_block=block | ({"text": ""} if is_text else {})
            )
            yield event("ping")
        number = 0
        async for piece in self._pieces(orders, block["text"] if is_text else ""):
            if number == orders.get("error_after"):
                yield event("error", error={"type": "overloaded_error", "message": "scripted failure"})
                return
            if orders.get("malformed") and number == 1:
                yield b'event: content_block_delta\ndata: {"type": "content_bl\n\n'
            yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
            number += 1
        yield event("content_block_stop", index=0)
        if orders.get("no_done"):
            return
        end = {"stop_reason": stop_reason_of([block]), "stop_sequence": None}
        yield event("message_delta", delta=end, **usage)
        if not orders.get("no_stop"):
            yield event("message_stop")


def port_of(request: web.Request) -> int:
    """The caller's end of the connection."""
    return port_at(request.transport) if request.transport else 0


def port_at(transport: asyncio.BaseTransport) -> int:
    return int(transport.get_extra_info("peername")[1])


def http_date(after_s: float) -> str:
    """A moment at least so many seconds from now; dates have whole seconds."""
    return formatdate(ceil(time.time() + after_s), usegmt=True)


async def body_of(request: web.Request) -> Any:
    """The JSON of a request; of a form its fields, several of a name as a list, and what its files are."""
    if not request.content_type.startswith("multipart/"):
        return await request.json() if request.can_read_body else None
    fields: dict[str, Any] = {}
    reader = await request.multipart()
    async for part in reader:
        assert isinstance(part, BodyPartReader)
        assert part.name
        value: Any = bytes(await part.read())
        if part.filename is None:
            value = value.decode()
        else:
            kind = part.headers.get("Content-Type")
            value = {"filename": part.filename, "content_type": kind, "content": value}
        fields.setdefault(part.name, []).append(value)
    return {name: values if name.endswith("[]") else values[0] for name, values in fields.items()}


def pictures_in(body: dict[str, Any]) -> int:
    """How many files there are in the fields of a form."""
    values = [v for value in body.values() for v in (value if isinstance(value, list) else [value])]
    return sum(isinstance(value, dict) and "filename" in value for value in values)


def last_text(body: dict[str, Any]) -> str:
    """The text of the last user message, the prompt, or the embedding input."""
    given = body.get("input", body.get("prompt", body.get("query", "")))
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    for message in body.get("messages") or items:
        if message.get("role") == "user":
            given = message["content"]
    if isinstance(given, list):
        given = " ".join(
            part if isinstance(part, str) else str(part.get("text", "")) for part in given
        ).strip()
    return str(given)


def is_prefilled(body: dict[str, Any]) -> bool:
    """Whether the last word is the assistant's."""
    said = body.get("messages") or body.get("input") or [{}]
    return isinstance(said[-1], dict) and said[-1].get("role") == "assistant"


def answer_text(body: dict[str, Any]) -> str:
    """What the upstream says to this request, always the same."""
    return f"Hello from {body['model']}: {ORDERS.sub('', last_text(body)).strip()}"


def answer_message(body: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's message: text, or the call of a tool that the request insists on."""
    if body.get("tools") and body.get("tool_choice") not in (None, "auto", "none"):
        function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"city": "Paris"}'}
        call = {"id": "call_1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"role": "assistant", "content": answer_text(body)}


def finish_of(message: dict[str, Any]) -> str:
    return "tool_calls" if message.get("tool_calls") else "stop"


def usage_for(body: dict[str, Any]) -> dict[str, int]:
    """One token a word, unless the message orders otherwise."""
    found = ORDERS.search(last_text(body))
    prompt, answer = (json.loads(found[1]) if found else {}).get("usage") or (
        len(last_text(body).split()),
        len(answer_text(body).split()),
    )
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def output_item(body: dict[str, Any]) -> dict[str, Any]:
    """The one item of a response: text, or the call of a tool that the request insists on."""
    if body.get("tools") and body.get("tool_choice") not in (None, "auto", "none"):
        call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": body["tools"][0]["name"]}
        return {**call, "arguments": '{"city": "Paris"}', "status": "completed"}
    part = {"type": "output_text", "text": answer_text(body), "annotations": []}
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def response_of(body: dict[str, Any], orders: dict[str, Any], output: list[Any]) -> dict[str, Any]:
    """A response that is whole."""
    usage = usage_for(body)
    tokens = {
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "model": body["model"],
        "status": "completed",
        "output": output,
        "usage": None if orders.get("no_usage") else tokens,
    }


def answer_block(body: dict[str, Any]) -> dict[str, Any]:
    """The one block of a message: text, or the call of a tool that the request insists on."""
    if body.get("tools") and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        return {"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": {}}
    return {"type": "text", "text": answer_text(body)}


def stop_reason_of(content: list[dict[str, Any]]) -> str:
    return "tool_use" if content[0]["type"] == "tool_use" else "end_turn"


def anthropic_usage(body: dict[str, Any], orders: dict[str, Any]) -> dict[str, dict[str, int]]:
    """The member that tells the usage, unless it is never told."""
    if orders.get("no_usage"):
        return {}
    usage = usage_for(body)
    told = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
    if "cached" in orders:
        told["cache_read_input_tokens"] = orders["cached"]
    return {"usage": told}


def prompts_of(body: dict[str, Any]) -> list[tuple[int, Any]]:
    """Each prompt of a text completion, as often as answers are wanted, with the index of its choice."""
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    if isinstance(prompts[0], int):
        prompts = [prompts]
    return list(enumerate(prompt for prompt in prompts for _ in range(body.get("n") or 1)))


def said_to(body: dict[str, Any], prompt: Any) -> str:
    """What the upstream says to one prompt of a text completion."""
    return answer_text({"model": body["model"], "prompt": str(prompt)})


def completion_choice(n: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": n, "text": text, "logprobs": None, "finish_reason": finish}


def envelope(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1700000000, "model": body["model"]}


def anthropic_envelope(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "stop_sequence": None,
    }


def sse(chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\n" + sse({"type": kind, **fields})


def vector(text: Any) -> list[float]:
    """Eight numbers that depend on the text."""
    return [round((sum(map(ord, str(text))) * (n + 3) % 97) / 97, 4) for n in range(8)]
