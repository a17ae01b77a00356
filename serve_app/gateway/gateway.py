"""
The story of a request: what it asks for, who may serve it, and the answer.

Nobody here knows about HTTP or Ray. What is decided is decided by `routing` and `resilience`; what routers
must agree on is read from the control replica, and told to it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from serve_app.caller import ANYONE, Caller
from serve_app.clock import Clock
from serve_app.config.data_policy import DataPolicy
from serve_app.config.model import ModelTask
from serve_app.config.routing import OnStreamFailure, StrategyName
from serve_app.config.settings import Settings
from serve_app.control.backend import OFFERED, Backend, local_at, moved_to, switched_by
from serve_app.control.cache import ControlCache
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.errors import GatewayError, InvalidRequest, ModelNotAllowed, ModelNotFound
from serve_app.events import Event, Listener, RequestFailed
from serve_app.formats.openai_chat.request import ChatRequest
from serve_app.formats.openai_embeddings import EmbeddingRequest
from serve_app.formats.routing_api import RouteRequest
from serve_app.formats.routing_fields import Wishes
from serve_app.gateway.budget_filter import BudgetFilter
from serve_app.gateway.executor import Ask, Executor
from serve_app.gateway.request_context import RequestContext
from serve_app.gateway.response import ResponseStream
from serve_app.gateway.routing_info import RoutingInfo
from serve_app.gateway.streaming.buffered import held
from serve_app.gateway.streaming.passthrough import flowing
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.prompt import Prompt
from serve_app.providers.base import Answer, Provider
from serve_app.routing.candidate import Candidate
from serve_app.routing.eligibility import is_allowed, serves_task
from serve_app.routing.intent import TIERS, Intent, ModelNames
from serve_app.routing.plan import Plan, make_plan
from serve_app.routing.requirements import Extent, Requirements
from serve_app.routing.strategy import load_strategy
from serve_app.routing.target import Target, defaults_by_task, overridden, targets_of
from serve_app.routing.target_stats import TargetStats


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer, as bytes in OpenAI's words."""

    body: bytes
    routed: RoutingInfo


class Gateway:
    """
    What stands behind chat, streams, embeddings, `/route` and calls through handles.

    `wakers`, by provider id, let a machine start where none is; they return at once.
    """

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        control: ControlCache,
        clock: Clock,
        rng: Random,
        listeners: Sequence[Listener] = (),
        wakers: Mapping[str, Callable[[], None]] | None = None,
    ) -> None:
        self.settings = settings
        self.control = control
        self._configured = targets_of(settings)
        self.names = ModelNames(self._configured)
        self._providers = providers
        self._defaults = defaults_by_task(settings.default_models)
        self._strategy = load_strategy(settings.routing.strategy)
        self._cheapest = load_strategy(StrategyName.CHEAPEST)
        self._conditions = TargetStats(
            control.price, control.breakers.is_open, control.latency_s, control.is_ready
        )
        self._clock = clock
        self._rng = rng
        self._executor = Executor(settings, providers, control, clock, rng, wakers)
        self._listeners = listeners
        limit = settings.routing.max_cost_per_request
        self._max_cost = None if limit is None else nano_dollars(limit)
        self._local_only = settings.routing.data_policy is DataPolicy.LOCAL
        self.targets = self._configured
        control.on_runtime_config(self._take)

    def _take(self, runtime_config: RuntimeConfig) -> None:
        """From now on targets are as operators want them; requests that are under way keep their plan."""
        at_home = local_at(self._configured, self.settings, runtime_config.backend)
        self.targets = overridden(at_home, runtime_config.providers)

    def moved(self, provider_id: str) -> str | None:
        """Return where calls to this provider go instead of where it is configured; None: there."""
        return moved_to(self.settings, self.control.runtime_config.backend, provider_id)

    # --- deciding -------------------------------------------------------------------------------------

    def plan(self, wanted: Requirements, caller: Caller = ANYONE) -> Plan:
        """Who may serve this, best first, and why the others may not."""
        wanted = self.allowed(wanted, caller)
        control, budget_filter, strategy = self.control, None, self._strategy
        if budgets := control.limits_for(caller).budgets:
            budget_filter = BudgetFilter(
                caller, control.reservations.left(budgets), control.price, control.reservations.foreseen
            )
            below = self.settings.routing.cheaper_below_percent
            if below is not None and budget_filter.is_low(below):
                strategy = self._cheapest
        return make_plan(
            wanted, self.targets, self._conditions, strategy, self._rng, self._defaults, budget_filter
        )

    def route(self, wanted: Requirements, caller: Caller = ANYONE) -> tuple[Plan, Candidate]:
        """The plan and its first choice; raises the refusal that a caller should hear."""
        plan = self.plan(wanted, caller)
        if not plan.ordered:
            raise self._executor.refusal(plan)
        return plan, plan.ordered[0]

    def targets_for(self, caller: Caller) -> tuple[Target, ...]:
        """The targets that a caller may use at all."""
        if caller.models is None and caller.tasks is None:
            return self.targets
        questions = [
            Requirements(task, allowed_models=caller.models, allowed_tasks=caller.tasks) for task in ModelTask
        ]
        return tuple(
            target
            for target in self.targets
            if any(serves_task(target, ask.task) and is_allowed(target, ask) for ask in questions)
        )

    def names_for(self, caller: Caller, names: Sequence[str] | None = None) -> list[str]:
        """These names, or all of them, without the models that are not for this caller."""
        mine = {target.model_id for target in self.targets_for(caller)}
        others = {target.model_id for target in self.targets} - mine
        return [name for name in (self.names.known if names is None else names) if name not in others]

    def allowed(self, wanted: Requirements, caller: Caller) -> Requirements:
        """The question, within what the caller may use; ModelNotAllowed when it names something else."""
        if caller.local_only or self._local_only:
            wanted = wanted._replace(local_only=True)
        if caller.models is None and caller.tasks is None:
            return wanted
        wanted = wanted._replace(allowed_models=caller.models, allowed_tasks=caller.tasks)
        names = (*wanted.named, wanted.preferred_model) if wanted.preferred_model else wanted.named
        for name in names:
            called = [target for target in self.targets if name in (target.model_id, target.name)]
            if called and not any(is_allowed(target, wanted) for target in called):
                raise ModelNotAllowed(name, dict.fromkeys(t.model_id for t in self.targets_for(caller)))
        return wanted

    def limit(self, max_cost: int | None) -> int | None:
        """The stricter of the caller's limit and the configured one, in nano-dollars."""
        if max_cost is None or self._max_cost is None:
            return self._max_cost if max_cost is None else max_cost
        return min(max_cost, self._max_cost)

    def chat_requirements(self, request: ChatRequest, caller: Caller = ANYONE) -> Requirements:
        """What a chat request asks for; ModelNotFound when it names what is not there."""
        intent, backend = self._intent(request.model)
        listed = self._listed(request.wishes, self.names.chat)
        if listed and self.names.leaves_the_choice(request.model):
            intent = listed[0]
        shows_images = self._shows_images(request)
        task = ModelTask.VISION if shows_images else intent.task
        wanted = Requirements(
            task=task,
            preferred_model=request.preferred_model or intent.preferred_model,
            require_vision=request.require_vision or shows_images,
            require_audio=request.require_audio,
            max_cost=self.limit(request.max_cost),
            context_size=request.context_size,
            images=request.images,
            written_images=request.written_images if shows_images else 0,
            image_links=request.image_links,
            input_tokens=request.input_tokens,
            output_tokens=request.output_tokens,
            output_limit=request.output_limit,
            answers=request.answers,
            service_tier=request.service_tier,
            writes_cache=request.writes_cache,
            thinks=request.thinks,
            preferred_type=backend,
            parameters=self._binding(request),
            extent=None if request.prompt is None else _extent(request, request.prompt),
            **self._wished(task, request.wishes, [intent, *listed], caller),
        )
        return self.allowed(wanted, caller)

    def _binding(self, request: ChatRequest | EmbeddingRequest) -> Mapping[str, Any] | None:
        """The parameters that a target has to take; None: whatever it drops is told."""
        binds = self.settings.routing.require_parameters or request.wishes.require_parameters
        return request.parameters if binds else None

    def _listed(self, wishes: Wishes, meaning: Callable[[str], Intent]) -> list[Intent]:
        """What the names in `models` mean; ModelNotFound, and InvalidRequest for what is no model."""
        for name in wishes.models:
            if self.names.stands_for_many(name):
                message = f"'{name}' is not a model: 'models' takes model ids and provider/model"
                raise InvalidRequest(message, param="models")
        return [meaning(name) for name in wishes.models]

    def _wished(
        self, task: ModelTask, wishes: Wishes, intents: Sequence[Intent], caller: Caller
    ) -> dict[str, Any]:
        """
        The caller's own rules, as fields of `Requirements`; InvalidRequest for a provider that is not there.
        """
        named = tuple(dict.fromkeys(intent.named for intent in intents if intent.named is not None))
        falls_back = self.settings.routing.auto_fallback and wishes.allow_fallbacks
        is_fixed = bool(wishes.models) or not falls_back or task is ModelTask.EMBEDDING
        only = None if wishes.only is None else self._providers_called(wishes.only, caller)
        order = self._providers_called(wishes.order, caller)
        if order and not wishes.allow_fallbacks:  # these, and nobody else
            only = order if only is None else only & order
        return {
            "named": named,
            "only_named": bool(named) and is_fixed,
            "falls_back": falls_back,
            "only_providers": only,
            "ignored_providers": self._providers_called(wishes.ignore, caller),
            "provider_order": wishes.order,
            "local_only": wishes.local_only,
        }

    def _providers_called(self, names: Sequence[str], caller: Caller) -> frozenset[str]:
        """The ids of these providers, by id or type; InvalidRequest for one that the caller does not have."""
        if not names:
            return frozenset()
        mine = {target.provider_id: target.provider_type for target in self.targets_for(caller)}
        if unknown := [name for name in names if name not in mine and name not in mine.values()]:
            there = ", ".join(mine)
            message = f"There is no provider '{unknown[0]}' for you. There are: {there}"
            raise InvalidRequest(message, param="provider", code="provider_not_found")
        return frozenset(id_ for id_, type_ in mine.items() if id_ in names or type_ in names)

    def _shows_images(self, request: ChatRequest) -> bool:
        """
        Tell whether the request is one for a model that sees.

        A link in plain text can be read by any model, so it decides only where none is named and there is one
        that sees.
        """
        if not self.settings.routing.require_vision_for_images:
            return False
        if request.images or not request.written_images:
            return request.images > 0
        if request.preferred_model is not None or request.wishes.models:
            return False
        return any(target.supports_vision for target in self.targets)

    def _intent(self, name: str | None) -> tuple[Intent, Backend | None]:
        """What a name means, and the backend that operators have switched to where that has a say."""
        backend = switched_by(self.control.runtime_config.backend)
        if backend is None and name is not None and (own := self.names.own_type(name)):
            at_home = self.names.tier_at(name, own)
            return replace(at_home, preferred_model=TIERS[name].model_id), Backend(own)
        if backend is None or not self.names.leaves_the_choice(name):
            return self.names.chat(name), None
        offered = [tier.name for tier in OFFERED[backend]]
        if name in offered:
            return self.names.chat(name), backend
        if backend is Backend.ANTHROPIC and name not in TIERS:
            return self.names.chat(name), backend  # nothing is named: the default model for the work
        return self.names.tier_at(offered[0], backend), backend

    def embedding_requirements(self, request: EmbeddingRequest, caller: Caller = ANYONE) -> Requirements:
        """What an embeddings request asks for. A named model is never swapped for another (contract 3.2)."""
        intent = self.names.embedding(request.model)
        listed = self._listed(request.wishes, self.names.embedding)
        wanted = Requirements(
            task=ModelTask.EMBEDDING,
            preferred_model=request.preferred_model,
            max_cost=self.limit(request.max_cost),
            input_tokens=request.input_tokens,
            parameters=self._binding(request),
            extent=None if request.prompt is None else Extent(*request.prompt),
            **self._wished(ModelTask.EMBEDDING, request.wishes, [intent, *listed], caller),
        )
        return self.allowed(wanted, caller)

    def route_requirements(
        self, task: ModelTask, request: RouteRequest, caller: Caller = ANYONE
    ) -> Requirements:
        """What a question to the router asks for; ModelNotFound when it names what is not there."""
        meaning = self.names.embedding if task is ModelTask.EMBEDDING else self.names.chat
        with self._seen_by(caller):
            intents = [meaning(request.model)] if request.model else []
            intents += self._listed(request.wishes, meaning)
        wanted = Requirements(
            task=task,
            preferred_model=request.preferred_model,
            require_vision=request.require_vision,
            require_audio=request.require_audio,
            max_cost=self.limit(None if request.max_cost is None else nano_dollars(request.max_cost)),
            context_size=request.context_size,
            **self._wished(task, request.wishes, intents, caller),
        )
        return self.allowed(wanted, caller)

    def tell(self, event: Event) -> None:
        """Let the listeners know of something that happened around the gateway."""
        for listener in self._listeners:
            listener(event)

    # --- serving --------------------------------------------------------------------------------------

    async def chat(
        self,
        request: ChatRequest,
        request_id: str,
        timeout_s: float | None = None,
        caller: Caller = ANYONE,
    ) -> Response:
        """A whole chat completion; raises GatewayError with what the caller should hear."""
        with self._understanding(request_id, "chat", caller):
            wanted = self.chat_requirements(request, caller)
        context = self._context("chat", wanted, request.raw, request_id, timeout_s, caller)
        return await self._whole_answer(context, lambda provider, call, _: provider.chat(call))

    async def embed(
        self,
        request: EmbeddingRequest,
        request_id: str,
        timeout_s: float | None = None,
        caller: Caller = ANYONE,
    ) -> Response:
        """Vectors; raises GatewayError likewise."""
        with self._understanding(request_id, "embeddings", caller):
            wanted = self.embedding_requirements(request, caller)
        context = self._context("embeddings", wanted, request.raw, request_id, timeout_s, caller)
        return await self._whole_answer(context, lambda provider, call, _: provider.embed(call))

    async def chat_stream(
        self,
        request: ChatRequest,
        request_id: str,
        timeout_s: float | None = None,
        on_failure: OnStreamFailure | None = None,
        caller: Caller = ANYONE,
    ) -> ResponseStream:
        """
        A chat completion in pieces; raises GatewayError likewise.

        `on_failure` is what shall happen when the answer breaks off; None: what is configured.
        """
        with self._understanding(request_id, "chat", caller):
            wanted = self.chat_requirements(request, caller)
        context = self._context(
            "chat", wanted, request.raw, request_id, timeout_s, caller, True, request.wants_usage
        )
        policy = on_failure or self.settings.routing.on_stream_failure
        if policy is OnStreamFailure.HOLD:
            return await held(self._executor, context, self._clock)
        return await flowing(self._executor, context, resumes=policy is OnStreamFailure.RESUME)

    async def _whole_answer(self, context: RequestContext, ask: Ask[Answer]) -> Response:
        with context.under_way():
            attempt, answer = await self._executor.answer(context, ask)
        attempt.dropped = answer.dropped
        usage = context.used(attempt, answer.usage, answer.output_chars, answer.machine_ms)
        cost = context.served(attempt, usage, answer.upstream_s)
        return Response(answer.body, context.routed(attempt, cost))

    @contextmanager
    def _understanding(self, request_id: str, operation: str, caller: Caller) -> Iterator[None]:
        """A request that names what is not there ends before its trip begins, and is counted all the same."""
        try:
            with self._seen_by(caller):
                yield
        except GatewayError as error:
            self.tell(RequestFailed(request_id, operation, "unknown", error.code, error.status, 0, 0.0))
            raise

    @contextmanager
    def _seen_by(self, caller: Caller) -> Iterator[None]:
        """Who names what is not there hears of no model that is not for this caller."""
        try:
            yield
        except ModelNotFound as error:
            known = self.names_for(caller, error.known)
            is_mine = any(error.name in (t.model_id, t.name) for t in self.targets_for(caller))
            raise ModelNotFound(error.name, known, error.serves if is_mine else ()) from None

    def _context(
        self,
        operation: str,
        wanted: Requirements,
        raw: bytes,
        request_id: str,
        timeout_s: float | None,
        caller: Caller = ANYONE,
        streams: bool = False,
        wants_usage: bool = False,
    ) -> RequestContext:
        limit = self.settings.routing.request_timeout
        return RequestContext(
            request_id=request_id,
            operation=operation,
            plan=self.plan(wanted, caller),
            raw=raw,
            timeout_s=min(timeout_s or limit, limit),
            control=self.control,
            clock=self._clock,
            listeners=self._listeners,
            streams=streams,
            wants_usage=wants_usage,
            caller=caller,
        )


def _extent(request: ChatRequest, prompt: Prompt) -> Extent:
    return Extent(
        *prompt,
        thinking=request.thinking,
        searches=request.tools.searches,
        fetched=request.tools.fetched,
        unbounded_tool=request.tools.unbounded,
        lacks_uses=request.tools.lacks_uses,
        speaks=request.speaks,
    )
