"""`POST /v1/completions`, as far as the gateway must understand it."""

from collections.abc import Mapping
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.field_checks import Check, check_fields, check_spelling, whole_between
from serve_app.formats.json_body import (
    BOM,
    MOST_TOKENS,
    cost_limit,
    flag,
    parameters_of,
    parse_body,
    text,
    whole,
)
from serve_app.formats.openai_chat.fields import CHECKS as OF_CHATS
from serve_app.formats.openai_chat.fields import MOST_ANSWERS
from serve_app.formats.openai_chat.hosted_tools import hosted_tools
from serve_app.formats.openai_chat.output import read_output
from serve_app.formats.openai_completions.prompts import check_prompt, prompts_in
from serve_app.formats.routing_fields import read_wishes
from serve_app.pricing.prompt import prompt_of

DEFAULT_OUTPUT_TOKENS = 16  # what OpenAI and vLLM write without a bound; sent to every upstream

_SAME = (
    "model", "preferred_model", "max_cost", "context_size", "temperature", "top_p", "min_p",
    "presence_penalty", "frequency_penalty", "n", "seed", "top_k", "max_tokens", "logit_bias", "stop",
    "stream", "stream_options", "user",
)  # fmt: skip
_CHECKS: Mapping[str, Check] = {
    **{name: OF_CHATS[name] for name in _SAME},
    "suffix": text,
    "echo": flag,
    "best_of": whole_between(1, MOST_ANSWERS),
    "logprobs": whole_between(-1, MOST_TOKENS),
}
_SPELLED = frozenset({"prompt", "suffix", "echo", "best_of", "n"})
# What only a chat has. Servers that read both from one form would answer these in the prompt's place.
_OF_CHATS = ("messages", "tools", "functions", "web_search_options", "modalities", "audio", "prediction")


def read_completion(raw: bytes) -> ChatRequest:
    """Parse and check; InvalidRequest (400, 413) and InvalidField (422) say what is wrong."""
    raw = raw.removeprefix(BOM)
    body = parse_body(raw)
    check_spelling(body, _SPELLED)
    _refuse_chats(body)
    input_tokens = check_prompt(body.get("prompt"))
    check_fields(body, _CHECKS)
    output = read_output(body)
    limit = output.limit or DEFAULT_OUTPUT_TOKENS
    prompts = prompts_in(body["prompt"])
    answers = output.answers * prompts
    stream = bool(body.get("stream"))
    tier = body.get("service_tier")
    parameters = parameters_of(body)
    del parameters["prompt"]
    return ChatRequest(
        raw=raw,
        model=body.get("model"),
        stream=stream,
        wants_usage=stream and bool((body.get("stream_options") or {}).get("include_usage")),
        images=0,
        input_tokens=input_tokens,
        output_tokens=limit * answers,
        prompt=prompt_of(len(raw), ()),
        output_limit=limit,
        thinking=output.thinking,
        answers=answers,
        prompts=prompts,
        tools=hosted_tools(body),
        service_tier=tier if isinstance(tier, str) else None,
        preferred_model=body.get("preferred_model"),
        max_cost=cost_limit(body),
        context_size=whole(body, "context_size"),
        wishes=read_wishes(body),
        parameters=parameters,
    )


def _refuse_chats(body: Mapping[str, Any]) -> None:
    for name in _OF_CHATS:
        if body.get(name) is not None:
            message = f"'{name}' is no field of a text completion; send it to /v1/chat/completions"
            raise InvalidRequest(message, param=name, code="unsupported_parameter")


def output_limit(body: dict[str, Any]) -> int:
    """Return the most tokens of one answer, of a request that was checked."""
    return read_output(body).limit or DEFAULT_OUTPUT_TOKENS
