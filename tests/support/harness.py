"""A whole gateway in the test's own process: real parts, scripted providers, no Ray."""

from collections.abc import AsyncIterator, Sequence
from random import Random

from serve_app.caller import ANYONE, Caller
from serve_app.clock import Clock
from serve_app.config.routing import OnStreamFailure
from serve_app.config.settings import Settings
from serve_app.control.control_cache import ControlCache
from serve_app.control.control_plane import ControlPlane
from serve_app.control.local_control_plane import LocalControlPlane
from serve_app.deployments.wiring import wire
from serve_app.errors import UpstreamError
from serve_app.events import Event
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.openai_embeddings import OPENAI_EMBEDDINGS
from serve_app.formats.task_request import TaskRequest
from serve_app.gateway.middleware import Middleware
from serve_app.gateway.planner import Planner
from serve_app.gateway.request import Content, GatewayRequest, Operation
from serve_app.gateway.requirements_reader import RequirementsReader
from serve_app.gateway.response import Response, ResponseStream
from serve_app.ledger.store import Store
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamItem
from serve_app.routing.plan import Plan
from serve_app.routing.requirements import Requirements


class ListedProvider:
    """A provider that gives the answers of a list, one a call; the last one again and again."""

    def __init__(self, *answers: Answer | UpstreamError | Sequence[StreamItem] | BaseException) -> None:
        self._answers = list(answers)
        self.calls: list[Call] = []
        self.closed_streams = 0

    def answers_with(self, *answers: Answer | UpstreamError | Sequence[StreamItem] | BaseException) -> None:
        """From now on it gives these instead."""
        self._answers = list(answers)

    async def chat(self, call: Call) -> Answer | UpstreamError:
        answer = self._next(call)
        assert isinstance(answer, Answer | UpstreamError)
        return answer

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self.chat(call)

    async def perform(self, call: Call) -> Answer | UpstreamError:
        return await self.chat(call)

    async def chat_stream(self, call: Call) -> AsyncIterator[StreamItem]:
        items = self._next(call)
        try:
            for item in [items] if isinstance(items, UpstreamError) else items:
                yield item
        finally:
            self.closed_streams += 1

    async def health(self) -> Health:
        return Health(HealthStatus.HEALTHY, 0.0, None, (), 0.0)

    async def aclose(self) -> None:
        """Nothing to close."""

    def _next(self, call: Call) -> Answer | UpstreamError | Sequence[StreamItem]:
        self.calls.append(call)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException) and not isinstance(answer, UpstreamError):
            raise answer
        return answer


class Harness:
    """A gateway with what surrounds it: the control plane, one router, and what listeners heard."""

    def __init__(
        self,
        settings: Settings,
        providers: dict[str, ListedProvider],
        clock: Clock,
        store: Store | None = None,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        self.plane = ControlPlane("generation-1", prices_of)
        self.authority = LocalControlPlane(self.plane, clock, store)
        self.control = ControlCache("router-1", settings, self.authority, clock, prices_of(settings))
        self.clock = clock
        self.providers = providers
        self.events: list[Event] = []
        self.running = wire(
            settings, providers, self.control, clock, Random(7), [self.events.append], middlewares
        )
        self.gateway = self.running.gateway
        self.access = self.running.access
        self.health_monitor = self.running.health_monitor
        self.planner = Planner(settings, self.control, self.access, Random(7))
        self._reader = RequirementsReader(settings, self.access, self.control)

    async def open(self) -> "Harness":
        """Register, so that prices and breakers are known; no background task runs."""
        await self.control.introduce()
        return self

    async def chat(
        self, content: ChatRequest, id_: str = "r", timeout_s: float | None = None, caller: Caller = ANYONE
    ) -> Response:
        """A whole chat completion."""
        return await self.gateway.answer(GatewayRequest(id_, Operation.CHAT, content, caller, timeout_s))

    async def embed(
        self,
        content: TaskRequest,
        id_: str = "r",
        timeout_s: float | None = None,
        caller: Caller = ANYONE,
    ) -> Response:
        """Vectors."""
        request = GatewayRequest(
            id_, Operation.EMBEDDINGS, content, caller, timeout_s, format=OPENAI_EMBEDDINGS
        )
        return await self.gateway.answer(request)

    async def chat_stream(
        self,
        content: ChatRequest,
        id_: str = "r",
        timeout_s: float | None = None,
        on_failure: OnStreamFailure | None = None,
        caller: Caller = ANYONE,
    ) -> ResponseStream:
        """A chat completion in pieces."""
        request = GatewayRequest(id_, Operation.CHAT, content, caller, timeout_s, on_failure, streams=True)
        return await self.gateway.stream(request)

    def requirements(self, content: Content, caller: Caller = ANYONE) -> Requirements:
        """What a request asks of a target."""
        return self._reader.read(GatewayRequest("r", Operation.CHAT, content, caller))

    def plan(self, requirements: Requirements, caller: Caller = ANYONE) -> Plan:
        """Who may serve it."""
        return self.planner.plan(self.access.permitted(requirements, caller), caller)

    def route(self, requirements: Requirements, caller: Caller = ANYONE) -> Plan:
        """The same; raises the refusal that a caller hears where nobody may."""
        plan = self.plan(requirements, caller)
        if not plan.ordered:
            raise self.planner.refusal(plan)
        return plan
