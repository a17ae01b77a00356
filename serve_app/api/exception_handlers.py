"""The answers to requests that FastAPI or a route has refused, in the words of the path's API."""

import logging
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from serve_app.api.admin.routes import PREFIX as ADMIN
from serve_app.api.asgi import (
    Scope,
    header,
    path_within,
    printable,
)
from serve_app.api.errors import error_for, error_headers, speaks_anthropic, speaks_openai
from serve_app.api.unknown_path import hint_for
from serve_app.errors import GatewayError, InvalidRequest
from serve_app.formats.anthropic_messages.error import messages_error

log = logging.getLogger("sekha.api")

LONGEST_SHOWN = 200  # characters of a path in a line of the log

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _is_for_admins(request: Request) -> bool:
    return path_within(request.scope).startswith(f"{ADMIN}/")


def error_body(scope: Scope, error: GatewayError) -> bytes:
    """Return an error in the shape that its caller expects."""
    path = path_within(scope)
    return messages_error(error) if asks_as_anthropic(scope, path) else error_for(path, error)


def asks_as_anthropic(scope: Scope, path: str) -> bool:
    """Return whether a client of Anthropic's asks; those of both vendors ask for the list of models."""
    if f"{path}/".startswith("/v1/models/"):
        return header(scope, b"anthropic-version") is not None
    return speaks_anthropic(path)


async def answer_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 - registered for this class only
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    return Response(error_body(request.scope, error), error.status, headers, "application/json")


async def answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    detail = str(error.detail)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 404:
        detail = _unknown_path(request)
    elif error.status_code == 405:
        headers["allow"] = ", ".join(_methods_at(request))
    body: dict[str, Any] = {"detail": detail}
    if _is_for_admins(request):
        word = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "INVALID_REQUEST")
        body |= {"code": word, "message": detail, "details": {}}
    path = path_within(request.scope)
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code)
    if asks_as_anthropic(request.scope, path):
        refusal = InvalidRequest(detail, code=code or InvalidRequest.code, status=error.status_code)
        return Response(messages_error(refusal), error.status_code, headers, "application/json")
    if speaks_openai(path):
        facts = {"message": detail, "type": "invalid_request_error", "param": None, "code": code}
        body["error"] = facts
    return JSONResponse(body, error.status_code, headers)


def _unknown_path(request: Request) -> str:
    """Return the message for an unknown path, and log it for operators."""
    path, method = path_within(request.scope), request.method
    hint = hint_for(path)
    detail = "Not Found" if hint is None else f"Not Found: {hint}"
    shown = printable(path, LONGEST_SHOWN)
    log.info("404 %s %s%s", method if method in METHODS else "other", shown, f" ({hint})" if hint else "")
    return detail


def _methods_at(request: Request) -> list[str]:
    """Return every method that some route accepts at this path; a route alone knows only its own."""
    found: set[str] = set()
    for method in METHODS:
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            found.add(method)
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


async def answer_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    faults = [{"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()]
    body: dict[str, Any] = {"detail": faults}
    names = [".".join(map(str, fault["loc"][1:])) or "body" for fault in faults]
    message = "; ".join(f"{name}: {fault['msg']}" for name, fault in zip(names, faults, strict=True))
    if _is_for_admins(request):
        body |= {"code": "INVALID_REQUEST", "message": message, "details": {"fields": faults}}
    if speaks_openai(path_within(request.scope)):
        facts = {"type": "invalid_request_error", "param": names[0], "code": "invalid_value"}
        body["error"] = {"message": message, **facts}
    return JSONResponse(body, 422)
