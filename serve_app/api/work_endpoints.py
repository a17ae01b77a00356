"""
The work endpoints: `/embed`, `/summarize`, `/extract`, `/score`, and their other paths.

Each asks the gateway what a caller of chat or embeddings would ask: routing, budgets and fallback apply, and
the caller's key pays.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple

import orjson
from fastapi import APIRouter, Depends, Request, Response

from serve_app.api.auth import Keyring
from serve_app.api.model_endpoint import request_id_of, routed_headers, timeout_of
from serve_app.api.visible_error import visible_error
from serve_app.api.work_schemas import (
    EmbedAnswer,
    EmbedRequest,
    ExtractAnswer,
    ExtractRequest,
    ScoreAnswer,
    ScoreRequest,
    SummarizeAnswer,
    SummarizeRequest,
)
from serve_app.caller import Caller
from serve_app.config.model import ModelTask
from serve_app.errors import GatewayError, NoProvidersAvailable, NoSuitableProviders, UpstreamError
from serve_app.gateway.routing_info import METADATA, RoutingInfo, metadata
from serve_app.gateway.running_gateway import RunningGateway
from serve_app.services import gateway_calls, summary, vector
from serve_app.services.entities import entities_in, entities_question
from serve_app.services.gateway_calls import Asker
from serve_app.services.hints import Hints
from serve_app.services.importance import failed, importance_in, importance_question

NO_MODEL = "none"  # as the name of the model, where none could answer


class WorkRoute(NamedTuple):
    """One kind of work: its paths, a line for the documentation, and the schema of its answer."""

    paths: tuple[str, ...]
    summary: str
    answer: type[Any]


EMBED = WorkRoute(
    ("/api/v1/embed", "/embed", "/embeddings"), "The vector of a text, from an embedding model", EmbedAnswer
)
SUMMARIZE = WorkRoute(
    ("/api/v1/summarize", "/summarize"),
    "A daily, weekly or monthly summary of messages",
    SummarizeAnswer,
)
EXTRACT = WorkRoute(
    ("/api/v1/extract", "/extract", "/extract_entities"),
    "The people, organisations, technical terms and concepts of a text",
    ExtractAnswer,
)
SCORE = WorkRoute(
    ("/api/v1/score", "/score", "/score_importance"),
    "How important a conversation is, from 1 to 10",
    ScoreAnswer,
)
WORK_PATHS = frozenset(path for route in (EMBED, SUMMARIZE, EXTRACT, SCORE) for path in route.paths)


def work_routes(running: RunningGateway, keyring: Keyring) -> APIRouter:
    """Return the routes of one gateway."""

    async def model_caller(request: Request) -> Caller:
        return await keyring.model_caller(request.scope)

    Payer = Annotated[Caller, Depends(model_caller)]  # noqa: N806 - a type, though made here
    routes, work = APIRouter(tags=["work"]), _Work(running)

    async def embed(body: EmbedRequest, request: Request, caller: Payer) -> Response:
        return await work.embed(body, request, caller)

    async def summarize(body: SummarizeRequest, request: Request, caller: Payer) -> Response:
        return await work.summarize(body, request, caller)

    async def extract(body: ExtractRequest, request: Request, caller: Payer) -> Response:
        return await work.extract(body, request, caller)

    async def score(body: ScoreRequest, request: Request, caller: Payer) -> Response:
        return await work.score(body, request, caller)

    _add(routes, EMBED, embed)
    _add(routes, SUMMARIZE, summarize)
    _add(routes, EXTRACT, extract)
    _add(routes, SCORE, score)
    return routes


def _add(routes: APIRouter, route: WorkRoute, endpoint: Callable[..., Any]) -> None:
    for path in route.paths:
        routes.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            operation_id=path.strip("/").replace("/", "_"),
            summary=route.summary,
            response_model=route.answer,
            response_description="The answer.",
        )


class _Work:
    """The work of one gateway: from a checked body to an answer."""

    def __init__(self, running: RunningGateway) -> None:
        self._gateway = running.gateway
        self._access = running.access
        self._control = running.control
        self._tells_metadata = running.settings.routing.metadata

    async def embed(self, body: EmbedRequest, request: Request, caller: Caller) -> Response:
        asker = _asker(request, caller, self._embedding_hints(body))
        with self._seen_by(caller):
            embedded = await gateway_calls.embed(self._gateway, body.text, asker)
        answer = {
            "embedding": embedded.vector,
            "model": embedded.model,
            "tokens_used": vector.tokens_used(body.text),
            "dimension": len(embedded.vector),
        }
        return self._answer(answer, embedded.routed)

    async def summarize(self, body: SummarizeRequest, request: Request, caller: Caller) -> Response:
        level = summary.level_of(body.level)
        question = summary.summary_question(body.messages, level, body.max_words)
        with self._seen_by(caller):
            answered = await gateway_calls.ask_for_text(
                self._gateway, question, _asker(request, caller, body.hints)
            )
        answer = {
            "summary": answered.text,
            "model": answered.model,
            "tokens_used": summary.tokens_used(body.messages, answered.text),
            "level": level,
            "message_count": len(body.messages),
        }
        return self._answer(answer, answered.routed)

    async def extract(self, body: ExtractRequest, request: Request, caller: Caller) -> Response:
        question = entities_question(body.text)
        with self._seen_by(caller):
            answered = await gateway_calls.ask(self._gateway, question, _asker(request, caller, body.hints))
        answer = {"entities": entities_in(answered.text)._asdict(), "model": answered.model}
        return self._answer(answer, answered.routed)

    async def score(self, body: ScoreRequest, request: Request, caller: Caller) -> Response:
        question = importance_question(body.given, body.context, body.given_as)
        try:
            with self._seen_by(caller):
                answered = await gateway_calls.ask(
                    self._gateway, question, _asker(request, caller, body.hints)
                )
        except (UpstreamError, NoProvidersAvailable, NoSuitableProviders) as error:
            # A score is a hint: a caller that stores a conversation goes on without a model's opinion.
            return self._answer({**failed(error.told)._asdict(), "model": NO_MODEL})
        answer = {**importance_in(answered.text)._asdict(), "model": answered.model}
        return self._answer(answer, answered.routed)

    def _embedding_hints(self, body: EmbedRequest) -> Hints:
        """Return the hints; an embedding model of this name is not replaced, as its vectors cannot be."""
        for target in self._access.targets:
            if target.task is ModelTask.EMBEDDING and body.model in (target.model_id, target.name):
                return body.hints._replace(named_model=body.model, preferred_model=body.preferred_model)
        return body.hints

    @contextmanager
    def _seen_by(self, caller: Caller) -> Iterator[None]:
        """Raise errors as this caller may see them."""
        try:
            yield
        except GatewayError as error:
            if (visible := visible_error(error, caller, self._control.runtime_config)) is error:
                raise
            raise visible from None

    def _answer(self, answer: dict[str, Any], routed: RoutingInfo | None = None) -> Response:
        headers = {} if routed is None else {k.decode(): v.decode() for k, v in routed_headers(routed)}
        if routed is not None and self._tells_metadata:
            answer[METADATA] = metadata(routed)
        return Response(orjson.dumps(answer), 200, headers, "application/json")


def _asker(request: Request, caller: Caller, hints: Hints) -> Asker:
    return Asker(request_id_of(request.scope), caller, timeout_of(request.scope), hints)
