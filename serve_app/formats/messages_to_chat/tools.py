"""The tools of a Messages request as functions of a chat, and which of them the model must call."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from serve_app.formats.checked_members import not_carried, object_at, objects_at, refused, text_at
from serve_app.formats.translated_ids import ToolNames

# Members of a tool that a function of a chat has no place for.
_LOST = ("cache_control", "defer_loading", "eager_input_streaming", "input_examples", "allowed_callers")

# Tools that the vendor runs, by what their type begins with; a model can answer without them.
_RUN_BY_THE_VENDOR = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "mcp_toolset")

_NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({"type": "object", "properties": {}})
_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}

# Tools that the vendor's models know and the caller runs: what they take, by what their type begins with.
# Source: https://docs.anthropic.com/en/docs/agents-and-tools/tool-use
_KNOWN_TO_THE_MODEL: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType({
    "bash_": (
        "Run a command in a persistent bash session; set restart to start a new session.",
        {"type": "object", "properties": {"command": _TEXT, "restart": {"type": "boolean"}}},
    ),
    "text_editor_": (
        "View, create and edit text files.",
        {
            "type": "object",
            "properties": {
                "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert"]},
                "path": _TEXT,
                "file_text": _TEXT,
                "old_str": _TEXT,
                "new_str": _TEXT,
                "insert_line": _WHOLE,
                "insert_text": _TEXT,
                "view_range": {"type": "array", "items": _WHOLE},
            },
            "required": ["command", "path"],
        },
    ),
    "memory_": (
        "Keep notes in files under /memories between conversations.",
        {
            "type": "object",
            "properties": {
                "command": {
                    "type": "string",
                    "enum": ["view", "create", "str_replace", "insert", "delete", "rename"],
                },
                "path": _TEXT,
                "file_text": _TEXT,
                "old_str": _TEXT,
                "new_str": _TEXT,
                "insert_line": _WHOLE,
                "insert_text": _TEXT,
                "view_range": {"type": "array", "items": _WHOLE},
                "old_path": _TEXT,
                "new_path": _TEXT,
            },
            "required": ["command"],
        },
    ),
})  # fmt: skip


def add_tools(body: dict[str, Any], chat: dict[str, Any], names: ToolNames, dropped: set[str]) -> None:
    """
    Add the tools and the choice among them to the chat request.

    Args:
        body: the caller's request.
        chat: the chat request.
        names: gets the names of the tools.
        dropped: gets the names of what is lost.

    Raises:
        InvalidRequest: 400, a tool cannot be carried, or the model would have to call one that cannot.
    """
    functions: list[dict[str, Any]] = []
    hosted: list[str] = []
    for number, tool in enumerate(objects_at(body.get("tools"), "tools")):
        function = _function(tool, f"tools[{number}]", names, dropped)
        if function is not None:
            functions.append(function)
        else:
            dropped.add(f"tools.{tool['type']}")
            hosted.append(str(tool.get("name")))
    if functions:
        chat["tools"] = functions
    if (choice := body.get("tool_choice")) is not None:
        _add_choice(object_at(choice, "tool_choice"), chat, hosted, names)


def _function(tool: dict[str, Any], path: str, names: ToolNames, dropped: set[str]) -> dict[str, Any] | None:
    """Return a tool as a function; None where the vendor runs it."""
    kind = tool.get("type")
    if kind is None or kind == "custom":
        parameters: Any = tool.get("input_schema")
        parameters = (
            dict(_NO_PARAMETERS) if parameters is None else object_at(parameters, f"{path}.input_schema")
        )
        description = tool.get("description")
    elif not isinstance(kind, str):
        raise refused(f"{path}.type", "should be a text")
    elif kind.startswith(_RUN_BY_THE_VENDOR):
        return None
    else:
        known = next((told for prefix, told in _KNOWN_TO_THE_MODEL.items() if kind.startswith(prefix)), None)
        if known is None:
            way_out = "describe it as a tool with a name and an input_schema"
            raise not_carried(path, f"A tool of type '{kind[:64]}'", way_out)
        description, parameters = known
    dropped.update(f"tools.{name}" for name in _LOST if tool.get(name))
    function: dict[str, Any] = {"name": names.safe(text_at(tool.get("name"), f"{path}.name"))}
    if description is not None:
        function["description"] = text_at(description, f"{path}.description")
    function["parameters"] = parameters
    if isinstance(strict := tool.get("strict"), bool):
        function["strict"] = strict
    return {"type": "function", "function": function}


def _add_choice(choice: dict[str, Any], chat: dict[str, Any], hosted: list[str], names: ToolNames) -> None:
    kind = choice.get("type")
    if kind == "tool":
        name = text_at(choice.get("name"), "tool_choice.name")
        if name in hosted:
            raise _forced()
        chosen: Any = {"type": "function", "function": {"name": names.safe(name)}}
    elif kind == "any":
        if hosted and "tools" not in chat:
            raise _forced()
        chosen = "required"
    elif kind in ("auto", "none"):
        chosen = kind
    else:
        raise refused("tool_choice.type", "should be auto, any, tool or none")
    if "tools" in chat:
        chat["tool_choice"] = chosen
        if choice.get("disable_parallel_tool_use") is True:
            chat["parallel_tool_calls"] = False


def _forced() -> Exception:
    return not_carried("tool_choice", "A tool that the vendor runs", "choose 'auto', or a tool of your own")
