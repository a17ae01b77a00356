"""The base of endpoints that take JSON, answer with JSON, and have no streams."""

from collections.abc import Mapping
from typing import Any

from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted, fields_of


class JsonEndpoint:
    """A `POST` of one upstream, below its versioned address; a subclass has the path and reads answers."""

    def __init__(self, provider_id: str, api_key: str | None, keeps_provider: bool) -> None:
        """As of `ChatEndpoint`."""
        self._id = provider_id
        self._api_key = api_key
        self._keeps_provider = keeps_provider

    def headers(self, call: Call) -> Mapping[str, str]:
        return {}

    def fitted(self, call: Call) -> Fitted:
        return Fitted(fields_of(call, self._keeps_provider))

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        """There is no other way to ask."""
