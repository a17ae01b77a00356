"""Callers of each format: what they send, and how they read what they get."""

from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from serve_app.formats.sse import Frame, frames_in

CHAT, COMPLETIONS, MESSAGES, RESPONSES = "chat", "completions", "messages", "responses"
PATHS = {
    CHAT: "/v1/chat/completions",
    COMPLETIONS: "/v1/completions",
    MESSAGES: "/v1/messages",
    RESPONSES: "/v1/responses",
}


def body_for(wire: str, text: str, streams: bool) -> dict[str, Any]:
    """A request with one word of the user's, in this format."""
    body: dict[str, Any] = {"stream": True} if streams else {}
    if wire == RESPONSES:
        return {"input": text, **body}
    if wire == COMPLETIONS:
        return {"prompt": text, **body}
    body["messages"] = [{"role": "user", "content": text}]
    return {**body, "max_tokens": 1000} if wire == MESSAGES else body


@dataclass(frozen=True)
class Heard:
    """An answer, read as a client of this format reads it."""

    wire: str
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def is_stream(self) -> bool:
        return self.headers["content-type"].startswith("text/event-stream")

    @property
    def frames(self) -> list[Frame]:
        return [frame for frame in frames_in(self.body) if frame.data]

    @property
    def payloads(self) -> list[dict[str, Any]]:
        """What the frames of a stream hold; chat's `[DONE]` is none."""
        return [orjson.loads(frame.data) for frame in self.frames if frame.data != b"[DONE]"]

    @property
    def text(self) -> str:
        """What the model said."""
        found = map(_piece, self.payloads) if self.is_stream else [_whole_text(orjson.loads(self.body))]
        return "".join(text for text in found if isinstance(text, str))

    @property
    def shows_an_end(self) -> bool:
        """Whether anything in it says that the answer has come to its end."""
        if not self.is_stream:
            return _is_whole(orjson.loads(self.body))
        return b"data: [DONE]" in self.body or any(map(_is_end, self.payloads))

    @property
    def error(self) -> dict[str, Any] | None:
        """The error that is all of it, or the last event of a stream; None: there is none."""
        said = self.payloads[-1] if self.is_stream else orjson.loads(self.body)
        if self.wire == RESPONSES and self.is_stream:
            if said["type"] != "response.failed":
                return None
            said = said["response"]
        error = said.get("error")
        if error is None:
            return None
        if self.wire == MESSAGES:
            assert said["type"] == "error"
            assert not self.is_stream or self.frames[-1].name == b"error"
        assert {"message", "type", "param", "code"} <= error.keys()
        return dict(error)


def _piece(payload: dict[str, Any]) -> Any:
    if "choices" in payload:
        return "".join(map(_text_of, payload["choices"]))
    if payload.get("type") == "content_block_delta":
        return payload["delta"].get("text")
    return payload["delta"] if payload.get("type") == "response.output_text.delta" else None


def _is_end(payload: dict[str, Any]) -> bool:
    if "choices" in payload:
        return any(choice.get("finish_reason") for choice in payload["choices"])
    if payload.get("type") == "message_delta":
        return payload["delta"].get("stop_reason") is not None
    return payload.get("type") in ("message_stop", "response.completed", "response.incomplete")


def _is_whole(answer: dict[str, Any]) -> bool:
    if "choices" in answer:
        return all(choice["finish_reason"] for choice in answer["choices"])
    return answer.get("stop_reason") is not None or answer.get("status") == "completed"


def _whole_text(answer: dict[str, Any]) -> str:
    if "choices" in answer:
        return "".join(map(_text_of, answer["choices"]))
    parts = answer.get("content") or [part for item in answer.get("output", ()) for part in item["content"]]
    return "".join(part["text"] for part in parts)


def _text_of(choice: dict[str, Any]) -> str:
    if "text" in choice:
        return str(choice["text"])
    part = choice["message"] if "message" in choice else choice["delta"]
    return part.get("content") or ""
