"""OpenAI's embeddings, as an upstream is asked for them."""

from collections.abc import Callable, Mapping
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted, fitted, inputs_in, usage_in
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.counted_usage import said_in
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.whole_answer import checked


class EmbeddingsEndpoint:
    """`POST /v1/embeddings` of one upstream; it has no streams."""

    path = "/embeddings"

    def __init__(
        self,
        provider_id: str,
        dialect: Callable[[str], Dialect],
        api_key: str | None,
        keeps_provider: bool,
    ) -> None:
        """As of `ChatEndpoint`."""
        self._id = provider_id
        self._dialect = dialect
        self._api_key = api_key
        self._keeps_provider = keeps_provider

    def headers(self, call: Call) -> Mapping[str, str]:
        return {}

    def fitted(self, call: Call) -> Fitted:
        return fitted(call, self._dialect(call.model), self._keeps_provider)

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        """There is no other way to ask."""

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        answer = checked(body, self._id, "data", inputs_in(fields), self._api_key)
        if isinstance(answer, UpstreamError):
            return answer
        return WholeAnswer(answer.body, usage_in(answer.answer), said_in(answer.answer))
