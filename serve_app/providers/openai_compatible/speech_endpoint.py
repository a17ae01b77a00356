"""OpenAI's speech, as an upstream is asked for it."""

from collections.abc import Callable, Mapping
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted, fitted
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.http.endpoint import SoundEndpoint, WholeAnswer
from serve_app.providers.openai_compatible.failures import broken


class SpeechEndpoint(SoundEndpoint):
    """`POST /v1/audio/speech` of one upstream: its answer is sound, as it comes."""

    path = "/audio/speech"

    def __init__(self, provider_id: str, dialect: Callable[[str], Dialect], api_key: str | None) -> None:
        """As of `ChatEndpoint`."""
        self._id = provider_id
        self._dialect = dialect
        self._api_key = api_key

    def headers(self, call: Call) -> Mapping[str, str]:
        return {}

    def fitted(self, call: Call) -> Fitted:
        return fitted(call, self._dialect(call.model))

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        fields.pop("stream", None)

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        """Refuse JSON: the answer is sound."""
        return broken(self._id, "sent JSON instead of sound", 200)
