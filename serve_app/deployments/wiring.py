"""
The assembly of a gateway, for the router, for embedded gateways and for tests.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random

from serve_app.clock import Clock
from serve_app.config.middleware import load_middlewares
from serve_app.config.settings import Settings
from serve_app.control.control_cache import ControlCache
from serve_app.events import Listener
from serve_app.gateway.gateway import DefaultGateway
from serve_app.gateway.middleware import Middleware
from serve_app.gateway.running_gateway import RunningGateway
from serve_app.gateway.stored_responses import StoredResponses
from serve_app.observability.logs import log_event
from serve_app.observability.metrics import MetricsListener
from serve_app.providers.base import Provider
from serve_app.providers.health_monitor import HealthMonitor


def wire(
    settings: Settings,
    providers: Mapping[str, Provider],
    control: ControlCache,
    clock: Clock,
    rng: Random,
    listeners: Sequence[Listener] = (),
    middlewares: Sequence[Middleware] = (),
) -> RunningGateway:
    """
    Return the gateway of a configuration, ready for requests.

    Args:
        settings: the configuration.
        providers: by id, one for each that is configured.
        control: this router's view of the control plane; its maker starts and stops it.
        clock: the source of time.
        rng: the source of randomness.
        listeners: receive the events that the metrics and the log receive.
        middlewares: wrap every request, inside those of the configuration.

    Raises:
        ConfigError: a middleware or strategy of the configuration cannot be imported or created.
    """
    # Not above: an import connects nothing.
    from serve_app.providers.address_policy import EndpointPolicy
    from serve_app.providers.endpoint_check import look_at_endpoint

    metrics = MetricsListener(lambda: control.tally)
    everyone: list[Listener] = [metrics, log_event, *listeners]
    around = (*load_middlewares(settings), *middlewares)
    gateway = DefaultGateway(settings, providers, control, clock, rng, everyone, around)
    asleep = {provider.id for provider in settings.llm_providers if provider.may_sleep}
    watched = {id_: provider for id_, provider in providers.items() if id_ not in asleep}
    check = partial(look_at_endpoint, clock=clock, endpoint_policy=EndpointPolicy.of(settings))
    health_monitor = HealthMonitor(
        settings.health, watched, clock, rng, gateway.tell, gateway.access.moved, check
    )
    stored_responses = StoredResponses(settings, control, clock, gateway.tell)
    return RunningGateway(
        settings,
        gateway,
        gateway.access,
        control,
        health_monitor,
        check,
        clock,
        gateway.tell,
        stored_responses,
    )
