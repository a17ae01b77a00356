"""A gateway's HTTP face, in the few words tests need."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)


class Api:
    """`url` is where the gateway answers, its route prefix included."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.http.post(path, json=body, **more)

    def route(self, task: str, **question: Any) -> httpx.Response:
        return self.post("/api/v1/route", {"task": task, **question})

    def routed(self, task: str, **question: Any) -> dict[str, Any]:
        """The answer of /route, which must be a 200."""
        answer = self.route(task, **question)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def chat(self, content: Any = "hi", **fields: Any) -> httpx.Response:
        """One user message. A header may be given as `headers`."""
        more = {"headers": fields.pop("headers")} if "headers" in fields else {}
        return self.post("/v1/chat/completions", {"messages": [user(content)], **fields}, **more)

    def providers(self) -> dict[str, Any]:
        return dict(self.get("/api/v1/health/providers").json())

    def breaker(self, provider_id: str) -> dict[str, Any]:
        return dict(self.providers()["providers"][provider_id]["circuit_breaker"])

    def afresh(self, path: str) -> httpx.Response:
        """GET over a connection of its own, so that any router replica may answer."""
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as http:
            return http.get(path)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text_of(answer: httpx.Response) -> str:
    """What a whole chat completion says."""
    return str(answer.json()["choices"][0]["message"]["content"])


def frames_of(answer: httpx.Response) -> list[str]:
    """The data of every server-sent event, in order."""
    return [frame.removeprefix("data: ") for frame in answer.text.split("\n\n") if frame]


def chunks_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The chunks of a stream without its [DONE]."""
    return [json.loads(frame) for frame in frames_of(answer) if frame != "[DONE]"]


def streamed_text(answer: httpx.Response) -> str:
    deltas = (choice["delta"] for chunk in chunks_of(answer) for choice in chunk["choices"])
    return "".join(delta.get("content") or "" for delta in deltas)


def eventually(condition: Callable[[], object], within_s: float = 60.0, every_s: float = 0.05) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"it still does not hold after {within_s:g} s"
        time.sleep(every_s)
