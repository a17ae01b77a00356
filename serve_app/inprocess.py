"""
A whole gateway inside somebody's own process: the router's parts, put together without Ray.

Whatever a gateway needs beyond its providers (prices, breakers, metrics, the log) is wired here and, for the
one on Ray, in `deployments/router.py`; nowhere else.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from uuid import uuid4

from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.control.local import LocalControl
from serve_app.control.plane import Plane
from serve_app.control.replica import Replica
from serve_app.events import Listener
from serve_app.gateway import Gateway
from serve_app.lookout import Lookout
from serve_app.observability.logs import log_breaker_change, log_budget_alert, log_event
from serve_app.observability.metrics import MetricsListener
from serve_app.prices import prices_of
from serve_app.providers.base import Provider


@dataclass(frozen=True, slots=True)
class LocalGateway:
    """A gateway that has been started in one event loop, with what surrounds it."""

    gateway: Gateway
    lookout: Lookout
    control: Replica
    providers: Mapping[str, Provider]

    async def stop(self) -> None:
        """Report what is not reported yet and end; the providers stay connected, for whoever is next."""
        await self.lookout.stop()
        await self.control.stop()

    async def aclose(self) -> None:
        """End, and let go of the providers' connections."""
        await self.stop()
        await asyncio.gather(*(provider.aclose() for provider in self.providers.values()))


def local_plane() -> Plane:
    """An authority that forgets with its process; it may outlive one configuration, and one event loop."""
    return Plane(uuid4().hex, prices_of, log_breaker_change, log_budget_alert)


async def local_gateway(
    settings: Settings,
    providers: Mapping[str, Provider],
    clock: Clock,
    rng: Random,
    listeners: Sequence[Listener] = (),
    plane: Plane | None = None,
) -> LocalGateway:
    """
    A running gateway of this configuration; `providers` are by id, all of this process.

    `listeners` hear what metrics and the log hear. The upstreams are looked at when somebody asks for it.
    """
    control = Replica(
        uuid4().hex, settings, LocalControl(plane or local_plane(), clock), clock, prices_of(settings)
    )
    metrics = MetricsListener(lambda: control.tally)
    gateway = Gateway(settings, providers, control, clock, rng, [metrics, log_event, *listeners])
    lookout = Lookout(settings.health, providers, clock, rng, gateway.tell)
    await control.start()
    return LocalGateway(gateway, lookout, control, providers)
