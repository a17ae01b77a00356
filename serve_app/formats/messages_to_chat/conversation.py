"""
The turns of a Messages request as the messages of a chat.

A turn of a user may hold results of tools and text. In a chat the results are messages of their own, directly
after the message with the calls, and hold nothing but text; their pictures open the user's next message.
"""

from typing import Any

from serve_app.formats.checked_members import blocks_at, object_at, objects_at, refused, text_at
from serve_app.formats.messages_to_chat.content import (
    content_of,
    note_lost,
    parts_of,
    result_of,
    text_part,
)
from serve_app.formats.tool_arguments import arguments_text
from serve_app.formats.tool_call_pairs import NO_RESULT, ToolCallPairs
from serve_app.formats.translated_ids import ToolNames

_BILLING = "x-anthropic-billing-header:"  # what Claude Code puts first, for its vendor alone

Blocks = list[dict[str, Any]]


def system_message(system: Any, dropped: set[str]) -> list[dict[str, Any]]:
    """
    Return the instructions as one system message; none where there are no instructions.

    Raises:
        InvalidRequest: 400, they are neither a text nor text blocks.
    """
    texts = []
    for number, block in enumerate(blocks_at(system, "system")):
        if block["type"] != "text":
            raise refused(f"system[{number}].type", "should be text")
        if block.get("cache_control"):
            dropped.add("system.cache_control")
        if block["text"] and not (number == 0 and block["text"].startswith(_BILLING)):
            texts.append(block["text"])
    return [{"role": "system", "content": "\n\n".join(texts)}] if texts else []


class Conversation:
    """
    The messages of one request.

    Attributes:
        messages: those of the chat, in order, without the instructions that stand apart.
        effort: the effort that a system turn asks for last; None where none does.
    """

    def __init__(self, turns: Any, names: ToolNames, dropped: set[str]) -> None:
        """
        Translate the turns.

        Args:
            turns: the `messages` of the request.
            names: gets the names of the tools that were called.
            dropped: gets the names of what is lost.

        Raises:
            InvalidRequest: 400, a turn is not built as it must be, or holds what a chat cannot carry.
        """
        self.messages: list[dict[str, Any]] = []
        self.effort: str | None = None
        self._names = names
        self._dropped = dropped
        self._pairs: ToolCallPairs[tuple[str, dict[str, Any]]] = ToolCallPairs()
        self._orphans: set[str] = set()
        self._files: Blocks | None = (
            None  # the content of the last message, where that holds a result's files
        )
        given = objects_at(turns, "messages")
        contents = [
            blocks_at(turn.get("content"), f"messages[{place}].content") for place, turn in enumerate(given)
        ]
        for place, turn in enumerate(given):
            self._pair(place, turn, contents[place])
        for place, turn in enumerate(given):
            self._translate(place, turn, contents[place])

    def _pair(self, place: int, turn: dict[str, Any], blocks: Blocks) -> None:
        path = f"messages[{place}].content"
        if turn.get("role") == "assistant":
            calls = [(n, block) for n, block in enumerate(blocks) if block["type"] == "tool_use"]
            if calls:
                ids = [text_at(block.get("id"), f"{path}[{n}].id") for n, block in calls]
                self._pairs.add_calls(place, ids)
            return
        for number, block in enumerate(blocks):
            if block["type"] == "tool_result":
                here = f"{path}[{number}]"
                call_id = text_at(block.get("tool_use_id"), f"{here}.tool_use_id")
                if not self._pairs.add_result(call_id, (here, block)):
                    self._orphans.add(here)

    def _translate(self, place: int, turn: dict[str, Any], blocks: Blocks) -> None:
        match turn.get("role"):
            case "user":
                self._add_user(place, blocks)
            case "assistant":
                self._files = None
                self.messages.append(
                    assistant_message(blocks, self._ids_at(place), self._names, self._dropped)
                )
                self._add_results(place)
            case "system":
                self._add_system(place, turn, blocks)
            case _:
                raise refused(f"messages[{place}].role", "should be user, assistant or system")

    def _ids_at(self, place: int) -> list[str]:
        return [call.call_id for call in self._pairs.of(place)]

    def _add_results(self, place: int) -> None:
        """Add a message for the result of every call, and one for what those cannot hold."""
        files: Blocks = []
        for call_id, result in self._pairs.of(place):
            text = NO_RESULT
            if result is not None:
                path, block = result
                text, media = result_of(block, path, self._dropped)
                if media:
                    files += [text_part(f"Files of the result of call {call_id}:"), *media]
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
        if files:
            self.messages.append({"role": "user", "content": files})
            self._files = files

    def _add_user(self, place: int, blocks: Blocks) -> None:
        parts: Blocks = []
        results = 0
        for number, block in enumerate(blocks):
            path = f"messages[{place}].content[{number}]"
            if block["type"] != "tool_result":
                parts += parts_of(block, path, self._dropped)
            elif path in self._orphans:
                text, media = result_of(block, path, self._dropped)
                parts += [text_part(f"Result of an earlier call of a tool: {text}"), *media]
            else:
                results += 1
        if self._files is not None:
            self._files += parts
            if parts:
                self._files = None
        elif parts or not results:
            self.messages.append({"role": "user", "content": content_of(parts)})

    def _add_system(self, place: int, turn: dict[str, Any], blocks: Blocks) -> None:
        if (config := turn.get("output_config")) is not None:
            effort = object_at(config, f"messages[{place}].output_config").get("effort")
            if effort is not None:
                self.effort = text_at(effort, f"messages[{place}].output_config.effort")
        texts = []
        for number, block in enumerate(blocks):
            if block["type"] != "text":
                raise refused(f"messages[{place}].content[{number}].type", "should be text")
            note_lost(block, self._dropped)
            texts.append(block["text"])
        if any(texts):
            self._files = None
            self.messages.append({"role": "system", "content": "\n\n".join(filter(None, texts))})


def assistant_message(
    blocks: Blocks, call_ids: list[str], names: ToolNames, dropped: set[str]
) -> dict[str, Any]:
    """
    Return the chat message of an assistant's turn.

    Thoughts stand in `reasoning_content`, and with their signatures in `thinking_blocks`, so that they can go
    back to the model that had them.

    Args:
        blocks: the blocks of the turn.
        call_ids: the ids of its calls, in their order.
        names: gets the names of the tools.
        dropped: gets the names of the blocks that are lost.
    """
    texts: list[str] = []
    calls: Blocks = []
    thoughts: list[str] = []
    signed: Blocks = []
    for block in blocks:
        note_lost(block, dropped)
        match block["type"]:
            case "text":
                texts.append(block["text"])
            case "tool_use":
                calls.append(_call(block, call_ids[len(calls)], names))
            case "thinking" | "redacted_thinking":
                _add_thought(block, thoughts, signed)
            case other:
                dropped.add(f"messages.{other}")
    text = "".join(texts)
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if signed:
        message["thinking_blocks"] = signed
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: dict[str, Any], call_id: str, names: ToolNames) -> dict[str, Any]:
    name = names.safe(text_at(block.get("name"), "messages.tool_use.name"))
    arguments = arguments_text(block.get("input"))
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _add_thought(block: dict[str, Any], thoughts: list[str], signed: Blocks) -> None:
    if block["type"] == "redacted_thinking":
        if isinstance(data := block.get("data"), str) and data:
            signed.append({"type": "redacted_thinking", "data": data})
        return
    thought = block.get("thinking")
    if isinstance(thought, str):
        thoughts.append(thought)
        if isinstance(signature := block.get("signature"), str) and signature:
            signed.append({"type": "thinking", "thinking": thought, "signature": signature})
