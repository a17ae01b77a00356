"""
The gateway: a request in, an answer out. It knows nothing of HTTP or Ray.

A request is understood (names, permissions), admitted (rate, requests at once), passed through the
middlewares, planned, and executed. Each step is a module of this package.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple, Protocol, cast

from serve_app.clock import Clock
from serve_app.config.routing import OnStreamFailure
from serve_app.config.settings import Settings
from serve_app.control.control_cache import ControlCache
from serve_app.errors import GatewayError, UpstreamError
from serve_app.events import Listener
from serve_app.gateway.attempt import Attempt
from serve_app.gateway.charging import RequestCharges
from serve_app.gateway.executor import Executor
from serve_app.gateway.middleware import Middleware, chain
from serve_app.gateway.middleware_answers import MiddlewareAnswers
from serve_app.gateway.model_access import ModelAccess
from serve_app.gateway.planner import Planner
from serve_app.gateway.rate_permit import RequestPermit, obtain_permit
from serve_app.gateway.recorder import Recorder
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.gateway.request_context import RequestContext
from serve_app.gateway.requirements_reader import RequirementsReader
from serve_app.gateway.response import Response, ResponseStream
from serve_app.gateway.routing_info import routing_info
from serve_app.gateway.streaming.buffered import held
from serve_app.gateway.streaming.passthrough import flowing
from serve_app.gateway.token_counter import TokenCount, TokenCounter
from serve_app.providers.base import Answer, Call, Provider, performed
from serve_app.routing.candidate import Candidate
from serve_app.routing.plan import Plan
from serve_app.routing.requirements import Requirements


class Route(NamedTuple):
    """The route of a request: its plan, and the first candidate of it."""

    plan: Plan
    chosen: Candidate


class Gateway(Protocol):
    """The interface that the API, the handles and the embedded gateway call."""

    async def answer(self, request: GatewayRequest) -> Response:
        """
        Return a whole answer.

        Raises:
            GatewayError: the error to show to the caller.
        """

    async def stream(self, request: GatewayRequest) -> ResponseStream:
        """
        Return a streamed answer. Always close it.

        Raises:
            GatewayError: the error to show to the caller, before anything was streamed.
        """

    def route(self, request: GatewayRequest) -> Route:
        """
        Return where the request would go. Nothing is called and nothing is spent.

        Raises:
            GatewayError: no target may serve it; the message says why.
        """

    async def count_tokens(self, request: GatewayRequest) -> TokenCount:
        """
        Return how many tokens the request's prompt has, where its vendor counts them. Nothing is spent.

        Raises:
            GatewayError: no target may serve it, or its caller is at a rate limit.
        """


class DefaultGateway:
    """The gateway of one configuration, on one event loop."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        control: ControlCache,
        clock: Clock,
        rng: Random,
        listeners: Sequence[Listener] = (),
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        """
        Args:
            settings: the configuration.
            providers: by id, one for each that is configured.
            control: this router's view of the control plane.
            clock: the source of time.
            rng: the source of randomness, for strategies and waits.
            listeners: receive every event, as the log and the metrics do.
            middlewares: wrap every request, the first one outermost.
        """
        self.settings = settings
        self.control = control
        self.access = ModelAccess(settings, control)
        self._reader = RequirementsReader(settings, self.access, control)
        self._planner = Planner(settings, control, self.access, rng)
        self._recorder = Recorder(control, clock, listeners)
        self._executor = Executor(settings, providers, control, self._recorder, clock, rng)
        self._middleware_answers = MiddlewareAnswers(control, clock, self._recorder)
        self._middlewares = tuple(middlewares)
        self._token_counter = TokenCounter(providers)
        self._clock = clock
        self._request_timeout = settings.routing.request_timeout
        self._on_stream_failure = settings.routing.on_stream_failure
        self.tell = self._recorder.tell

    async def answer(self, request: GatewayRequest) -> Response:
        """Return a whole answer; see `Gateway.answer`."""
        whole = request._replace(streams=False) if request.streams else request
        return cast(Response, await self._served(whole))

    async def stream(self, request: GatewayRequest) -> ResponseStream:
        """Return a streamed answer; see `Gateway.stream`."""
        streamed = request if request.streams else request._replace(streams=True)
        return cast(ResponseStream, await self._served(streamed))

    def route(self, request: GatewayRequest) -> Route:
        """Return where the request would go; see `Gateway.route`."""
        plan = self.plan(request)
        if not plan.ordered:
            raise self._planner.refusal(plan)
        return Route(plan, plan.ordered[0])

    async def count_tokens(self, request: GatewayRequest) -> TokenCount:
        """
        Return the count of a request's tokens; see `Gateway.count_tokens`.

        With middlewares nobody is asked: they may change a prompt before it leaves, and they are not called.
        """
        target = self.route(request).chosen.target
        if self._middlewares or not self._token_counter.can_ask(target, request):
            return TokenCount(target, None)
        timeout_s = self._timeout_s(request)
        permit = await obtain_permit(self.control, self.control.limits_for(request.caller), timeout_s)
        try:
            return TokenCount(target, await self._token_counter.ask(target, request, timeout_s))
        finally:
            permit.close()

    def plan(self, request: GatewayRequest) -> Plan:
        """Return the targets that may serve the request, best first, and why the others may not."""
        return self._planner.plan(self._reader.read(request), request.caller)

    async def _served(self, request: GatewayRequest) -> Response | ResponseStream:
        started = self._clock.monotonic()
        requirements = self._understood(request)
        permit = await self._admitted(request, requirements, started)
        if not self._middlewares:
            return await self._executed(request, requirements, permit, started)
        return await self._through_middlewares(request, requirements, permit, started)

    def _understood(self, request: GatewayRequest) -> Requirements:
        """Return the requirements of a request; record one that names an unknown model as refused."""
        try:
            return self._reader.read(request)
        except GatewayError as error:
            self._recorder.not_admitted(request, "unknown", error, 0.0)
            raise

    async def _admitted(
        self, request: GatewayRequest, requirements: Requirements, started: float
    ) -> RequestPermit:
        """Count the request against its caller's rate and concurrency limits."""
        limits = self.control.limits_for(request.caller)
        try:
            return await obtain_permit(self.control, limits, self._timeout_s(request))
        except GatewayError as error:
            waited_s = self._clock.monotonic() - started
            self._recorder.not_admitted(request, requirements.task, error, waited_s)
            raise
        except BaseException:  # cancelled: the caller has gone
            self._recorder.left_unadmitted(request, requirements.task, self._clock.monotonic() - started)
            raise

    async def _executed(
        self, request: GatewayRequest, requirements: Requirements, permit: RequestPermit, started: float
    ) -> Response | ResponseStream:
        """Plan the request and ask its targets."""
        try:
            context = self._context(request, requirements, permit, started)
        except BaseException:  # a strategy may be a plugin
            permit.withdraw()
            raise
        if not context.plan.ordered:
            error = self._empty(context.plan)
            self._recorder.refused(context, error)
            raise error
        if not request.streams:
            return await self._whole(context)
        policy = request.on_stream_failure or self._on_stream_failure
        if policy is OnStreamFailure.HOLD:
            return await held(self._executor, context, self._clock)
        resumes = policy is OnStreamFailure.RESUME and not request.operation.gives_bytes
        return await flowing(self._executor, context, resumes)

    async def _whole(self, context: RequestContext) -> Response:
        ask = _CALLS.get(context.request.operation, _perform)
        with self._recorder.until_begun(context):
            attempt, answer = await self._executor.answer(context, ask)
        attempt.dropped = answer.dropped
        usage = self._recorder.estimator.of_answer(
            context, attempt, answer.usage, answer.output_chars, answer.machine_ms
        )
        cost = self._recorder.served(context, attempt, usage, answer.upstream_s)
        return Response(answer.body, routing_info(context, attempt, cost), answer.content_type)

    async def _through_middlewares(
        self, request: GatewayRequest, requirements: Requirements, permit: RequestPermit, started: float
    ) -> Response | ResponseStream:
        """Pass the request through the middlewares; one permit covers all of their calls."""

        recorded: list[GatewayError] = []

        async def last(passed_on: GatewayRequest) -> Response | ResponseStream:
            is_same = passed_on.content is request.content and passed_on.caller is request.caller
            try:
                needs = requirements if is_same else self._understood(passed_on)
                return await self._executed(passed_on, needs, RequestPermit(self.control, None), started)
            except GatewayError as error:
                recorded.append(error)
                raise

        answered = self._middleware_answers.guarded(
            request, requirements.task, permit, started, chain(self._middlewares, last), recorded
        )
        return await answered

    def _context(
        self, request: GatewayRequest, requirements: Requirements, permit: RequestPermit, started: float
    ) -> RequestContext:
        plan = self._planner.plan(requirements, request.caller)
        charges = RequestCharges(request, requirements, self.control, self._clock)
        timeout_s = self._timeout_s(request)
        return RequestContext(request, plan, charges, permit, self._clock, started, timeout_s)

    def _empty(self, plan: Plan) -> GatewayError:
        """Return the error for a plan without candidates."""
        budget_refusal = None if plan.requirements.named else plan.budget_refusal
        return budget_refusal or self._planner.refusal(plan)

    def _timeout_s(self, request: GatewayRequest) -> float:
        """Return the caller's timeout, at most the configured one."""
        return min(request.timeout_s or self._request_timeout, self._request_timeout)


async def _chat(provider: Provider, call: Call, attempt: Attempt) -> Answer | UpstreamError:
    return await provider.chat(call)


async def _embed(provider: Provider, call: Call, attempt: Attempt) -> Answer | UpstreamError:
    return await provider.embed(call)


async def _perform(provider: Provider, call: Call, attempt: Attempt) -> Answer | UpstreamError:
    return await performed(provider, call)


# The calls of operations that every provider has.
_CALLS = {Operation.CHAT: _chat, Operation.COMPLETIONS: _chat, Operation.EMBEDDINGS: _embed}
