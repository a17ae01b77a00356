"""Providers on local machines that are paid by the hour, with the machine time of each request."""

from collections.abc import AsyncGenerator, Awaitable
from dataclasses import replace
from math import ceil

from serve_app.clock import Clock
from serve_app.errors import UpstreamError
from serve_app.pricing.occupancy import Occupancy
from serve_app.providers.base import Answer, Call, Health, Provider, StreamEnd, StreamItem, performed


class MeteredProvider:
    """
    Adds to every answer its share of the machine's time.

    A request shares the machine from when it is sent until its answer is whole or its caller has gone. A
    failed or abandoned request reports no time, but reduces the share of the others. Only this process's
    requests are counted. `occupancy` is shared by several providers on one machine.
    """

    def __init__(self, provider: Provider, clock: Clock, occupancy: Occupancy | None = None) -> None:
        self._provider = provider
        self._clock = clock
        self._occupancy = Occupancy() if occupancy is None else occupancy

    async def chat(self, call: Call) -> Answer | UpstreamError:
        return await self._measured(call, self._provider.chat(call))

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self._measured(call, self._provider.embed(call))

    async def perform(self, call: Call) -> Answer | UpstreamError:
        return await self._measured(call, performed(self._provider, call))

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        ticket = self._arrive()
        stream = self._provider.chat_stream(call)
        try:
            async for item in stream:
                if isinstance(item, StreamEnd):
                    yield replace(item, machine_ms=self._leave(ticket))
                else:
                    yield item
        finally:
            self._leave(ticket)
            await stream.aclose()

    async def health(self) -> Health:
        return await self._provider.health()

    async def aclose(self) -> None:
        await self._provider.aclose()

    async def _measured(
        self, call: Call, answering: Awaitable[Answer | UpstreamError]
    ) -> Answer | UpstreamError:
        """Await a whole answer and add its machine time, at most its timeout: that much was reserved."""
        ticket = self._arrive()
        try:
            answer = await answering
            if isinstance(answer, UpstreamError):
                return answer
            return answer._replace(machine_ms=min(self._leave(ticket), ceil(1000 * call.timeout_s)))
        finally:
            self._leave(ticket)

    def _arrive(self) -> int:
        return self._occupancy.arrive(self._clock.monotonic())

    def _leave(self, ticket: int) -> int:
        return self._occupancy.leave(ticket, self._clock.monotonic())
