"""The routing API under `/api/v1`: the configured models, and the target of a request."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.api.auth import Authorised
from serve_app.api.routing_schemas import FallbackChoice, ModelEntry, RouteAnswer, RouteRequest
from serve_app.caller import Caller
from serve_app.config.model import CLASSIC_TASKS
from serve_app.gateway.gateway import Gateway
from serve_app.gateway.model_access import ModelAccess
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.pricing.money import dollars
from serve_app.routing.candidate import Candidate


def routing_routes(gateway: Gateway, access: ModelAccess, authorised: Authorised) -> APIRouter:
    """Return the routes of one gateway; `authorised` returns the caller."""
    Asker = Annotated[Caller, Depends(authorised)]  # noqa: N806 - a type, though made here
    routes = APIRouter(prefix="/api/v1", tags=["routing"])

    @routes.get("/models")
    async def models(caller: Asker) -> list[ModelEntry]:
        """Return every (provider, model, task) entry of the configuration that the caller may use."""
        return [
            ModelEntry(
                model_id=target.model_id,
                provider_id=target.provider_id,
                task=target.task,
                context_window=target.context_window,
                dimension=target.dimension,
                supports_vision=target.supports_vision,
                supports_audio=target.supports_audio,
            )
            for target in access.targets_for(caller)
        ]

    @routes.get("/tasks")
    async def tasks(_: Asker) -> list[str]:
        """Return the tasks of version 1; `POST /route` takes all."""
        return [task.value for task in CLASSIC_TASKS]

    @routes.post("/route", response_model_exclude_unset=True)
    async def route(request: RouteRequest, caller: Asker) -> RouteAnswer:
        """Return the target that a request would go to. Nothing is called and nothing is spent."""
        plan, chosen = gateway.route(GatewayRequest("", Operation.ROUTE, request.question, caller))
        answer = RouteAnswer(**_choice(chosen).model_dump(), reason=plan.reason(chosen))
        if request.include_fallbacks:
            answer = RouteAnswer(**answer.model_dump(exclude_unset=True), fallbacks=_others(plan.ordered))
        return answer

    return routes


def _others(ordered: tuple[Candidate, ...]) -> list[FallbackChoice]:
    return [_choice(candidate) for candidate in ordered[1:]]


def _choice(candidate: Candidate) -> FallbackChoice:
    return FallbackChoice(
        provider_id=candidate.target.provider_id,
        model_id=candidate.target.model_id,
        estimated_cost=None if candidate.cost is None else round(dollars(candidate.cost), 6),
        provider_type=candidate.target.provider_type,
    )
