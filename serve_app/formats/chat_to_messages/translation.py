"""One request of a caller of chat completions, for an upstream that speaks Anthropic Messages."""

from typing import Any

from serve_app.formats.chat_to_messages.answer import ChunkStream, Expected, completion
from serve_app.formats.chat_to_messages.request import messages_request
from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.translated_ids import ToolNames
from serve_app.formats.translation import StreamTranslation
from serve_app.providers.catalogue.dialect import told


class ChatToMessages:
    """The chat as a Messages request, and the message as the chat's answer, as `Translation` asks."""

    def __init__(self, body: bytes, created: int = 0) -> None:
        """
        Translate a request that was parsed as a chat.

        Args:
            body: the request.
            created: when it came, in seconds since 1970: chat completions tell it.

        Raises:
            InvalidRequest: 400, it has content that no message can carry and that must not be left out.
        """
        chat: dict[str, Any] = loads(body)
        dropped: set[str] = set()
        names = ToolNames()
        asked = messages_request(chat, names, dropped)
        model, options = chat.get("model"), chat.get("stream_options")
        self._expected = Expected(
            model=model if isinstance(model, str) else None,
            names=names,
            custom=asked.custom,
            wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
            created=created,
        )
        self.body = dumps(asked.body)
        self.dropped = told(dropped)

    def answer(self, body: bytes) -> bytes:
        """Return a message as a chat completion."""
        return completion(body, self._expected)

    def stream(self) -> StreamTranslation:
        """Return the translation of one stream of events."""
        return ChunkStream(self._expected)
