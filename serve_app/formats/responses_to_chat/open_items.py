"""
The items of a response while a chat's stream fills them.

Each yields the events that tell its growth, without their numbers, and is a whole item once it is closed.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from serve_app.formats.openai_responses.events import PARTS
from serve_app.formats.responses_to_chat.reasoning import sealed
from serve_app.formats.responses_to_chat.tools import (
    CLIENT_TOOLS,
    ToolTable,
    input_of_arguments,
    object_of_arguments,
)

Event = dict[str, Any]
COMPLETED = "completed"


class OpenItem(Protocol):
    """An item that may still grow."""

    @property
    def index(self) -> int:
        """Its place in the output."""

    @property
    def item(self) -> dict[str, Any]:
        """The item as it is by now."""

    def closed(self, status: str) -> Iterator[Event]:
        """Yield the events that end it."""


def added(index: int, item: dict[str, Any]) -> Event:
    """Return the event that begins an item."""
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, item: dict[str, Any]) -> Event:
    """Return the event that ends an item."""
    return {"type": "response.output_item.done", "output_index": index, "item": item}


class OpenReasoning:
    """A thought of the model: one summary, and the blocks that its vendor knows again."""

    def __init__(self, id: str, index: int) -> None:  # noqa: A002 (the member's name)
        self.index = index
        self._id = id
        self._texts: list[str] = []
        self._blocks: list[dict[str, Any]] = []
        self._place = {"item_id": id, "output_index": index, "summary_index": 0}

    @property
    def item(self) -> dict[str, Any]:
        text = "".join(self._texts)
        item: dict[str, Any] = {
            "type": "reasoning",
            "id": self._id,
            "summary": [{"type": "summary_text", "text": text}] if text else [],
        }
        return {**item, "encrypted_content": sealed(self._blocks)} if self._blocks else item

    def begun(self) -> Iterator[Event]:
        """Yield the event that begins it."""
        yield added(self.index, {"type": "reasoning", "id": self._id, "summary": []})

    def grown(self, text: str) -> Iterator[Event]:
        """Add a text, and yield the events that tell it."""
        prefix = "response.reasoning_summary"
        if not self._texts:
            yield {
                "type": f"{prefix}_part.added",
                **self._place,
                "part": {"type": "summary_text", "text": ""},
            }
        self._texts.append(text)
        yield {"type": f"{prefix}_text.delta", **self._place, "delta": text}

    def keep(self, blocks: list[dict[str, Any]]) -> None:
        """Add thinking blocks."""
        self._blocks += blocks

    def closed(self, status: str) -> Iterator[Event]:
        item = self.item
        for part in item["summary"]:
            prefix = "response.reasoning_summary"
            yield {"type": f"{prefix}_text.done", **self._place, "text": part["text"]}
            yield {"type": f"{prefix}_part.done", **self._place, "part": part}
        yield done(self.index, item)


class OpenMessage:
    """A message of the model: parts of text and of refusal, one after the other."""

    def __init__(self, id: str, index: int) -> None:  # noqa: A002 (the member's name)
        self.index = index
        self.kind = ""  # of the part that is open
        self._status = "in_progress"
        self._id = id
        self._parts: list[dict[str, Any]] = []
        self._texts: list[str] = []
        self._logprobs: list[Any] = []
        self._annotations: list[dict[str, Any]] = []

    @property
    def item(self) -> dict[str, Any]:
        return {
            "type": "message",
            "id": self._id,
            "role": "assistant",
            "status": self._status,
            "content": list(self._parts),
        }

    @property
    def place(self) -> Event:
        """Return the place of the part that is open, as its events name it."""
        return {"item_id": self._id, "output_index": self.index, "content_index": len(self._parts)}

    @property
    def has_refusal(self) -> bool:
        """Return whether the model has refused."""
        return any(part["type"] == "refusal" for part in self._parts)

    def begun(self) -> Iterator[Event]:
        """Yield the event that begins it."""
        yield added(self.index, self.item)

    def grown(self, kind: str, text: str, logprobs: list[Any]) -> Iterator[Event]:
        """Add a text to a part of this kind, and yield the events that tell it."""
        if kind != self.kind:
            yield from self._part_closed()
            self.kind = kind
            yield {"type": "response.content_part.added", **self.place, "part": self._part()}
        yield {
            "type": f"{PARTS[kind][1]}.delta",
            **self.place,
            "delta": text,
            **({"logprobs": logprobs} if kind == "output_text" else {}),
        }
        self.hold(text)
        self._logprobs += logprobs

    def hold(self, text: str) -> None:
        """Add a text to the part that is open."""
        self._texts.append(text)

    def annotated(self, annotations: list[dict[str, Any]]) -> Iterator[Event]:
        """Add annotations to the part that is open, and yield the events that tell them."""
        for annotation in annotations:
            number = len(self._annotations)
            self._annotations.append(annotation)
            yield {
                "type": "response.output_text.annotation.added",
                **self.place,
                "annotation_index": number,
                "annotation": annotation,
            }

    def closed(self, status: str) -> Iterator[Event]:
        yield from self._part_closed()
        self._status = status
        yield done(self.index, self.item)

    def _part(self) -> dict[str, Any]:
        member = PARTS[self.kind][0]
        part: dict[str, Any] = {"type": self.kind, member: "".join(self._texts)}
        if self.kind == "output_text":
            part["annotations"] = list(self._annotations)
            if self._logprobs:
                part["logprobs"] = list(self._logprobs)
        return part

    def _part_closed(self) -> Iterator[Event]:
        if not self.kind:
            return
        member, prefix = PARTS[self.kind]
        part = self._part()
        more = {"logprobs": list(self._logprobs)} if self.kind == "output_text" else {}
        yield {"type": f"{prefix}.done", **self.place, member: part[member], **more}
        yield {"type": "response.content_part.done", **self.place, "part": part}
        self._parts.append(part)
        self.kind = ""
        self._texts, self._logprobs, self._annotations = [], [], []


class OpenCall:
    """
    A call of a tool.

    Only the arguments of a function are told as they come; those of other tools are made of the whole.
    """

    def __init__(self, table: ToolTable, id: str, index: int, call_id: str, name: str) -> None:  # noqa: A002
        self.index = index
        self._meant = table.meant_by(name)
        self._id = id
        self._call_id = call_id
        self._status = "in_progress"
        self._pieces: list[str] = []

    @property
    def item(self) -> dict[str, Any]:
        kind = self._meant.type
        arguments = "".join(self._pieces)
        if kind in CLIENT_TOOLS:
            tool = CLIENT_TOOLS[kind]
            told: dict[str, Any] = {tool.member: object_of_arguments(tool, arguments)}
            if kind == "tool_search":
                told["execution"] = "client"
            return {
                "type": tool.call,
                "id": self._id,
                "call_id": self._call_id,
                **told,
                "status": self._status,
            }
        is_custom = kind == "custom"
        said = {"input": input_of_arguments(arguments)} if is_custom else {"arguments": arguments}
        return {
            "type": "custom_tool_call" if is_custom else "function_call",
            "id": self._id,
            "call_id": self._call_id,
            "name": self._meant.name,
            **({"namespace": self._meant.namespace} if self._meant.namespace else {}),
            **said,
            "status": self._status,
        }

    def begun(self) -> Iterator[Event]:
        """Yield the event that begins it, where it can be told already."""
        if self._meant.type not in CLIENT_TOOLS:
            yield added(self.index, self.item)

    def grown(self, arguments: str) -> Iterator[Event]:
        """Add a piece of the arguments, and yield the event that tells it."""
        self._pieces.append(arguments)
        if self._meant.type == "function":
            yield {"type": "response.function_call_arguments.delta", **self._place, "delta": arguments}

    def closed(self, status: str) -> Iterator[Event]:
        kind = self._meant.type
        if kind in CLIENT_TOOLS:
            yield added(self.index, self.item)
        self._status = status
        item = self.item
        if kind == "custom":
            prefix = "response.custom_tool_call_input"
            yield {"type": f"{prefix}.delta", **self._place, "delta": item["input"]}
            yield {"type": f"{prefix}.done", **self._place, "input": item["input"]}
        elif kind == "function":
            arguments = item["arguments"]
            yield {
                "type": "response.function_call_arguments.done",
                **self._place,
                "name": self._meant.name,
                "arguments": arguments,
            }
        yield done(self.index, item)

    @property
    def _place(self) -> Event:
        return {"item_id": self._id, "output_index": self.index}
