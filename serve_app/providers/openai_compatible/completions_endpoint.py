"""OpenAI's text completions, as an upstream is asked for them."""

from collections.abc import Callable, Mapping
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.formats.json_objects import as_json
from serve_app.formats.openai_chat.chunks import DONE, choices_in
from serve_app.formats.openai_chat.output import bounded
from serve_app.formats.openai_completions.chunks import frames_of, says_something, text_of, whole_of
from serve_app.formats.openai_completions.prompts import prompts_in
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted, ask_for_stream, ask_for_whole, fields_of, usage_in
from serve_app.providers.bodies import choices_in as answers_in
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.counted_usage import listener_for, said_in
from serve_app.providers.frames import ChatFrames
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.whole_answer import Whole, checked


class CompletionFrames(ChatFrames):
    """Reads the frames of one text completion."""

    def has_begun(self, block: bytes) -> bool:
        """Tell whether a block holds more than that an answer begins."""
        return says_something(block)


class CompletionsEndpoint:
    """
    `POST /v1/completions` of one upstream.

    What a model takes of a chat says nothing about its text completions, so no parameter is dropped.
    """

    path = "/completions"

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
        fields = fields_of(call, self._keeps_provider)
        bounded(fields, "max_tokens", call.output_tokens)
        return Fitted(fields)

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        ask_for_whole(fields)

    def asks_usage(self, model_id: str) -> bool:
        return self._dialect(model_id).include_usage

    def ask_for_stream(self, fields: dict[str, Any], with_usage: bool) -> None:
        ask_for_stream(fields, with_usage)

    def reader(self, call: Call, fields: Mapping[str, Any], frame_limit: float) -> CompletionFrames:
        choices, text = _choices_asked(fields), listener_for(call)
        return CompletionFrames(self._id, call.wants_usage, choices, self._api_key, frame_limit, text)

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        answer = self._checked(body)
        if isinstance(answer, UpstreamError):
            return answer
        usage = usage_in(answer.answer)
        if usage is not None:
            return WholeAnswer(answer.body, usage)
        chars = sum(len(text_of(choice)) for choice in choices_in(answer.answer))
        return WholeAnswer(answer.body, None, said_in(answer.answer), chars)

    def gathered(self, call: Call, events: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        frames = CompletionFrames(self._id, True, _choices_asked(fields), self._api_key)
        shown = frames.feed(events) + frames.end()
        return frames.shortfall or as_json(whole_of(shown))

    def spread(self, body: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        answer = self._checked(body)
        return answer if isinstance(answer, UpstreamError) else frames_of(answer.answer) + DONE

    def _checked(self, body: bytes) -> Whole | UpstreamError:
        return checked(body, self._id, "choices", secret=self._api_key, part="text")


def _choices_asked(fields: Mapping[str, Any]) -> int:
    return answers_in(fields) * prompts_in(fields.get("prompt"))
