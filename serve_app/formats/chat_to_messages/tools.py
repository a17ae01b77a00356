"""The tools of a chat as tools of a Messages request, and which of them the model must call."""

import re
from typing import Any

from serve_app.formats.chat_to_messages.content import add_breakpoint
from serve_app.formats.checked_members import not_carried, object_at, objects_at, refused, text_at
from serve_app.formats.translated_ids import ToolNames

_OWN = re.compile(r"[a-z_]+_\d{8}")  # the type of a tool that callers may write as it is

_MODES = {"auto": "auto", "required": "any", "none": "none"}


class Tools:
    """
    The tools of one request.

    Attributes:
        tools: those that are sent.
        choice: the `tool_choice`; None where the model is free, as without one.
        custom: the names of those that take a text, and not an object.
    """

    def __init__(self, body: dict[str, Any], names: ToolNames, dropped: set[str]) -> None:
        """
        Translate the tools.

        Args:
            body: the caller's request.
            names: gets the names of the tools.
            dropped: gets the names of what is lost.

        Raises:
            InvalidRequest: 400, a tool is not built as it must be, or the model must call one that is lost.
        """
        self.tools: list[dict[str, Any]] = []
        self.choice: dict[str, Any] | None = None
        self.custom: set[str] = set()
        self._names = names
        self._lost = False
        for number, tool in enumerate(objects_at(body.get("tools"), "tools")):
            self._add(tool, f"tools[{number}]", dropped)
        for number, function in enumerate(objects_at(body.get("functions"), "functions")):
            self.tools.append(self._function(function, f"functions[{number}]"))
        choice = body.get("tool_choice")
        if choice is None:
            choice = _older(body.get("function_call"))
        if choice is not None:
            self._choose(choice)
        if not self.tools:
            self.choice = None
        elif body.get("parallel_tool_calls") is False and self.choice != {"type": "none"}:
            self.choice = {**(self.choice or {"type": "auto"}), "disable_parallel_tool_use": True}

    def _add(self, tool: dict[str, Any], path: str, dropped: set[str]) -> None:
        kind = tool.get("type")
        if kind == "function" or "function" in tool:
            translated = self._function(
                object_at(tool.get("function"), f"{path}.function"), f"{path}.function"
            )
            self.tools.append(add_breakpoint(translated, tool))
        elif kind == "custom" and "custom" in tool:
            self.tools.append(add_breakpoint(self._custom(tool, f"{path}.custom"), tool))
        elif (isinstance(kind, str) and _OWN.fullmatch(kind)) or "input_schema" in tool:
            self.tools.append(tool)
        else:
            dropped.add(f"tools.{kind if isinstance(kind, str) else 'type'}")
            self._lost = True

    def _function(self, function: dict[str, Any], path: str) -> dict[str, Any]:
        tool: dict[str, Any] = {"name": self._names.safe(text_at(function.get("name"), f"{path}.name"))}
        if (description := function.get("description")) is not None:
            tool["description"] = text_at(description, f"{path}.description")
        parameters = function.get("parameters")
        schema = {"properties": {}} if not parameters else object_at(parameters, f"{path}.parameters")
        tool["input_schema"] = schema if "type" in schema else {"type": "object", **schema}
        if function.get("strict") is True:
            tool["strict"] = True
        return tool

    def _custom(self, tool: dict[str, Any], path: str) -> dict[str, Any]:
        """Return a tool that takes a text as one that takes an object with this text."""
        custom = object_at(tool["custom"], path)
        name = self._names.safe(text_at(custom.get("name"), f"{path}.name"))
        self.custom.add(name)
        description = custom.get("description")
        lines = [] if description is None else [text_at(description, f"{path}.description")]
        form = custom.get("format")
        grammar = form.get("grammar") if isinstance(form, dict) else None
        if isinstance(grammar, dict):
            lines.append(f"The input has to follow this grammar ({grammar.get('syntax')}):")
            lines.append(text_at(grammar.get("definition"), f"{path}.format.grammar.definition"))
        described = {"description": "\n".join(lines)} if lines else {}
        schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
        return {"name": name, **described, "input_schema": schema}

    def _choose(self, choice: Any) -> None:
        if isinstance(choice, str):
            if choice not in _MODES:
                raise refused("tool_choice", "should be auto, required, none or an object")
            if choice == "required" and self._lost and not self.tools:
                raise _forced()
            self.choice = {"type": _MODES[choice]}
            return
        chosen = object_at(choice, "tool_choice")
        kind = chosen.get("type")
        if kind == "allowed_tools":
            self._allow(object_at(chosen.get("allowed_tools", chosen), "tool_choice.allowed_tools"))
        elif kind in ("function", "custom", "tool", None):
            self.choice = {"type": "tool", "name": self._name_of(chosen, "tool_choice")}
        elif kind in ("auto", "any", "none"):
            self.choice = {"type": kind}
        else:
            raise _forced()

    def _allow(self, allowed: dict[str, Any]) -> None:
        path = "tool_choice.allowed_tools"
        listed = objects_at(allowed.get("tools"), f"{path}.tools")
        names = {self._name_of(tool, f"{path}.tools[{number}]") for number, tool in enumerate(listed)}
        self.tools = [t for t in self.tools if isinstance(t.get("name"), str) and t["name"] in names]
        mode = allowed.get("mode", "auto")
        if mode not in ("auto", "required"):
            raise refused(f"{path}.mode", "should be auto or required")
        self.choice = {"type": _MODES[mode]}

    def _name_of(self, tool: dict[str, Any], path: str) -> str:
        held = next((tool[name] for name in ("function", "custom") if isinstance(tool.get(name), dict)), tool)
        return self._names.safe(text_at(held.get("name"), f"{path}.function.name"))


def _older(function_call: Any) -> Any:
    """Return the older `function_call` as a `tool_choice`."""
    if isinstance(function_call, dict):
        return {"type": "function", "function": function_call}
    return function_call


def _forced() -> Exception:
    return not_carried("tool_choice", "A tool that the vendor runs", "choose 'auto', or a function")
