"""
The tools of a Responses request as functions of a chat, and the calls of functions as what they stand for.

Chat upstreams know functions only. A custom tool becomes a function with one text, `input`; a member of a
namespace gets the namespace's name in front of its own; a tool that the caller runs and OpenAI defines gets
the schema of its call. What the vendor would run itself is left out.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from serve_app.errors import InvalidRequest
from serve_app.formats.exact_json import dumps
from serve_app.formats.json_objects import parsed
from serve_app.formats.tool_arguments import arguments_object
from serve_app.formats.translated_ids import digest

LONGEST_NAME = 64  # characters of a function's name
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
_TEXT: Mapping[str, Any] = {"type": "string"}


def _object(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_INPUT = _object(["input"], input=_TEXT)
_TEXTS: Mapping[str, Any] = {"type": "array", "items": _TEXT}


class ClientTool(NamedTuple):
    """
    A tool that OpenAI defines and the caller runs.

    Fields:
        call: the type of its call; the output's type has `_output` behind it.
        member: where the call holds its arguments.
        defaults: what stands for arguments that the model has left out; clients rely on these.
        schema: the schema of the arguments.
        description: what the tool does.
    """

    call: str
    member: str
    defaults: Mapping[str, Any]
    schema: Mapping[str, Any]
    description: str


CLIENT_TOOLS: Mapping[str, ClientTool] = {
    "shell": ClientTool(
        "shell_call",
        "action",
        {"commands": []},
        _object(
            ["commands"],
            commands=_TEXTS,
            timeout_ms={"type": "integer"},
            max_output_length={"type": "integer"},
        ),
        "Run shell commands, one after the other, and return their output.",
    ),
    "local_shell": ClientTool(
        "local_shell_call",
        "action",
        {"type": "exec", "command": [], "env": {}},
        _object(
            ["command"],
            command=_TEXTS,
            env={"type": "object", "additionalProperties": _TEXT},
            timeout_ms={"type": "integer"},
            working_directory=_TEXT,
        ),
        "Run a command on the local machine and return its output.",
    ),
    "apply_patch": ClientTool(
        "apply_patch_call",
        "operation",
        {"type": "update_file", "path": "", "diff": ""},
        _object(
            ["type", "path"],
            type={"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            path=_TEXT,
            diff={"type": "string", "description": "In the V4A format; not for delete_file."},
        ),
        "Create, update or delete one file.",
    ),
    "tool_search": ClientTool(
        "tool_search_call", "arguments", {}, _object([], query=_TEXT), "Search for further tools."
    ),
}
CALL_TYPES: Mapping[str, tuple[str, ClientTool]] = {
    tool.call: (name, tool) for name, tool in CLIENT_TOOLS.items()
}


class Meant(NamedTuple):
    """
    The tool that a function of the chat stands for.

    Fields:
        type: the tool's type.
        name: its name.
        namespace: the namespace that it is a member of; None without one.
    """

    type: str
    name: str
    namespace: str | None = None


Reference = tuple[
    str, str | None, str | None
]  # to tools: their type, and a name and namespace if it has them


class ToolTable:
    """
    The tools of one request.

    Attributes:
        functions: the tools of the chat.
        dropped: what of the caller's tools the chat does not have.
        hosted: the types of the tools that are left out, because the vendor would run them.
    """

    def __init__(self) -> None:
        self.functions: list[dict[str, Any]] = []
        self.dropped: set[str] = set()
        self.hosted: list[str] = []
        self._meant: dict[str, Meant] = {}
        # By a reference's type, name and namespace, each reference that means a function; and by namespace.
        self._by_reference: dict[Reference, list[str]] = {}
        self._by_namespace: dict[str, list[str]] = {}

    def add(self, tools: Iterable[Mapping[str, Any]]) -> None:
        """Add the tools of a list; one that is there already keeps its place."""
        for tool in tools:
            self._add(tool, None)

    def name_in_chat(self, name: str, namespace: str | None = None) -> str:
        """Return what a tool is called in the chat."""
        full = f"{namespace}__{name}" if namespace else name
        plain = _NO_NAME.sub("_", full)
        return full if plain == full and len(full) <= LONGEST_NAME else f"{plain[:31]}_{digest(full)}"

    def meant_by(self, name: str) -> Meant:
        """Return what a function of the chat stands for; one that nobody offered stands for itself."""
        return self._meant.get(name) or Meant("function", name)

    def names_of(self, choice: Mapping[str, Any]) -> list[str]:
        """Return the functions of the chat that a reference to a tool means; empty: it has none."""
        return self._names_of(_reference(choice))

    def names_of_all(self, choices: Iterable[Mapping[str, Any]]) -> set[str]:
        """Return the functions of the chat that any of these references means."""
        references = set(map(_reference, choices))  # a caller may repeat one that means many
        return {name for reference in references for name in self._names_of(reference)}

    def _names_of(self, reference: Reference | None) -> list[str]:
        if reference is None:
            return []
        kind, name, _ = reference
        if kind == "namespace":
            return self._by_namespace.get(name or "", [])
        return self._by_reference.get(reference, [])

    def _add(self, tool: Mapping[str, Any], namespace: Mapping[str, Any] | None) -> None:
        kind = tool["type"]
        if kind == "namespace":
            for member in tool["tools"]:
                self._add(member, tool)
        elif kind in ("function", "custom"):
            space = namespace["name"] if namespace else None
            about = [part["description"] for part in (namespace, tool) if part and part.get("description")]
            make = _function if kind == "function" else _custom
            self._offer(Meant(kind, tool["name"], space), make(tool, about))
            self._note_lost_members(tool)
        elif kind in CLIENT_TOOLS and not _is_hosted(tool):
            self._offer(Meant(kind, kind), _defined(CLIENT_TOOLS[kind], tool))
        else:
            self.hosted.append(kind)
            self.dropped.add(f"tools.{kind}")

    def _offer(self, meant: Meant, function: dict[str, Any]) -> None:
        name = self.name_in_chat(meant.name, meant.namespace)
        if name in self._meant:
            return
        self._meant[name] = meant
        self.functions.append({"type": "function", "function": {"name": name, **function}})
        for called, space in product({None, meant.name, name}, {None, meant.namespace}):
            self._by_reference.setdefault((meant.type, called, space), []).append(name)
        if meant.namespace is not None:
            self._by_namespace.setdefault(meant.namespace, []).append(name)

    def _note_lost_members(self, tool: Mapping[str, Any]) -> None:
        lost = [name for name in ("defer_loading", "async", "output_schema") if tool.get(name)]
        form = tool.get("format")
        if isinstance(form, Mapping) and form.get("type") == "grammar":
            lost.append("format")
        self.dropped |= {f"tools.{name}" for name in lost}


def _reference(choice: Mapping[str, Any]) -> Reference | None:
    """Return what a reference to a tool says; None: nothing that could mean one."""
    kind, name, space = choice.get("type"), choice.get("name"), choice.get("namespace")
    if isinstance(kind, str) and isinstance(name, str | None) and isinstance(space, str | None):
        return kind, name, space
    return None


def arguments_of_input(text: str) -> str:
    """Return the arguments of the function that stands for a custom tool."""
    return dumps({"input": text}).decode()


def input_of_arguments(arguments: str) -> str:
    """Return the text for a custom tool; arguments that are no object with one are the text themselves."""
    found = (parsed(arguments.encode("utf-8", "surrogatepass")) or {}).get("input")
    return found if isinstance(found, str) else arguments


def object_of_arguments(tool: ClientTool, arguments: str) -> dict[str, Any]:
    """Return the object that the call of such a tool holds."""
    return {**tool.defaults, **arguments_object(arguments)}


_CHOICES = ("auto", "none", "required")


def chat_choice(choice: Any, table: ToolTable) -> Any:
    """
    Return the choice of a tool in the words of the chat; None: it has no tools, or leaves the choice open.

    A list of allowed tools takes the others out of the table.

    Raises:
        InvalidRequest: 400, it asks for a tool that the chat cannot have.
    """
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    if isinstance(choice, str) and choice not in _CHOICES:  # others name a type, which is told with an object
        raise _not_available("tool_choice", choice[:100], "use 'auto' or name a function")
    if kind == "allowed_tools":
        allowed = table.names_of_all(choice["tools"])
        kinds = {kind for tool in choice["tools"] if isinstance(kind := tool.get("type"), str)}
        table.hosted = [hosted for hosted in table.hosted if hosted in kinds]
        table.functions = [tool for tool in table.functions if tool["function"]["name"] in allowed]
        choice = kind = "required" if choice.get("mode") == "required" else "auto"
    if kind in (None, "auto", "none"):
        return kind if table.functions else None
    if kind == "required":
        if table.hosted:
            raise _not_available("tool_choice", table.hosted[0], "use 'auto' or name a function")
        return choice if table.functions else None
    if isinstance(choice, Mapping) and (names := table.names_of(choice)):
        return {"type": "function", "function": {"name": names[0]}}
    if kind in ("function", "custom"):
        message = f"tool_choice: no tool of the request is called '{choice['name'][:100]}'"
        raise InvalidRequest(message, param="tool_choice", code="invalid_value")
    raise _not_available("tool_choice", str(kind)[:100], "use 'auto' or name a function")


def _not_available(param: str, kind: str, instead: str) -> InvalidRequest:
    message = f"{param}: no tool of type '{kind}' can be used with this model; {instead}"
    return InvalidRequest(message, param=param, code="unsupported_value")


def _is_hosted(tool: Mapping[str, Any]) -> bool:
    """Return whether the vendor would run a tool that callers can run themselves."""
    environment = tool.get("environment")
    kind = environment.get("type") if isinstance(environment, Mapping) else None
    in_container = isinstance(kind, str) and kind.startswith("container")
    return in_container or (tool["type"] == "tool_search" and tool.get("execution") != "client")


def _function(tool: Mapping[str, Any], about: Sequence[str]) -> dict[str, Any]:
    function: dict[str, Any] = {"description": "\n\n".join(about)} if about else {}
    if tool.get("parameters") is not None:
        function["parameters"] = tool["parameters"]
    if tool.get("strict") is not None:
        function["strict"] = tool["strict"]
    return function


def _custom(tool: Mapping[str, Any], about: Sequence[str]) -> dict[str, Any]:
    form = tool.get("format")
    rules = []
    if isinstance(form, Mapping) and isinstance(form.get("definition"), str):
        rules = [f"'input' must match this {form.get('syntax', '')} grammar:\n{form['definition']}"]
    texts = [*about, *rules]
    return {**({"description": "\n\n".join(texts)} if texts else {}), "parameters": _INPUT}


def _defined(defined: ClientTool, tool: Mapping[str, Any]) -> dict[str, Any]:
    description = tool.get("description")
    parameters = tool.get("parameters")
    return {
        "description": description if isinstance(description, str) else defined.description,
        "parameters": parameters if isinstance(parameters, dict) else defined.schema,
    }
