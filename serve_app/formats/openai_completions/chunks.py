"""
The chunks of a text completion's stream, and whole text completions made of them.

They are built as a chat's chunks are, but a choice has `text` in the place of `delta`. Everything here takes
any JSON object and reads what it can.
"""

import re
from typing import Any

from serve_app.formats.json_objects import parsed
from serve_app.formats.openai_chat.chunks import choices_in, chunks_in, frame_of, index_of
from serve_app.formats.sse import data_in

TEXT_COMPLETION = "text_completion"

# A quote inside a JSON string is escaped, so this matches members only, never what a model says.
_SAID = re.compile(rb'"text"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"')


def text_of(choice: dict[str, Any]) -> str:
    """Return the text in one choice."""
    text = choice.get("text")
    return text if isinstance(text, str) else ""


def chars_said(block: bytes) -> int:
    """
    Return how much a block of frames says, in characters, without reading the JSON.

    An escape counts as it is written.
    """
    said = _SAID.findall(block)
    return (
        sum(map(len, said)) if block.isascii() else sum(len(text.decode("utf-8", "replace")) for text in said)
    )


def says_something(block: bytes) -> bool:
    """Return whether there is more in a block than that an answer begins: a word, an end, a usage."""
    return any(chunk is None or _speaks(chunk) for chunk in map(parsed, data_in(block)))


def is_plain_text(choice: dict[str, Any]) -> bool:
    """Return whether a choice is the first answer's, with nothing but text in it."""
    return index_of(choice) == 0 and not choice.get("logprobs")


def whole_of(frames: bytes) -> dict[str, Any]:
    """Return the text completion that these frames make up."""
    choices: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for chunk in chunks_in(frames):
        whole |= {name: value for name, value in chunk.items() if name != "choices"}
        for choice in choices_in(chunk):
            index = index_of(choice)
            begun = {"index": index, "text": [], "logprobs": None, "finish_reason": None}
            _add(choices.setdefault(index, begun), choice)
    made = [{**parts, "text": "".join(parts["text"])} for _, parts in sorted(choices.items())]
    return {**whole, "object": TEXT_COMPLETION, "choices": made}


def frames_of(whole: dict[str, Any]) -> bytes:
    """Return the frames of a stream that says what this text completion says: its choices, and its usage."""
    head = {name: value for name, value in whole.items() if name not in ("choices", "usage")}
    frames = frame_of({**head, "choices": choices_in(whole)})
    if isinstance(whole.get("usage"), dict):
        frames += frame_of({**head, "choices": [], "usage": whole["usage"]})
    return frames


def _speaks(chunk: dict[str, Any]) -> bool:
    choices = chunk.get("choices")
    if choices is None:
        return False  # something beside the answer, or in its place
    return not choices or any(
        choice.get("finish_reason") or choice.get("text") for choice in choices_in(chunk)
    )


def _add(parts: dict[str, Any], choice: dict[str, Any]) -> None:
    """Add a piece of a choice to what there is of it."""
    parts["text"].append(text_of(choice))
    if choice.get("finish_reason"):
        parts["finish_reason"] = choice["finish_reason"]
    logprobs = choice.get("logprobs")
    for name, values in logprobs.items() if isinstance(logprobs, dict) else ():
        if isinstance(values, list):
            parts["logprobs"] = parts["logprobs"] or {}
            parts["logprobs"].setdefault(name, []).extend(values)
