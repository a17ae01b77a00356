"""How many tokens a prompt has, as Anthropic counts them: `POST /v1/messages/count_tokens`, which is free."""

from collections.abc import Callable, Mapping
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.formats.json_objects import found_in
from serve_app.pricing.usage import Usage
from serve_app.providers.anthropic.messages_endpoint import MessagesEndpoint
from serve_app.providers.anthropic.outgoing_request import fitted_messages, messages_dialects
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.failures import broken, failure_of_error
from serve_app.providers.vendor_words import is_error

# What a request for a count has of a request for a message; it is refused with anything else. As of
# `MessageCountTokensParams` in Anthropic's Python SDK (types/beta/message_count_tokens_params.py).
_COUNTED = frozenset({
    "model", "messages", "system", "tools", "tool_choice", "thinking", "cache_control", "context_management",
    "mcp_servers", "output_config", "output_format", "speed",
})  # fmt: skip


class CountTokensEndpoint:
    """`POST /v1/messages/count_tokens` of one upstream; the count is the `usage` of an answer."""

    path = "/messages/count_tokens"

    def __init__(
        self,
        provider_id: str,
        dialect: Callable[[str], Dialect],
        api_key: str | None,
        messages: MessagesEndpoint,
    ) -> None:
        """
        Args:
            provider_id: names the provider in failures.
            dialect: what each model takes of a request in OpenAI's words.
            api_key: our key, which an upstream may repeat and nobody else may see.
            messages: the endpoint whose requests are counted.
        """
        self._id = provider_id
        self._dialect = messages_dialects(dialect)
        self._api_key = api_key
        self._messages = messages

    def headers(self, call: Call) -> Mapping[str, str]:
        return self._messages.headers(call)

    def fitted(self, call: Call) -> Fitted:
        request = fitted_messages(call, self._dialect(call.model))
        fields = {name: value for name, value in request.fields.items() if name in _COUNTED}
        return Fitted(fields, request.dropped)

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        """A count is never a stream."""

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        found = found_in(body)
        if found is None:
            return broken(self._id, "sent an answer that is not a JSON object", 200)
        if is_error(found.object):
            return failure_of_error(found.object, self._id, self._api_key)
        tokens = found.object.get("input_tokens")
        if type(tokens) is not int or tokens < 0:
            return broken(self._id, "sent an answer without input_tokens", 200)
        return WholeAnswer(found.data, Usage(input=tokens, requests=0))
