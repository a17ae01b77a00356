"""
The HTTP API as one ASGI application.

The hot endpoints are looked up in a dictionary; FastAPI serves everything else: documentation, validation,
404, 405 and CORS. Both are counted, and both authorise on the route that matched, never on a rebuilt URL.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from serve_app import __version__
from serve_app.api.admin.routes import PREFIX as ADMIN
from serve_app.api.admin.routes import include_admin_routes
from serve_app.api.admin.service import AdminService
from serve_app.api.asgi import (
    JSON,
    ASGIApp,
    CallerGone,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    check_said_once,
    header,
    path_within,
    printable,
    send_answer,
)
from serve_app.api.auth import Authorised, Keyring
from serve_app.api.errors import error_for, error_headers, log_failure, speaks_anthropic, speaks_openai
from serve_app.api.health import Exposition, metrics_routes, provider_routes, service_routes
from serve_app.api.intake import Intake
from serve_app.api.model_endpoint import given_request_id, new_request_id
from serve_app.api.model_list import model_list_routes
from serve_app.api.model_routes import MODEL_ROUTES
from serve_app.api.openapi import completed, count_tokens_operation
from serve_app.api.origins import Origins, is_preflight
from serve_app.api.responses_endpoint import RESPONSES, ResponsesEndpoint
from serve_app.api.routing_endpoints import routing_routes
from serve_app.api.stored_responses import stored_response_routes
from serve_app.api.token_count import COUNT_TOKENS, TokenCountEndpoint
from serve_app.api.unknown_path import hint_for
from serve_app.api.work_endpoints import work_routes
from serve_app.caller import ANYONE, Role
from serve_app.errors import Forbidden, GatewayError, InvalidRequest
from serve_app.events import HttpAnswered
from serve_app.formats.anthropic_messages.error import messages_error
from serve_app.formats.json_body import BOM, parse_json
from serve_app.gateway.model_access import ModelAccess
from serve_app.gateway.running_gateway import RunningGateway

log = logging.getLogger("sekha.api")

TITLE = "Sekha LLM Bridge"  # the name in version 1, which clients check

PUBLIC = frozenset(
    {
        *("/", "/health", "/healthz", "/livez", "/readyz", "/api/v1/health"),
        *("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"),
    }
)
SMALL_BODY = 1_000_000  # bytes; more than any endpoint but the hot ones needs

INTERNAL = "Internal error; the log has the details"

LONGEST_SHOWN = 200  # characters of a path in a line of the log

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]


def build_api(running: RunningGateway, keyring: Keyring, exposition: Exposition) -> ASGIApp:
    """Return the application: hot endpoints first, FastAPI behind them; `exposition` writes /metrics."""
    settings = running.settings
    intake = Intake(settings.router)
    public = PUBLIC | ({"/metrics", "/metrics/"} if settings.auth.public_metrics else set())
    hot: dict[str, Endpoint] = {
        route.path: route.endpoint(running, keyring, intake, route.format, route.operation)
        for route in MODEL_ROUTES
    }
    hot[RESPONSES] = ResponsesEndpoint(running, keyring, intake)
    hot[COUNT_TOKENS] = TokenCountEndpoint(running.gateway, keyring, intake)
    app = _documented(running, keyring, exposition, hot)
    service = AdminService(running)
    include_admin_routes(app, service, keyring, running.check_endpoint)
    app.openapi = lambda: completed(app, public)  # type: ignore[method-assign]
    rest = Guarded(app, keyring, public, intake)
    return Dispatcher(hot, rest, running, keyring)


class Guarded:
    """
    A guard in front of FastAPI, which would read a whole body before it checks the key.

    The routes check the key themselves, on the route that matched; the guard only refuses early, and limits
    the size of bodies. A body is JSON, whatever its content type says: curl declares a form.
    """

    def __init__(self, app: FastAPI, keyring: Keyring, public: frozenset[str], intake: Intake) -> None:
        self._app = app
        self._keyring = keyring
        self._public = public
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            caller = ANYONE
            if path_within(scope) not in self._public:
                caller = await self._keyring.caller(scope)
            async with self._intake.body(scope, receive, caller, SMALL_BODY) as raw:
                body = raw.removeprefix(BOM)
                if body:
                    parse_json(body)
                    _call_json(scope)
                await self._app(scope, _replayed(body, receive), watched)
        except GatewayError as error:
            if begun:
                raise
            await send_answer(send, error.status, _error_body(scope, error), error_headers(error))
        except CallerGone:
            return


def _call_json(scope: Scope) -> None:
    """Set the headers of a request to those of its unpacked body: plain JSON."""
    replaced = (b"content-type", b"content-encoding", b"content-length")
    scope["headers"] = [*(pair for pair in scope["headers"] if pair[0] not in replaced), JSON]


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that begins with the body that was already read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


class Dispatcher:
    """
    Sends a request to its endpoint and counts how it ended.

    It applies the rules for all requests: the allowed hosts and origins, the request id, and HEAD, which is
    answered like GET, without a body.
    """

    def __init__(
        self, hot: dict[str, Endpoint], rest: Endpoint, running: RunningGateway, keyring: Keyring
    ) -> None:
        self._hot = hot
        self._rest = rest
        self._tell = running.tell
        self._keyring = keyring
        self._origins = Origins(running.settings.router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        path, method = path_within(scope), scope["method"]
        if (plain := path.removesuffix("/")) in self._hot:
            path = plain  # a redirect would lead to plain http behind a proxy that ends TLS
        scope, id_headers = _identified(scope, path)
        endpoint = self._hot.get(path) if method == "POST" else None
        # A copy, because the server behind `send` uses its own scope: an answer to HEAD has no body.
        asked = {**scope, "method": "GET"} if method == "HEAD" else scope
        needs_key = self._keyring.asks
        status: int | None = None

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                cors = self._origins.answer_headers(scope, needs_key)
                message = {**message, "headers": [*message["headers"], *id_headers, *cors]}
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            if (refusal := self._refusal(scope, path, needs_key)) is not None:
                await send_answer(counted, refusal.status, error_for(path, refusal), error_headers(refusal))
            elif endpoint is not None:
                await endpoint(scope, receive, counted)
            elif is_preflight(scope):
                headers = self._origins.preflight_headers(scope, needs_key)
                await send_answer(counted, 200, b"OK", [(b"content-type", b"text/plain"), *headers])
            else:
                await self._rest(asked, receive, counted)
        except Exception as error:
            if endpoint is None:
                raise  # FastAPI has answered it
            log_failure(scope["path"], error)
            if status is not None:
                raise  # a part of the answer was sent: break the connection
            await send_answer(counted, 500, error_for(path, GatewayError(INTERNAL)))
        finally:
            route = path if endpoint else _route_of(asked)
            ended = 499 if status is None else status  # the caller disconnected before the answer
            self._tell(HttpAnswered(method if method in METHODS else "other", route, ended))

    def _refusal(self, scope: Scope, path: str, needs_key: bool) -> GatewayError | None:
        """Return why a request is refused whatever its path; None: it is not."""
        try:
            check_said_once(scope)
            given_request_id(scope)  # before any other refusal, which would repeat a bad id
            self._origins.check(scope, path, needs_key)
        except (Forbidden, InvalidRequest) as error:
            return error
        return None


def _identified(scope: Scope, path: str) -> tuple[Scope, Headers]:
    """
    Return a request that has an id, with the response header for Anthropic's clients.

    For all other clients Serve adds it, as `x-request-id`.
    """
    if not _asks_as_anthropic(scope, path):
        return scope, []
    try:
        id_ = given_request_id(scope)
    except InvalidRequest:  # which is its answer; a bad id is not repeated
        return scope, [(b"request-id", new_request_id().encode())]
    if id_ is None:
        id_ = new_request_id()
        scope = {**scope, "headers": [*scope["headers"], (b"x-request-id", id_.encode())]}
    return scope, [(b"request-id", id_.encode())]


class _HandOver(Response):
    """A response that is sent by a hot endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._endpoint(scope, receive, send)


def _documented(
    running: RunningGateway, keyring: Keyring, exposition: Exposition, hot: dict[str, Endpoint]
) -> FastAPI:
    """Return the FastAPI application, with the hot endpoints included for the documentation."""
    app = FastAPI(title=TITLE, version=__version__, description="A multi-provider LLM gateway on Ray Serve.")
    authorised = keyring.require()
    needs_key = [Depends(authorised)]
    open_metrics = running.settings.auth.public_metrics
    app.include_router(service_routes(running))
    app.include_router(
        metrics_routes(running.control, exposition),
        dependencies=[] if open_metrics else [Depends(keyring.require_view())],
    )
    app.include_router(provider_routes(running), dependencies=needs_key)
    app.include_router(routing_routes(running.gateway, running.access, authorised))
    app.include_router(work_routes(running, keyring))
    app.include_router(_model_routes(running.access, hot, authorised), dependencies=needs_key)
    app.include_router(stored_response_routes(running.stored_responses, keyring.require(Role.USER)))
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    return app


def _model_routes(access: ModelAccess, hot: dict[str, Endpoint], authorised: Authorised) -> APIRouter:
    routes = APIRouter(tags=["models"])
    for route in MODEL_ROUTES:
        routes.add_api_route(
            route.path,
            _handing_over_to(hot[route.path]),
            methods=["POST"],
            operation_id=route.path.strip("/").replace("/", "_"),
            summary=route.summary,
            openapi_extra=route.document,
            response_class=Response,
        )
    routes.add_api_route(
        COUNT_TOKENS,
        _handing_over_to(hot[COUNT_TOKENS]),
        methods=["POST"],
        operation_id=COUNT_TOKENS.strip("/").replace("/", "_"),
        summary="The number of tokens of a prompt in Anthropic's format, counted or estimated",
        openapi_extra=count_tokens_operation(),
        response_class=Response,
    )
    routes.include_router(model_list_routes(access, authorised))
    return routes


def _handing_over_to(endpoint: Endpoint) -> Callable[[], Awaitable[Response]]:
    async def hand_over() -> Response:
        return _HandOver(endpoint)

    return hand_over


def _route_of(scope: Scope) -> str:
    """Return the matched pattern, a label that does not grow with the paths that clients try."""
    # Of a route in a router in a router, `route` knows only its own part.
    whole = scope.get("fastapi", {}).get("effective_route_context")
    return str(getattr(whole or scope.get("route"), "path", "unmatched"))


def _is_for_admins(request: Request) -> bool:
    return path_within(request.scope).startswith(f"{ADMIN}/")


def _error_body(scope: Scope, error: GatewayError) -> bytes:
    """Return an error in the shape that its caller expects."""
    path = path_within(scope)
    return messages_error(error) if _asks_as_anthropic(scope, path) else error_for(path, error)


def _asks_as_anthropic(scope: Scope, path: str) -> bool:
    """Return whether a client of Anthropic's asks; those of both vendors ask for the list of models."""
    if f"{path}/".startswith("/v1/models/"):
        return header(scope, b"anthropic-version") is not None
    return speaks_anthropic(path)


async def _gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 - registered for this class only
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    return Response(_error_body(request.scope, error), error.status, headers, "application/json")


async def _http_error(request: Request, error: Exception) -> Response:
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
    if _asks_as_anthropic(request.scope, path):
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


async def _validation_error(request: Request, error: Exception) -> Response:
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
