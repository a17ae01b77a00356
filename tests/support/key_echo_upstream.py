"""
An upstream that repeats the key it is shown wherever it can: as some do when they refuse one.

The last word of a request in double brackets says how: `[[401]]` and other statuses refuse, `[[stream]]`
begins an answer and then fails, `[[broken]]` and `[[page]]` are no JSON, `[[drop]]` hangs up; else it is a
good answer. A webhook under `/hook/` is always refused.
"""

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

HOST = "127.0.0.1"
ORDER = re.compile(rb"\[\[(\w+)\]\]")
USAGE = {"prompt_tokens": 10, "completion_tokens": 500, "total_tokens": 510}


@dataclass
class Heard:
    """The keys that were shown, the other headers and bodies that came along, and the paths."""

    keys: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    all: list[str] = field(default_factory=list)


class KeyEchoUpstream:
    """`with Gossip() as gossip:` runs it in threads of its own; `key_echo_upstream.url` is where."""

    def __init__(self) -> None:
        self.heard = Heard()
        handler = type("Handler", (_Handler,), {"heard": self.heard})
        self._server = ThreadingHTTPServer((HOST, 0), handler)
        self.url = f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> "KeyEchoUpstream":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    heard: Heard

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        key = self.headers.get("authorization", "").removeprefix("Bearer ") or self.headers.get("x-api-key")
        self.heard.keys |= {key} if key else set()
        self.heard.paths.add(self.path)
        self.heard.all.append(f"{self.path}\n{self.headers}\n{body.decode()}")
        found = ORDER.findall(body)
        order = "500" if self.path.startswith("/hook/") else found[-1].decode() if found else "good"
        self._obey(order, json.loads(body or b"{}"), key or "no key")

    do_GET = do_POST  # noqa: N815 - the name is http.server's

    def _obey(self, order: str, asked: dict[str, Any], key: str) -> None:
        match order:
            case "drop":
                self.close_connection = True
            case "page":
                self._say(200, "text/html", f"<html>{key}</html>".encode(), key)
            case "broken":
                self._say(200, "application/json", f'{{"id": "{key}", "cho'.encode(), key)
            case "stream":
                chunk = {**_head("chat.completion.chunk"), "choices": [_choice({"delta": {"content": "hi"}})]}
                frames = (chunk, {"error": _complaint(key)})
                text = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames)
                self._say(200, "text/event-stream", text.encode(), key)
            case status if status.isdigit():
                error = {"type": "error", "error": _complaint(key)}
                self._say(int(status), "application/json", json.dumps(error).encode(), key)
            case _:
                self._answer(asked, key)

    def _answer(self, asked: dict[str, Any], key: str) -> None:
        if asked.get("stream"):
            deltas = (
                _choice({"delta": {"content": "hi"}, "finish_reason": None}),
                _choice({"delta": {}, "finish_reason": "stop"}),
            )
            chunks = [{**_head("chat.completion.chunk"), "choices": [delta]} for delta in deltas]
            chunks.append({**_head("chat.completion.chunk"), "choices": [], "usage": USAGE})
            text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            self._say(200, "text/event-stream", text.encode(), key)
        elif "input" in asked:
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}]
            usage = {"prompt_tokens": 2, "total_tokens": 2}
            body = {"object": "list", "model": asked.get("model"), "data": data, "usage": usage}
            self._say(200, "application/json", json.dumps(body).encode(), key)
        elif self.path == "/v1/messages":
            body = {
                **{"id": "m", "type": "message", "role": "assistant", "model": asked.get("model")},
                **{"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }
            self._say(200, "application/json", json.dumps(body).encode(), key)
        else:
            choice = _choice({"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"})
            body = {**_head("chat.completion"), "choices": [choice], "usage": USAGE}
            self._say(200, "application/json", json.dumps(body).encode(), key)

    def _say(self, status: int, kind: str, body: bytes, key: str) -> None:
        self.send_response(status, f"No {key}")
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-echo", key)
        self.send_header("x-request-id", key)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 0, "model": "gpt-4o"}


def _choice(more: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, **more}


def _complaint(key: str) -> dict[str, Any]:
    said = f"Incorrect API key provided: {key}."
    return {"type": f"auth {key}", "message": said, "code": f"bad {key}", "param": f"key {key}"}
