"""
A whole answer made of a stream, and a stream made of a whole answer.

For upstreams that send the other than was asked for: proxies in between gather streams, and some servers know
nothing else.
"""

from collections.abc import Iterable
from typing import Any

from serve_app.formats.openai_chat.chunks import choices_in, chunks_in, frame_of, index_of
from serve_app.formats.tool_arguments import arguments_text

_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")


def whole_of(frames: bytes) -> dict[str, Any]:
    """
    Return the chat completion that these frames make up.

    They are as `ChatFrames` gives them: read, numbered, and with their usage.
    """
    choices: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for chunk in chunks_in(frames):
        whole |= {name: value for name, value in chunk.items() if name not in ("choices", "object")}
        for choice in choices_in(chunk):
            _add(choices.setdefault(index_of(choice), {}), choice)
    made = [_choice(index, parts) for index, parts in sorted(choices.items())]
    return {**whole, "object": "chat.completion", "choices": made}


def frames_of(whole: dict[str, Any]) -> bytes:
    """Return the frames of a stream that says what this chat completion says."""
    return b"".join(map(frame_of, chunks_of(whole)))


def chunks_of(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """
    Return the chunks of a stream that says what this chat completion says.

    One chunk for each choice, one for the reasons why they ended, and one for the usage.
    """
    told = {name: value for name, value in whole.items() if name not in ("choices", "usage", "object")}
    head = {**told, "object": "chat.completion.chunk"}
    choices = [choice for choice in whole.get("choices") or () if isinstance(choice, dict)]
    chunks = [{**head, "choices": [_delta(place, choice)]} for place, choice in enumerate(choices)]
    ends = [
        {"index": choice.get("index", place), "delta": {}, "finish_reason": choice.get("finish_reason")}
        for place, choice in enumerate(choices)
    ]
    chunks.append({**head, "choices": ends})
    if isinstance(whole.get("usage"), dict):
        chunks.append({**head, "choices": [], "usage": whole["usage"]})
    return chunks


def _add(parts: dict[str, Any], choice: dict[str, Any]) -> None:
    """Add a piece of a choice to what there is of it."""
    delta = choice.get("delta")
    for name, value in delta.items() if isinstance(delta, dict) else ():
        if name in _TEXTS and isinstance(value, str):
            parts.setdefault(name, []).append(value)
        elif name == "tool_calls":
            _add_calls(parts.setdefault("tool_calls", {}), value if isinstance(value, list) else ())
        elif name == "function_call" and isinstance(value, dict):
            _add_function(parts.setdefault("function_call", {}), value)
        elif value is not None:
            other = parts.setdefault("other", {})
            is_more = isinstance(value, list) and isinstance(other.get(name), list)
            other[name] = [*other[name], *value] if is_more else value
    logprobs = choice.get("logprobs")
    for name, values in logprobs.items() if isinstance(logprobs, dict) else ():
        if isinstance(values, list):
            parts.setdefault("logprobs", {}).setdefault(name, []).extend(values)
    if choice.get("finish_reason"):
        parts["finish_reason"] = choice["finish_reason"]


def _add_calls(calls: dict[int, dict[str, Any]], pieces: Iterable[Any]) -> None:
    for piece in pieces:
        index = piece.get("index") if isinstance(piece, dict) else None
        if type(index) is not int:
            continue
        call = calls.setdefault(index, {})
        for name, value in piece.items():
            if name == "function":
                if isinstance(value, dict):
                    _add_function(call.setdefault("function", {}), value)
            elif name != "index" and value is not None:
                call[name] = value


def _add_function(function: dict[str, Any], piece: dict[str, Any]) -> None:
    """Add a piece of a call; its arguments are a list of texts until the end, because there may be many."""
    for name, value in piece.items():
        if name == "arguments":
            if value is not None:
                function.setdefault(name, []).append(arguments_text(value))
        elif value is not None:
            function[name] = value


def _joined(function: dict[str, Any]) -> dict[str, Any]:
    return {**function, "arguments": "".join(function["arguments"])} if "arguments" in function else function


def _choice(index: int, parts: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, **parts.get("other", {})}
    message |= {name: "".join(parts[name]) for name in _TEXTS if name in parts}
    if calls := parts.get("tool_calls"):
        message["tool_calls"] = [
            {
                "type": "function",
                **call,
                **({"function": _joined(call["function"])} if "function" in call else {}),
            }
            for _, call in sorted(calls.items())
        ]
    if "function_call" in parts:
        message["function_call"] = _joined(parts["function_call"])
    return {
        "index": index,
        "message": message,
        "logprobs": parts.get("logprobs"),
        "finish_reason": parts.get("finish_reason"),
    }


def _delta(place: int, choice: dict[str, Any]) -> dict[str, Any]:
    delta = {name: value for name, value in choice["message"].items() if value is not None}
    if isinstance(calls := delta.get("tool_calls"), list):
        numbered = enumerate(call for call in calls if isinstance(call, dict))
        delta["tool_calls"] = [{"index": number, **call} for number, call in numbered]
    more = {"logprobs": choice["logprobs"]} if choice.get("logprobs") else {}
    return {"index": choice.get("index", place), "delta": delta, **more, "finish_reason": None}
