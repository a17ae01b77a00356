"""
The messages of a chat as the turns of a Messages request.

Neighbours of one role become one turn. The results of the calls in an assistant's turn open the user's next
turn. Instructions that stand between the messages stay there where a turn of the system may stand: after a
user's turn, before an assistant's or at the end. Elsewhere they become the user's text.
"""

from typing import Any

from serve_app.formats.chat_to_messages.content import (
    Blocks,
    add_breakpoint,
    blocks_of,
    text_block,
    text_blocks,
)
from serve_app.formats.checked_members import object_at, objects_at, refused, text_at
from serve_app.formats.tool_arguments import UNREADABLE, arguments_object
from serve_app.formats.tool_call_pairs import NO_RESULT, ToolCallPairs
from serve_app.formats.translated_ids import ToolNames

_INSTRUCTS = ("system", "developer")
_RESULTS = ("tool", "function")
_THOUGHTS = ("thinking", "redacted_thinking")
_PLACEHOLDER = "."  # a request needs one turn of a user

_READ = frozenset({
    "role", "content", "tool_calls", "tool_call_id", "function_call", "refusal", "thinking_blocks",
    "reasoning_content", "reasoning", "cache_control", "prompt_cache_breakpoint",
})  # fmt: skip
_READ_OF_A_RESULT = _READ | {"name"}  # that of the tool, which the call has as well


class Conversation:
    """
    The messages of one request.

    Attributes:
        system: the instructions that the messages begin with, as blocks.
        turns: all the others.
    """

    def __init__(self, messages: Any, names: ToolNames, dropped: set[str]) -> None:
        """
        Translate the messages.

        Args:
            messages: the `messages` of the request.
            names: gets the names of the tools that were called.
            dropped: gets the names of what is lost.

        Raises:
            InvalidRequest: 400, a message is not built as it must be, or holds what no turn can carry.
        """
        self.system: Blocks = []
        self.turns: list[dict[str, Any]] = []
        self._names = names
        self._dropped = dropped
        self._pairs: ToolCallPairs[tuple[str, dict[str, Any]]] = ToolCallPairs()
        self._orphans: set[int] = set()
        given = objects_at(messages, "messages")
        for place, message in enumerate(given):
            self._pair(place, message)
        for place, message in enumerate(given):
            self._translate(place, message)
        if not self.turns and not self.system:
            raise refused("messages", "every message is empty", code="empty_messages")
        if not self.turns:
            self._add("user", [text_block(_PLACEHOLDER)])

    def _pair(self, place: int, message: dict[str, Any]) -> None:
        path = f"messages[{place}]"
        if message.get("role") == "assistant":
            if calls := calls_in(message, path):
                self._pairs.add_calls(place, [call_id for call_id, _, _ in calls])
        elif message.get("role") in _RESULTS:
            by_name = message["role"] == "function"
            name = message.get("name" if by_name else "tool_call_id")
            call_id = "" if name is None else text_at(name, path)
            if not self._pairs.add_result(_by_name(call_id) if by_name else call_id, (path, message)):
                self._orphans.add(place)

    def _translate(self, place: int, message: dict[str, Any]) -> None:
        path = f"messages[{place}]"
        role = message.get("role")
        if len(message) > 2:
            known = _READ_OF_A_RESULT if role in _RESULTS else _READ
            lost = (name for name, value in message.items() if name not in known and value)
            self._dropped.update(f"messages.{name}" for name in lost)
        if role in _INSTRUCTS:
            blocks = marked(text_blocks(message.get("content"), f"{path}.content"), message)
            if self.turns:
                self._add_system(blocks)
            else:
                self.system += blocks
        elif role == "user":
            blocks = blocks_of(message.get("content"), f"{path}.content", self._dropped)
            self._add("user", marked(blocks, message))
        elif role == "assistant":
            self._add_assistant(place, message, path)
        elif role not in _RESULTS:
            raise refused(f"{path}.role", "should be system, developer, user, assistant or tool")
        elif place in self._orphans:
            found = blocks_of(message.get("content"), f"{path}.content", self._dropped)
            self._add("user", [text_block("Result of an earlier call of a tool:"), *found])

    def _add(self, role: str, blocks: Blocks) -> None:
        """Add blocks to the last turn where that is of this role, else as a turn."""
        if not blocks:
            return
        last = self.turns[-1] if self.turns else None
        if last is not None and last["role"] == "system" and role == "user":
            self.turns.pop()
            self._add("user", last["content"])
            last = self.turns[-1]
        if last is not None and last["role"] == role:
            last["content"] += blocks
        else:
            self.turns.append({"role": role, "content": blocks})

    def _add_system(self, blocks: Blocks) -> None:
        self._add("system" if self.turns[-1]["role"] in ("user", "system") else "user", blocks)

    def _add_assistant(self, place: int, message: dict[str, Any], path: str) -> None:
        said, thoughts = self._said(message, path)
        uses = [
            {"type": "tool_use", "id": call.call_id, "name": self._names.safe(name), "input": arguments}
            for call, (_, name, arguments) in zip(self._pairs.of(place), calls_in(message, path), strict=True)
        ]
        blocks = marked([*said, *uses], message)
        self._add("assistant", [*thoughts, *blocks])
        self._add("user", self._results(place))

    def _said(self, message: dict[str, Any], path: str) -> tuple[Blocks, Blocks]:
        """Return the text of an assistant's message, and the thoughts that can go back to who had them."""
        content = message.get("content")
        written: list[Any] = []
        if isinstance(content, list):
            written = [part for part in content if _is_thought(part)]
            content = [part for part in content if not _is_thought(part)] if written else content
        said = blocks_of(content, f"{path}.content", self._dropped)
        if isinstance(refusal := message.get("refusal"), str) and refusal.strip():
            said.append(text_block(refusal))
        given = message.get("thinking_blocks")
        written += given if isinstance(given, list) else []
        thoughts = [thought for block in written if (thought := signed(block)) is not None]
        if len(thoughts) < len(written):
            self._dropped.add("messages.thinking_blocks")
        if not written:
            unsigned = (name for name in ("reasoning_content", "reasoning") if message.get(name))
            self._dropped.update(f"messages.{name}" for name in unsigned)
        return said, thoughts

    def _results(self, place: int) -> Blocks:
        results: Blocks = []
        for call_id, result in self._pairs.of(place):
            block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id}
            if result is None:
                block |= {"content": NO_RESULT, "is_error": True}
            else:
                path, message = result
                found = blocks_of(message.get("content"), f"{path}.content", self._dropped)
                if found:
                    block["content"] = found
                add_breakpoint(block, message)
            results.append(block)
        return results


def calls_in(message: dict[str, Any], path: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the calls of an assistant's message: the caller's id, the name, the arguments."""
    calls = []
    for number, call in enumerate(objects_at(message.get("tool_calls"), f"{path}.tool_calls")):
        here = f"{path}.tool_calls[{number}]"
        call_id = "" if call.get("id") is None else text_at(call["id"], f"{here}.id")
        if call.get("type") == "custom" and "function" not in call:
            custom = object_at(call.get("custom"), f"{here}.custom")
            name = text_at(custom.get("name"), f"{here}.custom.name")
            arguments = {"input": text_at(custom.get("input"), f"{here}.custom.input")}
        else:
            name, arguments = _function_of(call.get("function"), f"{here}.function")
        calls.append((call_id, name, arguments))
    if (function := message.get("function_call")) is not None:
        name, arguments = _function_of(function, f"{path}.function_call")
        calls.append((_by_name(name), name, arguments))
    return calls


def signed(block: Any) -> dict[str, Any] | None:
    """Return a block of thoughts as its vendor takes it back; None without what the vendor signed."""
    if not isinstance(block, dict):
        return None
    if block.get("type") == "redacted_thinking":
        data = block.get("data")
        return {"type": "redacted_thinking", "data": data} if isinstance(data, str) and data else None
    thinking, signature = block.get("thinking"), block.get("signature")
    if not isinstance(thinking, str) or not isinstance(signature, str) or not signature:
        return None
    return {"type": "thinking", "thinking": thinking, "signature": signature}


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in _THOUGHTS


def marked(blocks: Blocks, message: dict[str, Any]) -> Blocks:
    """Return the blocks of a message, the last one with the message's mark of what is to be cached."""
    if blocks and len(message) > 2:
        add_breakpoint(blocks[-1], message)
    return blocks


def _function_of(function: Any, path: str) -> tuple[str, dict[str, Any]]:
    called = object_at(function, path)
    arguments = called.get("arguments")
    text = "" if arguments is None else text_at(arguments, f"{path}.arguments")
    arguments = arguments_object(text)
    if UNREADABLE in arguments:
        raise refused(f"{path}.arguments", "should be a whole JSON object", code="invalid_tool_arguments")
    return text_at(called.get("name"), f"{path}.name"), arguments


def _by_name(name: str) -> str:
    """Return what stands in for the id of a call that has none: the older kind, one at a time."""
    return f"function:{name}"
