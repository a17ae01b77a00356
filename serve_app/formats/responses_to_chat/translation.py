"""The translation of one request of `POST /v1/responses` to chat completions and back."""

from collections.abc import Mapping
from typing import Any

from serve_app.formats.exact_json import dumps, loads
from serve_app.formats.json_objects import as_json
from serve_app.formats.openai_chat.chunks import choices_in
from serve_app.formats.responses_to_chat.request import chat_body
from serve_app.formats.responses_to_chat.stream import ResponseStream
from serve_app.formats.upstream_json import answer_in
from serve_app.providers.catalogue.dialect import told


class ResponsesToChat:
    """
    A Responses request on its way to a chat upstream, and the answer on its way back.

    Attributes:
        body: the request as a chat request; its model is the caller's.
        dropped: what of the caller's request a chat does not have, in alphabetical order.
    """

    def __init__(self, body: bytes, created: int = 0) -> None:
        """
        Translate a request.

        Args:
            body: the caller's request, which its format has checked.
            created: when it came, in seconds since 1970, where the upstream does not tell it.

        Raises:
            InvalidRequest: 400, it has what a chat cannot have and what must not be left out.
        """
        self._asked_raw = body
        self._created = created
        self._asked: Mapping[str, Any] = loads(body)
        chat = chat_body(self._asked)
        self._table = chat.table
        self.body = dumps(chat.fields)
        self.dropped = told(chat.dropped)

    def answer(self, body: bytes) -> bytes:
        """Return the upstream's chat completion as a response."""
        whole = answer_in(body)
        response = self.stream()
        response.take({**whole, "choices": [_as_delta(choice) for choice in choices_in(whole)]})
        response.close()
        return as_json(response.response)

    def stream(self) -> ResponseStream:
        """Return the translation of one stream."""
        return ResponseStream(self._asked_raw, self._asked, self._table, self._created)


def _as_delta(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return a choice of a whole answer as a stream's only piece of it."""
    return {**choice, "delta": choice.get("message")}
