"""
The simulator: a provider that answers without a model, always with the same answer to the same request.

It is for a first try without keys, for load tests, and for rehearsing failures. The configuration (`script`)
decides its behaviour, never a model name.
"""

import hashlib
import math
import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import orjson

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig, Script
from serve_app.errors import UpstreamError, upstream_error
from serve_app.formats.openai_chat.chunks import frame_of
from serve_app.pricing.usage import Usage, estimate_tokens
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamEnd, StreamHead, StreamItem
from serve_app.providers.bodies import choices_in, fields_of
from serve_app.providers.failure_kinds import kind_of
from serve_app.providers.timeouts import Timeout, out_of_time

_WORDS = re.compile(r"\w+")
_PIECES = re.compile(r"\s*\S+|\s+$")


class ScriptedProvider:
    """A provider that follows its script; it waits only by the given clock."""

    def __init__(self, config: ProviderConfig, clock: Clock) -> None:
        self._config = config
        self._script = config.script or Script()
        self._clock = clock

    async def chat(self, call: Call) -> Answer | UpstreamError:
        started = self._clock.monotonic()
        if failure := await self._prelude(call):
            return failure
        reply = Reply(call, self._script)
        return Answer(orjson.dumps(reply.whole()), reply.usage, self._clock.monotonic() - started)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        started = self._clock.monotonic()
        if failure := await self._prelude(call, Timeout.FIRST_TOKEN):
            yield failure
            return
        reply = Reply(call, self._script)
        yield StreamHead(self._clock.monotonic() - started)
        for number, chunk in enumerate(reply.chunks()):
            if number and self._script.chunk_delay_s:
                await self._clock.sleep(min(self._script.chunk_delay_s, call.idle_s))
                if self._script.chunk_delay_s > call.idle_s:
                    yield out_of_time(self._config.id, Timeout.IDLE, call.idle_s)
                    return
            yield frame_of(chunk)
        if call.wants_usage:
            yield frame_of(reply.usage_chunk())
        yield StreamEnd(reply.usage, self._clock.monotonic() - started, reply.output_chars)

    async def embed(self, call: Call) -> Answer | UpstreamError:
        started = self._clock.monotonic()
        if failure := await self._prelude(call):
            return failure
        given = fields_of(call).get("input", "")
        texts = [str(text) for text in given] if isinstance(given, list) else [str(given)]
        usage = Usage(sum(estimate_tokens(len(text)) for text in texts))
        dimension = self._dimension(call.model)
        body = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": embedding_of(text, dimension)}
                for index, text in enumerate(texts)
            ],
            "model": call.model,
            "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens},
        }
        return Answer(orjson.dumps(body), usage, self._clock.monotonic() - started)

    async def health(self) -> Health:
        error = None
        if not self._config.models:
            error = "No models configured"
        elif self._script.stall or self._script.fail_with is not None:
            error = "The script says so"
        return Health(
            status=HealthStatus.UNHEALTHY if error else HealthStatus.HEALTHY,
            latency_ms=None if error else self._script.latency_s * 1000,
            error=error,
            models_available=tuple(dict.fromkeys(model.model_id for model in self._config.models)),
            last_check=self._clock.now(),
        )

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""

    async def _prelude(self, call: Call, last: Timeout = Timeout.WHOLE) -> UpstreamError | None:
        """Wait for the scripted latency; return the scripted failure or timeout, if any."""
        script, name = self._script, self._config.id
        limit_s, limit = call.timeout_s, last
        if call.first_byte_s < limit_s:
            limit_s, limit = call.first_byte_s, Timeout.FIRST_BYTE
        latency_s = math.inf if script.stall else script.latency_s
        await self._clock.sleep(min(latency_s, limit_s))
        if latency_s > limit_s:
            return out_of_time(name, limit, limit_s)
        if script.fail_with is None:
            return None
        return upstream_error(
            f"Provider '{name}' is configured to fail with {script.fail_with}",
            name,
            kind_of(script.fail_with),
            upstream_status=script.fail_with,
        )

    def _dimension(self, model_id: str) -> int:
        configured = (m.dimension for m in self._config.models if m.model_id == model_id and m.dimension)
        return next(configured, self._script.dimension)


class Reply:
    """The one answer to one request, whole or in chunks."""

    def __init__(self, call: Call, script: Script) -> None:
        fields = fields_of(call)
        prompt = _text_of(fields.get("messages"))
        self._model = call.model
        self._id = f"chatcmpl-{hashlib.blake2b(call.body, digest_size=12).hexdigest()}"
        self._choices = choices_in(fields)
        self._tool = _forced_tool(fields)
        self._text, self._finish = "", "tool_calls"
        if self._tool is None:
            text = script.answer if script.answer is not None else f"{call.model} here. You said: {prompt[1]}"
            self._text, self._finish = _limited(text, fields)
        self.output_chars = self._choices * len(self._text or orjson.dumps(self._tool))
        self.usage = Usage(input=estimate_tokens(prompt[0]), output=estimate_tokens(self.output_chars))

    def whole(self) -> dict[str, Any]:
        """Return the answer as a `chat.completion`."""
        message: dict[str, Any] = {"role": "assistant", "content": self._text}
        if self._tool is not None:
            message = {"role": "assistant", "content": None, "tool_calls": [self._tool]}
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": self._finish}
            for index in range(self._choices)
        ]
        return {**self._envelope("chat.completion"), "choices": choices, "usage": self._usage()}

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Yield the answer as `chat.completion.chunk`s, word by word, all choices interleaved."""
        yield from self._deltas({"role": "assistant", "content": ""})
        if self._tool is not None:
            yield from self._deltas({"tool_calls": [{"index": 0, **self._tool}]})
        for piece in _PIECES.findall(self._text):
            yield from self._deltas({"content": piece})
        yield from self._deltas({}, self._finish)

    def usage_chunk(self) -> dict[str, Any]:
        """Return the last chunk, for a caller who asked for the usage."""
        return {**self._envelope("chat.completion.chunk"), "choices": [], "usage": self._usage()}

    def _deltas(self, delta: dict[str, Any], finish: str | None = None) -> Iterator[dict[str, Any]]:
        for index in range(self._choices):
            choice = {"index": index, "delta": delta, "finish_reason": finish}
            yield {**self._envelope("chat.completion.chunk"), "choices": [choice]}

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": 0, "model": self._model}

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.usage.input_tokens,
            "completion_tokens": self.usage.output_tokens,
            "total_tokens": self.usage.total_tokens,
        }


def embedding_of(text: str, dimension: int) -> list[float]:
    """
    Return a unit vector by feature hashing of words and their trigrams.

    Texts that share words are near each other, however often they use them. The vector is the same in every
    process on every machine.
    """
    vector = [0.0] * dimension
    for feature, weight in dict(_features(text.lower())).items():
        digest = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
        vector[(digest >> 1) % dimension] += weight if digest & 1 else -weight
    length = math.hypot(*vector)
    if length == 0:
        return [1.0] + [0.0] * (dimension - 1)  # a text without a feature still has a direction
    return [value / length for value in vector]


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORDS.findall(text):
        yield word, 1.0
        padded = f"^{word}$"
        for start in range(len(padded) - 2):
            yield f"#{padded[start : start + 3]}", 0.5


def _text_of(messages: Any) -> tuple[int, str]:
    """Return the total length of the messages, and the text of the last user message."""
    total, last = 0, ""
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            content = " ".join(
                str(part.get("text", "")) for part in content if isinstance(part, dict)
            ).strip()
        if isinstance(content, str):
            total += len(content)
            last = content if message.get("role") == "user" else last
    return total, last


def _limited(text: str, fields: dict[str, Any]) -> tuple[str, str]:
    """Return the text, cut to the allowed tokens, and its finish reason."""
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    if isinstance(limit, int) and len(text) > limit * 4:
        return text[: limit * 4], "length"
    return text, "stop"


def _forced_tool(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Return the tool call that the request forces; None: none."""
    choice, tools = fields.get("tool_choice"), fields.get("tools")
    if not isinstance(tools, list) or not tools:
        return None
    if isinstance(choice, dict):
        name = choice.get("function", {}).get("name")
    elif choice == "required":
        name = tools[0].get("function", {}).get("name")
    else:
        return None
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}
