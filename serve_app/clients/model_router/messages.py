"""The requests and responses of the model router's providers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LLMMessage:
    """One turn of a conversation."""

    role: str
    content: str

    def as_openai(self) -> dict[str, Any]:
        """The message in OpenAI's words."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """An answer; `usage` counts `prompt_tokens`, `completion_tokens` and `total_tokens`, where told."""

    text: str
    model: str
    provider: str
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingResponse:
    """The vector of one text: as many numbers as the model has dimensions."""

    embeddings: list[float]
    model: str
    provider: str
    usage: Mapping[str, Any] | None = None


Conversation = Sequence[LLMMessage | Mapping[str, Any]]


def in_openai_words(messages: Conversation) -> list[Mapping[str, Any]]:
    """A conversation of messages, or of mappings that are in OpenAI's words already."""
    return [message.as_openai() if isinstance(message, LLMMessage) else message for message in messages]


def answer_of(body: Mapping[str, Any], provider: str, model: str) -> LLMResponse:
    """OpenAI's chat completion as a response; `model` is who was asked, should it not say so."""
    text = body["choices"][0]["message"].get("content") or ""
    return LLMResponse(text, body.get("model") or model, provider, body.get("usage"))


def vector_of(body: Mapping[str, Any], provider: str, model: str) -> EmbeddingResponse:
    """The first vector of OpenAI's embedding list."""
    vector = body["data"][0]["embedding"]
    return EmbeddingResponse(vector, body.get("model") or model, provider, body.get("usage"))
