"""The requests and responses of the model router's providers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LLMMessage:
    """One message of a conversation."""

    role: str
    content: str

    def as_openai(self) -> dict[str, Any]:
        """Return the message in OpenAI's format."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """An answer; `usage` counts `prompt_tokens`, `completion_tokens` and `total_tokens`, if reported."""

    text: str
    model: str
    provider: str
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingResponse:
    """The embedding of one text: as many numbers as the model has dimensions."""

    embeddings: list[float]
    model: str
    provider: str
    usage: Mapping[str, Any] | None = None


Conversation = Sequence[LLMMessage | Mapping[str, Any]]


def as_openai_messages(messages: Conversation) -> list[Mapping[str, Any]]:
    """Return a conversation in OpenAI's format; mappings are in that format already."""
    return [message.as_openai() if isinstance(message, LLMMessage) else message for message in messages]


def answer_of(body: Mapping[str, Any], provider: str, model: str) -> LLMResponse:
    """
    Convert OpenAI's chat completion; `model` is the requested one, used if the completion does not name it.
    """
    text = body["choices"][0]["message"].get("content") or ""
    return LLMResponse(text, body.get("model") or model, provider, body.get("usage"))


def vector_of(body: Mapping[str, Any], provider: str, model: str) -> EmbeddingResponse:
    """Convert the first embedding of OpenAI's embedding list."""
    vector = body["data"][0]["embedding"]
    return EmbeddingResponse(vector, body.get("model") or model, provider, body.get("usage"))
