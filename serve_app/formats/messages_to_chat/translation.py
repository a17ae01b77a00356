"""One request of a caller of Anthropic Messages, for an upstream that speaks chat completions."""

from typing import Any

from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.messages_to_chat.answer import MessageStream, whole_message
from serve_app.formats.messages_to_chat.request import chat_request
from serve_app.formats.translated_ids import ToolNames
from serve_app.formats.translation import StreamTranslation
from serve_app.providers.catalogue.dialect import told


class MessagesToChat:
    """The request as a chat, and the chat's answer as a message, as `Translation` asks."""

    def __init__(self, body: bytes, created: int = 0) -> None:
        """
        Translate a request that was parsed as Anthropic Messages.

        Raises:
            InvalidRequest: 400, it has content that a chat cannot carry and that must not be left out.
        """
        asked: dict[str, Any] = loads(body)
        dropped: set[str] = set()
        self._names = ToolNames()
        chat = chat_request(asked, self._names, dropped)
        model = asked.get("model")
        self._model = model if isinstance(model, str) else None
        self._stops = frozenset(chat.get("stop", ()))
        self.body = dumps(chat)
        self.dropped = told(dropped)

    def answer(self, body: bytes) -> bytes:
        """Return a chat completion as a message."""
        return whole_message(body, self._model, self._names, self._stops)

    def stream(self) -> StreamTranslation:
        """Return the translation of one stream of chunks."""
        return MessageStream(self._model, self._names, self._stops)
