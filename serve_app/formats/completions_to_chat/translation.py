"""One request of `POST /v1/completions`, for an upstream that speaks chat completions."""

from typing import Any

from serve_app.formats.chained_translation import Composed
from serve_app.formats.chat_to_messages.translation import ChatToMessages
from serve_app.formats.checked_members import not_carried
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.json_body import HINTS
from serve_app.formats.json_objects import as_json
from serve_app.formats.openai_chat.chunks import choices_in, chunks_in, frame_of, index_of
from serve_app.formats.openai_chat.chunks import text_of as delta_text_of
from serve_app.formats.openai_completions.chunks import TEXT_COMPLETION
from serve_app.formats.openai_completions.request import output_limit
from serve_app.formats.translation import StreamTranslation
from serve_app.formats.upstream_json import answer_in
from serve_app.providers.catalogue.dialect import told

# What both formats call by the same name and mean alike.
_SAME = frozenset({
    "model", "temperature", "top_p", "min_p", "top_k", "n", "stop", "presence_penalty", "frequency_penalty",
    "logit_bias", "seed", "user", "stream", "stream_options", "service_tier",
})  # fmt: skip
_KNOWN = _SAME | {"prompt", "max_tokens", "suffix", "echo", "best_of", "provider", *HINTS}
_WAY_OUT = "name one whose provider serves text completions"


class CompletionsToChat:
    """The prompt as a user's message, and the chat's answer as a text, as `Translation` asks."""

    def __init__(self, body: bytes, created: int = 0) -> None:
        """
        Translate a request that was parsed as a text completion.

        Raises:
            InvalidRequest: 400, it asks for what a chat cannot do: several prompts, tokens, a suffix, an
                echo, the best of several answers.
        """
        asked: dict[str, Any] = loads(body)
        prompt = _only_text(asked["prompt"])
        _refuse(asked)
        chat = {name: value for name, value in asked.items() if name in _SAME and value is not None}
        chat["max_tokens"] = output_limit(asked)
        chat["messages"] = [{"role": "user", "content": prompt}]
        self.body = dumps(chat)
        self.dropped = told(name for name, value in asked.items() if name not in _KNOWN and value is not None)
        self._wants_usage = bool((asked.get("stream_options") or {}).get("include_usage"))

    def answer(self, body: bytes) -> bytes:
        """Return a chat completion as a text completion."""
        chat = answer_in(body) or {}
        choices = [_choice(choice, _content_of(choice)) for choice in choices_in(chat)]
        return as_json(_completion(chat, choices))

    def stream(self) -> StreamTranslation:
        """Return the translation of one stream of chunks."""
        return _CompletionStream(self._wants_usage)


def completions_to_messages(body: bytes, created: int = 0) -> Composed:
    """
    Translate a request for an upstream that speaks Anthropic Messages, by way of chat completions.

    Raises:
        InvalidRequest: 400, the request has what a message cannot carry and what must not be left out.
    """
    return Composed(CompletionsToChat(body, created), ChatToMessages, created=created)


class _CompletionStream:
    """One stream of a chat's chunks on its way back."""

    def __init__(self, wants_usage: bool) -> None:
        self._wants_usage = wants_usage

    def feed(self, block: bytes) -> bytes:
        """Return the chunks with a text or an end; and the usage, where the caller asked for it."""
        return b"".join(map(self._frame, chunks_in(block)))

    def end(self) -> bytes:
        return b""

    def _frame(self, chunk: dict[str, Any]) -> bytes:
        pieces = ((choice, delta_text_of(choice)) for choice in choices_in(chunk))
        choices = [_choice(choice, text) for choice, text in pieces if text or choice.get("finish_reason")]
        told_usage = self._wants_usage and isinstance(chunk.get("usage"), dict)
        if not choices and not told_usage:
            return b""
        completion = _completion(chunk, choices)
        if not told_usage:
            completion.pop("usage", None)
        return frame_of(completion)


def _only_text(prompt: Any) -> str:
    """Return the one text of a prompt, also from a list that holds nothing else."""
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt
    raise not_carried("prompt", "Tokens and several prompts", f"send one text, or {_WAY_OUT}")


def _refuse(asked: dict[str, Any]) -> None:
    if asked.get("suffix"):
        raise not_carried("suffix", "A suffix", _WAY_OUT)
    if asked.get("echo"):
        raise not_carried("echo", "An echo of the prompt", _WAY_OUT)
    best_of = asked.get("best_of")
    if best_of is not None and best_of > 1:
        raise not_carried("best_of", "The best of several answers", _WAY_OUT)


def _completion(chat: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a text completion, or a chunk of one, with the chat's own envelope."""
    names = ("id", "created", "model", "system_fingerprint", "service_tier", "usage")
    envelope = {name: chat[name] for name in names if name in chat}
    return {**envelope, "object": TEXT_COMPLETION, "choices": choices}


def _choice(choice: dict[str, Any], text: str) -> dict[str, Any]:
    reason = choice.get("finish_reason")
    return {"text": text, "index": index_of(choice), "logprobs": None, "finish_reason": reason}


def _content_of(choice: dict[str, Any]) -> str:
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""
