"""The requests and responses of the LLM bridge's Python interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from serve_app.clients.bridge.provider import LlmProvider


class MessageRole(StrEnum):
    """The author of a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    FUNCTION = "function"
    TOOL = "tool"


class ApiModel(BaseModel):
    """The base of these models, which allows field names that begin with `model_`."""

    model_config = ConfigDict(protected_namespaces=())


class ChatMessage(ApiModel):
    """
    One message of a conversation; `images` are URLs, data URIs or bare base64, which is taken for a JPEG.
    """

    role: MessageRole
    content: str | list[dict[str, Any]] | None
    name: str | None = None
    function_call: dict[str, Any] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    images: list[str] | None = None

    def as_openai(self) -> dict[str, Any]:
        """Return the message in OpenAI's format: with images its content is a list, the text first."""
        message: dict[str, Any] = {"role": self.role.value, "content": self.content}
        if self.images:
            message["content"] = [*self._text_parts(), *map(_image_part, self.images)]
        for field in ("name", "function_call", "tool_calls", "tool_call_id"):
            if (value := getattr(self, field)) is not None:
                message[field] = value
        return message

    def _text_parts(self) -> list[dict[str, Any]]:
        if isinstance(self.content, list):
            return self.content
        return [{"type": "text", "text": self.content or ""}]


def _image_part(image: str) -> dict[str, Any]:
    is_address = image.startswith("data:") or "://" in image
    url = image if is_address else f"data:image/jpeg;base64,{image}"
    return {"type": "image_url", "image_url": {"url": url}}


class ChatResponse(ApiModel):
    """A complete answer; `usage` counts `prompt_tokens`, `completion_tokens` and `total_tokens`."""

    content: str
    model: str
    provider_id: str
    finish_reason: str | None = None
    usage: dict[str, int]
    metadata: dict[str, Any] | None = None


class EmbeddingResponse(ApiModel):
    """One vector; `usage` counts `prompt_tokens` and `total_tokens`."""

    embedding: list[float]
    model: str
    provider_id: str
    dimension: int
    usage: dict[str, int]
    metadata: dict[str, Any] | None = None


class ModelInfo(ApiModel):
    """The capabilities of a model."""

    model_id: str
    provider_id: str
    display_name: str | None = None
    context_window: int | None = None
    supports_vision: bool = False
    supports_audio: bool = False
    supports_function_calling: bool = False
    dimension: int | None = None
    metadata: dict[str, Any] | None = None


class CachedModelInfo(ModelInfo):
    """A model for one task, as the registry keeps it."""

    task: str
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class RoutingResult:
    """
    The target for a request, and the fallbacks if it fails.

    `estimated_cost` is in US dollars; a model without a price counts as 0.0, as everywhere in this interface.
    """

    provider: "LlmProvider"
    model_id: str
    estimated_cost: float
    reason: str
    fallbacks: Sequence["RoutingResult"] = ()
