"""The Python interface of a gateway that runs as a Serve application or in this process."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

from serve_app.clients.bodies import Messages


class GatewayPort(Protocol):
    """A gateway: takes keyword arguments, returns OpenAI's format, and raises failures as GatewayError."""

    async def chat(self, messages: Messages, model: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return a complete chat completion."""

    def chat_stream(
        self, messages: Messages, model: str | None = None, **fields: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the chunks of a chat completion."""

    async def embed(
        self,
        input: str | Sequence[Any],  # noqa: A002 (OpenAI's name for it)
        model: str | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Return embeddings of one or several texts."""
