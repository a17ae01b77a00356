"""
The items of a Responses request as the messages of a chat.

What one turn of the model has said, reasoning, a text and calls, is one message, and the outputs of its calls
follow it in the calls' order. Pictures and files in outputs, which a chat's tool messages cannot hold, follow
in a user's message.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import dumps
from serve_app.formats.openai_responses.items import TEXT_PARTS, Item, texts_of, type_of
from serve_app.formats.responses_to_chat.reasoning import text_of_item, unsealed
from serve_app.formats.responses_to_chat.tools import CALL_TYPES, ToolTable, arguments_of_input
from serve_app.formats.translated_ids import safe_call_id

NO_OUTPUT = "No output was recorded for this call."
SEE_BELOW = "The output is in the next message."

# What the vendor's own tools have done: nothing of it can be shown to another model.
_HOSTED = frozenset({
    "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call",
    "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "computer_call",
    "computer_call_output", "program", "program_output", "tool_search_call", "tool_search_output",
})  # fmt: skip
_CALLS = frozenset({"function_call", "custom_tool_call", *CALL_TYPES})
_OUTPUTS = frozenset({f"{kind}_output" for kind in _CALLS} | {"tool_search_output"})

_ROLES = ("system", "developer", "user", "assistant")

Message = dict[str, Any]


class MessageWriter:
    """
    Writes the messages of one request.

    Attributes:
        messages: those that are written.
        dropped: what of the items the chat does not have.
    """

    def __init__(self, table: ToolTable) -> None:
        self.messages: list[Message] = []
        self.dropped: set[str] = set()
        self._table = table
        self._turn: Message | None = None
        self._calls: list[tuple[str, Item | None]] = []
        self._outputs: dict[int, Item] = {}
        self._answered: set[int] = set()

    def write(self, items: Sequence[Item]) -> None:
        """
        Write all items.

        Raises:
            InvalidRequest: 400, an item cannot be left out and has no place in a chat.
        """
        self._outputs, self._answered = _paired(items)
        for place, item in enumerate(items):
            kind = type_of(item)
            if kind in _CALLS and self._is_the_callers(kind, item):
                self._add_call(kind, item, self._outputs.get(place))
            elif place in self._answered:
                self._end_turn()  # with this output among those of its calls
            elif kind == "message":
                self._add_message(item, f"input[{place}]")
            elif kind == "reasoning":
                self._add_reasoning(item)
            elif kind in _OUTPUTS and self._is_the_callers(kind, item):
                self._add_orphan(item)
            elif kind in _HOSTED:
                self.dropped.add(f"input.{kind}")
            elif kind != "additional_tools":
                raise _no_place(f"input[{place}]", kind)
        self._end_turn()

    def _is_the_callers(self, kind: str, item: Item) -> bool:
        return not kind.startswith("tool_search") or item.get("execution") == "client"

    def _add_message(self, item: Item, path: str) -> None:
        role = item["role"]
        if role not in _ROLES:
            raise _no_place(f"{path}.role", role, f"use one of: {', '.join(_ROLES)}")
        if role != "assistant":
            self._end_turn()
            if (content := _content(item.get("content"), path, self.dropped)) or role == "user":
                self.messages.append({"role": role, "content": content})
            return
        parts = item.get("content")
        text = "".join(texts_of(parts))
        refusals = [part["refusal"] for part in parts or () if _is_refusal(part)]
        turn = self._turn_for("content" if text else "refusal")
        if text:
            turn.setdefault("content", []).append(text)
        if refusals:
            turn["refusal"] = "".join(refusals)

    def _add_reasoning(self, item: Item) -> None:
        text, blocks = text_of_item(item), unsealed(item.get("encrypted_content"))
        if not text and not blocks:
            return
        turn = self._turn_for("reasoning_content")
        if text:
            turn.setdefault("reasoning_content", []).append(text)
        if blocks:
            turn.setdefault("thinking_blocks", []).extend(blocks)

    def _add_call(self, kind: str, item: Item, output: Item | None) -> None:
        name, arguments = self._called(kind, item)
        turn = self._turn_for("tool_calls")
        call_id = safe_call_id(_call_id_of(item))
        function = {"name": name, "arguments": arguments}
        turn.setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})
        self._calls.append((call_id, output))

    def _called(self, kind: str, item: Item) -> tuple[str, str]:
        """Return the function that a call is of, and its arguments."""
        if kind in CALL_TYPES:
            name, defined = CALL_TYPES[kind]
            return name, dumps(item.get(defined.member) or {}).decode()
        name = self._table.name_in_chat(item["name"], item.get("namespace"))
        return name, item["arguments"] if kind == "function_call" else arguments_of_input(item["input"])

    def _turn_for(self, member: str) -> Message:
        """
        Return the model's message that gets this member.

        Its calls come last and must be followed by their outputs: what comes after them joins them. A text or
        a thought after a text begins another message.
        """
        turn = self._turn
        if turn is None or (member != "tool_calls" and "content" in turn and "tool_calls" not in turn):
            self._end_turn()
            self._turn = turn = {"role": "assistant"}
        return turn

    def _end_turn(self) -> None:
        """Write the model's message that is open, and the outputs of its calls."""
        turn, self._turn = self._turn, None
        calls, self._calls = self._calls, []
        if turn is None or turn.keys() <= {"role", "reasoning_content", "thinking_blocks"}:
            return  # thoughts that led to nothing
        turn |= {name: "\n\n".join(turn[name]) for name in ("content", "reasoning_content") if name in turn}
        self.messages.append({"content": None, **turn} if "content" not in turn else turn)
        shown: list[Any] = []
        for call_id, output in calls:
            text, more = _output_of(output, self.dropped)
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
            shown += more
        if shown:
            self.messages.append({"role": "user", "content": shown})

    def _add_orphan(self, item: Item) -> None:
        """Write an output whose call is not there as what a user says."""
        self._end_turn()
        text, more = _output_of(item, self.dropped)
        told = f"Output of the tool call '{item.get('call_id')}':\n{text}"
        self.messages.append({"role": "user", "content": [_text_part(told), *more] if more else told})


def _paired(items: Sequence[Item]) -> tuple[dict[int, Item], set[int]]:
    """
    Pair calls and outputs by their id; of several calls with one id, the last that has no output yet.

    Returns:
        The output of each call, by the call's place; and the places of the outputs that have a call.
    """
    unanswered: dict[str, list[int]] = {}
    last: dict[str, int] = {}
    outputs: dict[int, Item] = {}
    answered: set[int] = set()
    early: list[int] = []
    for place, item in enumerate(items):
        kind = type_of(item)
        if kind in _CALLS:
            unanswered.setdefault(_call_id_of(item), []).append(place)
            last[_call_id_of(item)] = place
        elif kind in _OUTPUTS:
            call_id = _call_id_of(item)
            if call_id not in last:
                early.append(place)
                continue
            waiting = unanswered[call_id]
            outputs[waiting.pop() if waiting else last[call_id]] = item
            answered.add(place)
    for place in early:  # before its call, if it has one
        calls = unanswered.get(_call_id_of(items[place]))
        if calls:
            outputs[calls.pop(0)] = items[place]
            answered.add(place)
    return outputs, answered


def _call_id_of(item: Item) -> str:
    """Return the id that links a call and its output; the output of a local shell has it as its own."""
    return str(item.get("call_id") or item.get("id") or "")


def _output_of(item: Item | None, dropped: set[str]) -> tuple[str, list[Any]]:
    """Return an output as text, and its pictures and files as parts of a user's message."""
    if item is None:
        return NO_OUTPUT, []
    if type_of(item) == "tool_search_output":
        names = [tool.get("name") or tool.get("type") for tool in item.get("tools") or ()]
        return dumps({"tools": names}).decode(), []
    output = item.get("output")
    if output is None or isinstance(output, str):
        return output or "", []
    if type_of(item) not in ("function_call_output", "custom_tool_call_output"):
        return dumps(output).decode(), []
    parts = _content(output, "input.output", dropped)
    if isinstance(parts, str):
        return parts, []
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    shown = [part for part in parts if part["type"] != "text"]
    return text or (SEE_BELOW if shown else ""), shown


def _content(content: Any, path: str, dropped: set[str]) -> str | list[dict[str, Any]]:
    """Return a content in the words of the chat; a single text as such."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [_part(part, f"{path}.content[{place}]") for place, part in enumerate(content)]
    if any("prompt_cache_breakpoint" in part for part in content):
        dropped.add("input.prompt_cache_breakpoint")
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _part(part: Mapping[str, Any], path: str) -> dict[str, Any]:
    kind = part["type"]
    if kind in TEXT_PARTS:
        return _text_part(part["text"])
    if (translated := _PARTS.get(kind)) is not None:
        return translated(part, path)
    raise _no_place(path, kind)


def _image(part: Mapping[str, Any], path: str) -> dict[str, Any]:
    if not part.get("image_url"):
        raise _no_place(path, "input_image", "send the image itself, in 'image_url'")
    image = {"url": part["image_url"]}
    if detail := part.get("detail"):
        image["detail"] = "high" if detail == "original" else detail
    return {"type": "image_url", "image_url": image}


def _file(part: Mapping[str, Any], path: str) -> dict[str, Any]:
    if not part.get("file_data"):
        raise _no_place(path, "input_file", "send the file itself, in 'file_data'")
    names = [name for name in ("filename", "file_data") if part.get(name)]
    return {"type": "file", "file": {name: part[name] for name in names}}


def _audio(part: Mapping[str, Any], path: str) -> dict[str, Any]:
    if not isinstance(part.get("input_audio"), dict):
        raise _no_place(path, "input_audio")
    return {"type": "input_audio", "input_audio": part["input_audio"]}


_PARTS: Mapping[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
    "refusal": lambda part, path: _text_part(part["refusal"]),
}


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _is_refusal(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "refusal"


def _no_place(path: str, kind: str, instead: str = "leave it out") -> InvalidRequest:
    message = f"{path}: '{kind[:100]}' cannot be sent to this model; {instead}"
    return InvalidRequest(message, param=path, code="unsupported_value")
