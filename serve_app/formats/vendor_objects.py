"""
What a request names of the operator's account at the vendor, and whom it has the vendor ask.

All callers of the gateway share that account: one who names a file, a container or a stored response could
name another one's. An MCP server is asked by the vendor, with what the caller sends along.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from serve_app.config.web_hosts import origin_of
from serve_app.errors import InvalidRequest

ALLOWED_BY = "; the operator can allow it to a tenant with 'vendor_objects'"

# Members, at any depth, that name an object of the account.
_MEMBERS = frozenset({
    "file_id", "file_ids", "vector_store_id", "vector_store_ids", "container_id", "skill_id", "connector_id",
    "tunnel_id", "previous_response_id", "comparison_response_id", "previous_message_id",
})  # fmt: skip
# What a schema describes and what an answer has quoted: nothing in there is looked up again.
_NOT_LOOKED_UP = frozenset({
    "parameters", "input_schema", "output_schema", "annotations", "results", "logprobs", "arguments",
    "function", "citations", "input",
})  # fmt: skip
_CALLERS_TOOLS = frozenset({None, "function", "custom", "namespace"})
_MOST_SERVERS = 100


class VendorObject(NamedTuple):
    """
    The first member of a request that names something of the operator's account.

    Fields:
        path: where it is.
        why: what it names.
        instead: what a caller does who may not name it.
    """

    path: str
    why: str = "it names an object of the operator's account at the vendor"
    instead: str = "send the content itself, or leave it out"

    @property
    def refusal(self) -> InvalidRequest:
        """Return the error for a caller who may not name it."""
        message = f"'{self.path}' is not supported: {self.why}; {self.instead}{ALLOWED_BY}"
        return InvalidRequest(message, param=self.path, code="unsupported_parameter")


class McpServer(NamedTuple):
    """
    A server that the vendor is to ask for tools.

    Fields:
        path: where it is named.
        origin: where it is, such as `https://example.org`; None: not at a plain web address.
    """

    path: str
    origin: str | None


def object_in(element: Mapping[str, Any], path: str) -> VendorObject | None:
    """Return what a tool, an item or a part of a content names of the account, however deep."""
    for key, value in _members(element):
        plain = key.casefold()
        if value and (plain in _MEMBERS or (plain == "container" and isinstance(value, str))):
            return VendorObject(f"{path}.{key}")
    return None


def first_of(found: Iterable[VendorObject | None]) -> VendorObject | None:
    """Return the first of these that is there."""
    return next((named for named in found if named is not None), None)


def mcp_servers(body: Mapping[str, Any], elements: Iterable[tuple[Any, str]]) -> tuple[McpServer, ...]:
    """
    Return the MCP servers that the vendor is to ask.

    Args:
        body: the request.
        elements: its tools, and what else may bring tools along, each with its path.

    Raises:
        InvalidRequest: 400, a server is not what it must be, or there are too many.
    """
    found = [
        McpServer(f"{path}.{key}", _origin(value))
        for element, path in elements
        if isinstance(element, dict)
        for key, value in _members(element)
        if value and key.casefold() == "server_url"
    ]
    listed = body.get("mcp_servers")
    if not isinstance(listed, list | None):
        raise _wrong("mcp_servers", "should be a list of objects")
    for place, server in enumerate(listed or ()):
        if not isinstance(server, dict):
            raise _wrong(f"mcp_servers[{place}]", "should be an object with a url")
        urls = [name for name in server if name.casefold() in ("url", "server_url")]
        found += [McpServer(f"mcp_servers[{place}].{name}", _origin(server[name])) for name in urls]
        if not urls:
            raise _wrong(f"mcp_servers[{place}].url", "a server needs the address of one here")
    if len(found) > _MOST_SERVERS:
        raise _wrong("mcp_servers", f"should name at most {_MOST_SERVERS} servers, not {len(found)}")
    return tuple(found)


def refuse_other_models(tools: Iterable[tuple[Mapping[str, Any], str]]) -> None:
    """
    Refuse a tool that has the vendor ask another model, which nobody has permitted or priced.

    Args:
        tools: every tool of the request, with its path.

    Raises:
        InvalidRequest: 400 `unchecked_model`, with the field.
    """
    for tool, path in tools:
        if tool.get("model") is not None and tool.get("type") not in _CALLERS_TOOLS:
            message = f"'{path}.model' has the vendor ask another model; leave it out"
            raise InvalidRequest(message, param=f"{path}.model", code="unchecked_model")


def _members(element: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the members of an object and of what is within it, but for schemas and quotations."""
    waiting: list[Any] = [element]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += [inner for inner in value if isinstance(inner, dict | list)]
            continue
        for key, inner in value.items():
            yield key, inner
            if isinstance(inner, dict | list) and key.casefold() not in _NOT_LOOKED_UP:
                waiting.append(inner)


def _origin(url: Any) -> str | None:
    return origin_of(url) if isinstance(url, str) else None


def _wrong(path: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: {message}", param=path, code="invalid_value")
