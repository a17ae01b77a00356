"""Anthropic's Messages, as an upstream is asked for them."""

from collections.abc import Callable, Mapping
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.formats.anthropic_messages.events import events_in, message_in, usage_of_message
from serve_app.formats.anthropic_messages.stream_conversion import answer_of, events_of
from serve_app.formats.json_objects import as_json, errors_in_list, found_in
from serve_app.providers.anthropic.frames import STOP_REASONS, MessageFrames
from serve_app.providers.anthropic.outgoing_request import fitted_messages, messages_dialects
from serve_app.providers.anthropic.prompt_cache import least_tokens, mark_prompt
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.finish_reasons import tell_unknown_finish
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.failures import broken, failure_of_error
from serve_app.providers.vendor_words import is_error

BETA = "anthropic-beta"
TOKENS_BETA = "oauth-2025-04-20"  # what the API asks for beside an OAuth token


class MessagesEndpoint:
    """`POST /v1/messages` of one upstream."""

    path = "/messages"

    def __init__(
        self,
        provider_id: str,
        dialect: Callable[[str], Dialect],
        api_key: str | None,
        shows_token: bool,
        caches: Callable[[str], bool] = lambda model_id: False,
    ) -> None:
        """
        Args:
            provider_id: names the provider in failures.
            dialect: what each model takes of a request in OpenAI's words.
            api_key: our key, which an upstream may repeat and nobody else may see.
            shows_token: the key is an OAuth token.
            caches: whether prompts of a model are marked for the vendor's cache.
        """
        self._id = provider_id
        self._dialect = messages_dialects(dialect)
        self._api_key = api_key
        self._shows_token = shows_token
        self._caches = caches

    def headers(self, call: Call) -> Mapping[str, str]:
        """The caller's own; what the gateway adds to the list of betas comes after the caller's."""
        headers = dict(call.headers)
        if self._shows_token and call.api_base is None:
            given = headers.get(BETA, "")
            if TOKENS_BETA not in map(str.strip, given.split(",")):
                headers[BETA] = ",".join(beta for beta in (given, TOKENS_BETA) if beta)
        return headers

    def fitted(self, call: Call) -> Fitted:
        request = fitted_messages(call, self._dialect(call.model))
        if self._caches(call.model):
            mark_prompt(request.fields, least_tokens(call.model))
        return request

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        fields.pop("stream", None)

    def asks_usage(self, model_id: str) -> bool:
        return False

    def ask_for_stream(self, fields: dict[str, Any], with_usage: bool) -> None:
        fields["stream"] = True

    def reader(self, call: Call, fields: Mapping[str, Any], frame_limit: float) -> MessageFrames:
        return MessageFrames(self._id, self._api_key, frame_limit)

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        found = found_in(body.removeprefix(b"\xef\xbb\xbf"))
        if found is None:
            if (errors := errors_in_list(body)) is not None:
                return failure_of_error(errors, self._id, self._api_key)
            return broken(self._id, "sent an answer that is not a JSON object", 200)
        answer = found.object
        if is_error(answer):
            return failure_of_error(answer, self._id, self._api_key)
        content, reason = answer.get("content"), answer.get("stop_reason")
        if not isinstance(content, list):
            lacking = f"Provider '{self._id}' sent an answer without 'content'"
            return failure_of_error(answer, self._id, self._api_key, 200, lacking)
        if not isinstance(reason, str) or not reason:
            return broken(self._id, "sent an answer without a stop_reason", 200)
        if reason not in STOP_REASONS:
            tell_unknown_finish(self._id, reason)
        reported = answer.get("usage")
        usage = usage_of_message(reported) if isinstance(reported, dict) else None
        return WholeAnswer(found.data, usage, chars=_chars_in(content) if usage is None else 0)

    def gathered(self, call: Call, events: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        frames = MessageFrames(self._id, self._api_key)
        shown = frames.feed(events) + frames.end()
        return frames.shortfall or as_json(answer_of(events_in(shown)))

    def spread(self, body: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        whole = self.whole(body, fields)
        if isinstance(whole, UpstreamError):
            return whole
        return events_of(message_in(whole.body) or {})


def _chars_in(content: list[Any]) -> int:
    texts = (block.get("text") for block in content if isinstance(block, dict))
    return sum(len(text) for text in texts if isinstance(text, str))
