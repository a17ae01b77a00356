"""OpenAI's transcriptions and translations, as an upstream is asked for them."""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

import aiohttp

from serve_app.errors import UpstreamError
from serve_app.formats.json_objects import found_in, parsed
from serve_app.formats.openai_transcription import JSON_FORMATS
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted, fitted, usage_in
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.http.endpoint import FormEndpoint, TextEndpoint, WholeAnswer
from serve_app.providers.openai_compatible.failures import broken, failure_of_error
from serve_app.providers.openai_compatible.sent_form import UNNAMED, form_with
from serve_app.providers.vendor_words import is_error
from serve_app.providers.whole_answer import no_object

LONGEST_S = 10_000_000.0  # a duration above this one is none

_TEXTS = frozenset({"text/plain", "text/vtt", "text/srt", "application/x-subrip", UNNAMED})


class TranscriptionEndpoint(FormEndpoint, TextEndpoint):
    """One of the two endpoints of one upstream; it has no streams."""

    def __init__(
        self, path: str, provider_id: str, dialect: Callable[[str], Dialect], api_key: str | None
    ) -> None:
        """
        As of `ChatEndpoint`.

        Args:
            path: of the endpoint, below the versioned address.
            provider_id: the provider's id, for messages.
            dialect: finds what a model takes of a request.
            api_key: the gateway's key, which is removed from messages.
        """
        self.path = path
        self._id = provider_id
        self._dialect = dialect
        self._api_key = api_key

    def headers(self, call: Call) -> Mapping[str, str]:
        return {}

    def fitted(self, call: Call) -> Fitted:
        return fitted(call, self._dialect(call.model))

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        """There is no other way to ask."""

    def form(self, call: Call, fields: Mapping[str, Any]) -> aiohttp.FormData:
        return form_with(fields, call.files)

    def takes_text(self, fields: Mapping[str, Any]) -> bool:
        return fields.get("response_format", "json") not in JSON_FORMATS

    def text(self, body: bytes, content_type: str) -> WholeAnswer | UpstreamError:
        said = parsed(body) if body.lstrip()[:1] == b"{" else None
        if said is not None and is_error(said):
            return failure_of_error(said, self._id, self._api_key, 200)
        if content_type not in _TEXTS:
            return broken(self._id, "sent an answer that is not the text that was asked for", 200)
        try:
            body.decode()
        except UnicodeDecodeError:
            return broken(self._id, "sent a text that is not UTF-8", 200)
        called = content_type if content_type == UNNAMED else f"{content_type}; charset=utf-8"
        return WholeAnswer(body, None, content_type=called)

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        found = found_in(body.removeprefix(b"\xef\xbb\xbf"))
        if found is None:
            return no_object(body, self._id, self._api_key)
        answer = found.object
        if is_error(answer):
            return failure_of_error(answer, self._id, self._api_key)
        if not isinstance(answer.get("text"), str):
            lacking = f"Provider '{self._id}' sent an answer without 'text'"
            return failure_of_error(answer, self._id, self._api_key, 200, lacking)
        return WholeAnswer(found.data, usage_in(answer) or _duration_in(answer))


def _duration_in(answer: Mapping[str, Any]) -> Usage | None:
    """Return the length of the sound, which the detailed formats tell; OpenAI has written it as a text."""
    try:
        seconds = float(answer.get("duration", 0))
    except (TypeError, ValueError):
        return None
    return Usage(seconds=ceil(seconds)) if 0 < seconds < LONGEST_S else None
