"""What a request may reach by way of the vendor: objects of the operator's account, MCP servers."""

from collections.abc import Collection

from serve_app.caller import Caller
from serve_app.config.web_hosts import is_listed
from serve_app.errors import InvalidRequest
from serve_app.formats.chat_request import ChatRequest


def check_reach(request: ChatRequest, caller: Caller, mcp_hosts: Collection[str]) -> None:
    """
    Refuse a request that reaches further than its caller may.

    Args:
        request: the request.
        caller: whose request it is.
        mcp_hosts: the hosts of MCP servers that the operator allows.

    Raises:
        InvalidRequest: 400 `unsupported_parameter` for an object of the account that the caller's tenant may
            not use, 400 `mcp_server_not_allowed` for a server that is not listed.
    """
    if request.vendor_object is not None and not caller.vendor_objects:
        raise request.vendor_object.refusal
    for server in request.mcp_servers:
        if server.origin is None or not is_listed(server.origin, mcp_hosts):
            where = server.origin or "an address that is not a plain web address"
            message = (
                f"'{server.path}' has the vendor call {where}, which routing.allowed_mcp_servers does not "
                "list; leave it out, or ask the operator to list its host"
            )
            raise InvalidRequest(message, param=server.path, code="mcp_server_not_allowed")
