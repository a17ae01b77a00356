"""OpenAI's chat completions, as an upstream is asked for them."""

from collections.abc import Callable, Mapping
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.formats.json_objects import as_json
from serve_app.formats.openai_chat.chunks import DONE
from serve_app.formats.openai_chat.stream_conversion import frames_of, whole_of
from serve_app.providers.anthropic.prompt_cache import least_tokens
from serve_app.providers.base import Call
from serve_app.providers.bodies import (
    Fitted,
    ask_for_stream,
    ask_for_whole,
    chars_in,
    choices_in,
    fitted,
    usage_in,
)
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.counted_usage import listener_for, said_in
from serve_app.providers.frames import ChatFrames
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.prompt_cache import mark_chat
from serve_app.providers.whole_answer import checked


class ChatEndpoint:
    """`POST /v1/chat/completions` of one upstream."""

    path = "/chat/completions"

    def __init__(
        self,
        provider_id: str,
        dialect: Callable[[str], Dialect],
        api_key: str | None,
        keeps_provider: bool,
        caches: Callable[[str], bool] = lambda model_id: False,
    ) -> None:
        """
        Args:
            provider_id: names the provider in failures.
            dialect: what each model takes of a request.
            api_key: our key, which an upstream may repeat and nobody else may see.
            keeps_provider: the upstream has a field `provider` itself.
            caches: whether prompts of a model are marked for the vendor's cache.
        """
        self._id = provider_id
        self._dialect = dialect
        self._api_key = api_key
        self._keeps_provider = keeps_provider
        self._caches = caches

    def headers(self, call: Call) -> Mapping[str, str]:
        return {}

    def fitted(self, call: Call) -> Fitted:
        request = fitted(call, self._dialect(call.model), self._keeps_provider)
        if self._caches(call.model):
            mark_chat(request.fields, least_tokens(call.model))
        return request

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        ask_for_whole(fields)

    def asks_usage(self, model_id: str) -> bool:
        return self._dialect(model_id).include_usage

    def ask_for_stream(self, fields: dict[str, Any], with_usage: bool) -> None:
        ask_for_stream(fields, with_usage)

    def reader(self, call: Call, fields: Mapping[str, Any], frame_limit: float) -> ChatFrames:
        choices = choices_in(fields)
        text = listener_for(call)
        return ChatFrames(self._id, call.wants_usage, choices, self._api_key, frame_limit, text)

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        answer = checked(body, self._id, "choices", secret=self._api_key)
        if isinstance(answer, UpstreamError):
            return answer
        usage = usage_in(answer.answer)
        if usage is not None:
            return WholeAnswer(answer.body, usage)
        return WholeAnswer(answer.body, None, said_in(answer.answer), chars_in(answer.answer))

    def gathered(self, call: Call, events: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        frames = ChatFrames(self._id, True, choices_in(fields), self._api_key)
        shown = frames.feed(events) + frames.end()
        return frames.shortfall or as_json(whole_of(shown))

    def spread(self, body: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        answer = checked(body, self._id, "choices", secret=self._api_key)
        return answer if isinstance(answer, UpstreamError) else frames_of(answer.answer) + DONE
