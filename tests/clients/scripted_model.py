"""
An upstream that plays a model, in three formats: chat completions, Anthropic Messages, OpenAI Responses.

What it says depends on the request alone:

    a tool that was not called yet   a call of it, as `turns` has it, or with what its schema asks for
    a result of a tool               the next call of `turns`, or a sentence that repeats the result
    a format that asks for JSON      what its schema asks for: 3 for a number, "Paris" for a text, or the
                                     last word of the request that is not in Latin letters
    thinking (Messages)              a thought with a signature, and then the text
    anything else                    "Hello from MODEL"
"""

import json
import re
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiohttp import web

SIGNATURE = "c2lnbmVk"

_FOREIGN = re.compile(r"[^\x00-\x7f]+")


class Call(NamedTuple):
    """A call of a tool."""

    name: str
    arguments: dict[str, Any]


class Said(NamedTuple):
    """One answer: a thought, a text, a call; empty where there is none."""

    thought: str = ""
    text: str = ""
    call: Call | None = None


class ScriptedModel:
    """
    The upstream, in a thread of its own.

    Attributes:
        turns: calls of tools, one after the other; those whose tool a request does not offer are passed over.
        requests: the path and the body of every request.
    """

    def __init__(self) -> None:
        self.turns: Sequence[Call] = ()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.url = ""
        self._ready, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "ScriptedModel":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def _run(self) -> None:
        import asyncio

        asyncio.run(self._serve())

    async def _serve(self) -> None:
        import asyncio

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m"}]})

    def _say(
        self,
        body: dict[str, Any],
        tools: dict[str, Any],
        results: list[str],
        schema: Any,
        thinks: bool = False,
    ) -> Said:
        model = body["model"]
        foreign = _FOREIGN.findall(json.dumps(body, ensure_ascii=False))
        word = foreign[-1] if foreign else "Paris"
        thought = "Let me think." if thinks else ""
        turns = [turn for turn in self.turns if turn.name in tools]
        if not self.turns and tools and not results:
            name = next(iter(tools))
            return Said(thought, call=Call(name, example_of(tools[name], word)))
        if len(results) < len(turns):
            return Said(thought, call=turns[len(results)])
        if results:
            return Said(thought, text=f"It says: {results[-1][:200]}")
        return Said(
            thought, text=f"Hello from {model}" if schema is None else json.dumps(example_of(schema, word))
        )

    # --- chat completions -------------------------------------------------------------------------------

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append((request.path, body))
        results = [_text(m["content"]) for m in body["messages"] if m["role"] == "tool"]
        functions = [tool["function"] for tool in body.get("tools", ()) if "function" in tool]
        tools = {function["name"]: function.get("parameters") for function in functions}
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        said = self._say(body, tools, results, schema)
        head = {"id": f"chatcmpl-{len(self.requests)}", "created": 1, "model": body["model"]}
        delta: dict[str, Any] = {"role": "assistant", "content": said.text or None}
        if said.call:
            function = {"name": said.call.name, "arguments": json.dumps(said.call.arguments)}
            delta["tool_calls"] = [
                {"id": f"call_{len(self.requests)}", "type": "function", "function": function}
            ]
        finish = "tool_calls" if said.call else "stop"
        usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
        if not body.get("stream"):
            choice = {"index": 0, "message": delta, "finish_reason": finish}
            answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            return web.json_response(answer)
        if said.call:
            delta["tool_calls"][0]["index"] = 0
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
            {"choices": [], "usage": usage},
        ]
        frames = [json.dumps({**head, "object": "chat.completion.chunk", **chunk}) for chunk in chunks]
        return await _streamed(request, [(None, frame) for frame in [*frames, "[DONE]"]])

    # --- Messages ---------------------------------------------------------------------------------------

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append((request.path, body))
        blocks = [
            block
            for message in body["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
        ]
        results = [_text(b.get("content")) for b in blocks if b.get("type") == "tool_result"]
        offered = [tool for tool in body.get("tools", ()) if "input_schema" in tool]
        tools = {tool["name"]: tool["input_schema"] for tool in offered}
        schema = body.get("output_config", {}).get("format", {}).get("schema")
        thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
        said = self._say(body, tools, results, schema, thinks)
        content: list[dict[str, Any]] = []
        if said.thought:
            content.append({"type": "thinking", "thinking": said.thought, "signature": SIGNATURE})
        if said.text:
            content.append({"type": "text", "text": said.text})
        if said.call:
            use = {"type": "tool_use", "id": f"toolu_{len(self.requests)}", "name": said.call.name}
            content.append({**use, "input": said.call.arguments})
        message = {
            "id": f"msg_{len(self.requests)}", "type": "message", "role": "assistant", "model": body["model"],
            "content": content, "stop_reason": "tool_use" if said.call else "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 20, "output_tokens": 5},
        }  # fmt: skip
        if not body.get("stream"):
            return web.json_response(message)
        begun = {**message, "content": [], "stop_reason": None}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
        for index, block in enumerate(content):
            events += _block_events(index, block)
        end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": 5}})
        events.append({"type": "message_stop"})
        return await _streamed(request, [(event["type"], json.dumps(event)) for event in events])

    # --- Responses --------------------------------------------------------------------------------------

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append((request.path, body))
        items = body["input"] if isinstance(body["input"], list) else []
        results = [_text(i["output"]) for i in items if i.get("type") == "function_call_output"]
        offered = [tool for tool in body.get("tools", ()) if tool["type"] == "function"]
        tools = {tool["name"]: tool.get("parameters") for tool in offered}
        schema = body.get("text", {}).get("format", {}).get("schema")
        said = self._say(body, tools, results, schema)
        number = len(self.requests)
        if said.call:
            item: dict[str, Any] = {
                "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}",
                "name": said.call.name, "arguments": json.dumps(said.call.arguments), "status": "completed",
            }  # fmt: skip
        else:
            part = {"type": "output_text", "text": said.text, "annotations": []}
            item = {
                "type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed",
                "content": [part],
            }  # fmt: skip
        response = {
            "id": f"resp_{number}", "object": "response", "created_at": 1, "status": "completed",
            "model": body["model"], "output": [item], "error": None, "incomplete_details": None,
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": body.get("tools", []),
            "text": body.get("text", {"format": {"type": "text"}}),
            "usage": {
                "input_tokens": 20, "output_tokens": 5, "total_tokens": 25,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }  # fmt: skip
        if not body.get("stream"):
            return web.json_response(response)
        begun = {**response, "status": "in_progress", "output": [], "usage": None}
        events = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
            *_item_events(item),
            {"type": "response.completed", "response": response},
        ]
        numbered = [{**event, "sequence_number": at} for at, event in enumerate(events)]
        return await _streamed(request, [(event["type"], json.dumps(event)) for event in numbered])


def example_of(schema: Any, word: str = "Paris", definitions: Any = None) -> Any:
    """Return a value that a JSON schema describes, as far as clients write them; `word` is every text."""
    schema = schema if isinstance(schema, dict) else {}
    definitions = definitions or schema.get("$defs") or schema.get("definitions") or {}
    if "$ref" in schema:
        return example_of(definitions.get(schema["$ref"].rsplit("/", 1)[-1]), word, definitions)
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return example_of(schema[name][0], word, definitions)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", (schema.get("enum") or [None])[0])
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) else kind:
        case "string":
            return word
        case "integer" | "number":
            return 3
        case "boolean":
            return True
        case "array":
            return [example_of(schema.get("items"), word, definitions)]
        case _:
            members = schema.get("properties") or {}
            return {name: example_of(member, word, definitions) for name, member in members.items()}


def _block_events(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    match block["type"]:
        case "thinking":
            opened = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case "text":
            opened = {"type": "text", "text": ""}
            half = len(block["text"]) // 2
            pieces = (block["text"][:half], block["text"][half:])
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
        case _:
            opened = {**block, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    return [
        {"type": "content_block_start", "index": index, "content_block": opened},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _item_events(item: dict[str, Any]) -> list[dict[str, Any]]:
    place = {"output_index": 0}
    at = {**place, "item_id": item["id"]}
    if item["type"] == "function_call":
        opened = {**item, "arguments": "", "status": "in_progress"}
        arguments = item["arguments"]
        middle: list[dict[str, Any]] = [
            {"type": "response.function_call_arguments.delta", **at, "delta": arguments},
            {"type": "response.function_call_arguments.done", **at, "arguments": arguments},
        ]
    else:
        opened = {**item, "content": [], "status": "in_progress"}
        at |= {"content_index": 0}
        part = item["content"][0]
        text = part["text"]
        middle = [
            {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
            {"type": "response.output_text.delta", **at, "delta": text, "logprobs": []},
            {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
            {"type": "response.content_part.done", **at, "part": part},
        ]
    return [
        {"type": "response.output_item.added", **place, "item": opened},
        *middle,
        {"type": "response.output_item.done", **place, "item": item},
    ]


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)


async def _streamed(request: web.Request, frames: Sequence[tuple[str | None, str]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for name, data in frames:
        head = f"event: {name}\n" if name else ""
        await response.write(f"{head}data: {data}\n\n".encode())
    return response
