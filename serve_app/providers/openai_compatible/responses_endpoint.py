"""OpenAI's Responses, as an upstream is asked for them."""

from collections.abc import Callable, Mapping
from typing import Any

from serve_app.errors import FailureKind, UpstreamError
from serve_app.formats.exact_json import loads
from serve_app.formats.json_body import HINTS
from serve_app.formats.json_objects import as_json, errors_in_list, found_in
from serve_app.formats.openai_chat.output import bounded
from serve_app.formats.openai_responses.events import frames_of, usage_in, whole_of
from serve_app.formats.openai_responses.hosted_tools import limit_uses
from serve_app.formats.openai_responses.request import NO_OPTIONS
from serve_app.formats.responses_to_chat.reasoning import PREFIX
from serve_app.formats.upstream_json import answer_in, is_too_deep
from serve_app.providers.base import Call
from serve_app.providers.bodies import Fitted
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.failures import broken, failure_of_ending, failure_of_error
from serve_app.providers.openai_compatible.response_frames import ResponseFrames
from serve_app.providers.vendor_words import is_error

# What both of OpenAI's formats call by the same name, so that a dialect's rules hold for both.
_SAME_NAMES = frozenset({"temperature", "top_p", "top_logprobs", "parallel_tool_calls"})

ENDED = frozenset({"completed", "incomplete"})
_ENCRYPTED = "reasoning.encrypted_content"
_TOO_DEEP = "sent an answer that is nested too deep"


class ResponsesEndpoint:
    """
    `POST /v1/responses` of one upstream.

    Nothing is stored there: tenants share the account, so the gateway keeps what is to be kept.
    """

    path = "/responses"

    def __init__(self, provider_id: str, dialect: Callable[[str], Dialect], api_key: str | None) -> None:
        """
        Args:
            provider_id: names the provider in failures.
            dialect: what each model takes of a request in chat's words.
            api_key: our key, which an upstream may repeat and nobody else may see.
        """
        self._id = provider_id
        self._dialect = dialect
        self._api_key = api_key

    def headers(self, call: Call) -> Mapping[str, str]:
        return {}

    def fitted(self, call: Call) -> Fitted:
        fields: dict[str, Any] = loads(call.body)
        for name in (*HINTS, "provider", "previous_response_id"):
            fields.pop(name, None)
        dialect = self._dialect(call.model)
        if dialect.encrypts_thoughts and fields.get("store") is not False:
            _ask_for_thoughts(fields)
        fields["model"] = call.model
        fields["store"] = False
        if isinstance(items := fields.get("input"), list):
            forgets = dialect.encrypts_thoughts
            fields["input"] = [item for item in items if not _is_lost_thought(item, forgets)]
        fields = _bounded(fields, call.output_tokens)
        if call.limits_tools:
            limit_uses(fields)
        return Fitted(fields, _rules(dialect, fields).fit(fields))

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        fields.pop("stream", None)
        fields.pop("stream_options", None)

    def asks_usage(self, model_id: str) -> bool:
        return False

    def ask_for_stream(self, fields: dict[str, Any], with_usage: bool) -> None:
        fields["stream"] = True

    def reader(self, call: Call, fields: Mapping[str, Any], frame_limit: float) -> ResponseFrames:
        return ResponseFrames(self._id, self._api_key, frame_limit)

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        found = found_in(body.removeprefix(b"\xef\xbb\xbf"))
        if found is None:
            if (errors := errors_in_list(body)) is not None:
                return failure_of_error(errors, self._id, self._api_key)
            return broken(self._id, "sent an answer that is not a JSON object", 200)
        answer = found.object
        output, status = answer.get("output"), answer.get("status")
        if status == "failed" and isinstance(output, list):
            said = answer.get("error") or f"Provider '{self._id}' reported that the response failed"
            return failure_of_ending(said, FailureKind.BROKEN, self._id, self._api_key)
        if is_error(answer):
            return failure_of_error(answer, self._id, self._api_key)
        if not isinstance(output, list):
            lacking = f"Provider '{self._id}' sent an answer without 'output'"
            return failure_of_error(answer, self._id, self._api_key, 200, lacking)
        if not isinstance(status, str) or status not in ENDED:
            return broken(self._id, "sent a response that has not ended", 200)
        return WholeAnswer(found.data, usage_in(answer), chars=_chars_in(output))

    def gathered(self, call: Call, events: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        frames = ResponseFrames(self._id, self._api_key)
        shown = frames.feed(events) + frames.end()
        response = whole_of(shown) or {}
        if frames.shortfall is not None:
            return frames.shortfall
        return broken(self._id, _TOO_DEEP, 200) if is_too_deep(response) else as_json(response)

    def spread(self, body: bytes, fields: Mapping[str, Any]) -> bytes | UpstreamError:
        whole = self.whole(body, fields)
        if isinstance(whole, UpstreamError):
            return whole
        answer = answer_in(whole.body)
        return frames_of(answer) if answer else broken(self._id, _TOO_DEEP, 200)


def _bounded(fields: Mapping[str, Any], tokens: int | None) -> dict[str, Any]:
    """Return the request with the one bound of its tokens; no word in its content is one."""
    options = {name: value for name, value in fields.items() if name not in NO_OPTIONS}
    content = {name: value for name, value in fields.items() if name in NO_OPTIONS}
    bounded(options, "max_output_tokens", tokens)
    return content | options


def _rules(dialect: Dialect, fields: Mapping[str, Any]) -> Dialect:
    """Return what a model takes of this request, from what it takes in chat's words."""
    reasoning = fields.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    drops = dialect.drops | (dialect.while_reasoning if effort not in (None, "none") else frozenset())
    only = {name: value for name, value in dialect.only.items() if name in _SAME_NAMES}
    return Dialect(drops=drops & _SAME_NAMES, only=only)


def _ask_for_thoughts(fields: dict[str, Any]) -> None:
    """Ask for reasoning that can be sent again: the gateway keeps the response, and the vendor does not."""
    include = fields.get("include") or []
    if isinstance(include, list) and _ENCRYPTED not in include:
        fields["include"] = [*include, _ENCRYPTED]


def _is_lost_thought(item: Any, forgets: bool) -> bool:
    """
    Return whether an item keeps thoughts that this upstream cannot read.

    They are another vendor's, which only the gateway can read, or those of an upstream that `forgets` them
    unless they come back encrypted: it looks for the item's id among what it has stored, and fails.
    """
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    content = item.get("encrypted_content")
    return content.startswith(PREFIX) if isinstance(content, str) and content else forgets


def _chars_in(output: list[Any]) -> int:
    """Return the length of the text in the messages of a response, in characters."""
    contents = (item.get("content") for item in output if isinstance(item, dict))
    parts = (part for content in contents if isinstance(content, list) for part in content)
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return sum(len(text) for text in texts if isinstance(text, str))
