"""
The HTTP API as one ASGI application.

The hot endpoints are looked up in a dictionary; FastAPI serves everything else: documentation, validation,
404, 405 and CORS. Both are counted, and both authorise on the route that matched, never on a rebuilt URL.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from serve_app import __version__
from serve_app.api.admin.routes import include_admin_routes
from serve_app.api.admin.service import AdminService
from serve_app.api.asgi import (
    ASGIApp,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    check_said_once,
    path_within,
    send_answer,
)
from serve_app.api.auth import Authorised, Keyring
from serve_app.api.errors import error_for, error_headers, log_failure
from serve_app.api.exception_handlers import (
    METHODS,
    answer_gateway_error,
    answer_http_error,
    answer_validation_error,
    asks_as_anthropic,
)
from serve_app.api.guarded import Guarded
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
from serve_app.api.work_endpoints import work_routes
from serve_app.caller import Role
from serve_app.errors import Forbidden, GatewayError, InvalidRequest
from serve_app.events import HttpAnswered
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

INTERNAL = "Internal error; the log has the details"

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
    if not asks_as_anthropic(scope, path):
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
    app.add_exception_handler(GatewayError, answer_gateway_error)
    app.add_exception_handler(HTTPException, answer_http_error)
    app.add_exception_handler(RequestValidationError, answer_validation_error)
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
