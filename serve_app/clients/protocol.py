"""What a gateway offers to Python, whether it runs as a Serve application or in this process."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

from serve_app.clients.bodies import Messages


class GatewayPort(Protocol):
    """Requests as keywords, answers in OpenAI's words; failures are raised as GatewayError."""

    async def chat(self, messages: Messages, model: str | None = None, **fields: Any) -> dict[str, Any]:
        """One whole chat completion."""

    def chat_stream(
        self, messages: Messages, model: str | None = None, **fields: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """A chat completion in chunks."""

    async def embed(
        self,
        input: str | Sequence[Any],  # noqa: A002 (OpenAI's name for it)
        model: str | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Vectors for a text or for several."""
