"""A running gateway and the objects around it."""

from dataclasses import dataclass

from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.control.control_cache import ControlCache
from serve_app.events import Listener
from serve_app.gateway.gateway import Gateway
from serve_app.gateway.model_access import ModelAccess
from serve_app.gateway.stored_responses import StoredResponses
from serve_app.providers.health_monitor import EndpointCheck, HealthMonitor


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """
    A running gateway, as the API and the admin API use it.

    Fields:
        gateway: serves requests.
        access: the models, and which callers may use them.
        control: this router's view of the control plane.
        health_monitor: the results of health checks.
        check_endpoint: checks an address of vLLM's API that belongs to no configured provider, without a key.
        tell: sends an event to the log and the metrics.
        stored_responses: the responses that are kept for callers.
    """

    settings: Settings
    gateway: Gateway
    access: ModelAccess
    control: ControlCache
    health_monitor: HealthMonitor
    check_endpoint: EndpointCheck
    clock: Clock
    tell: Listener
    stored_responses: StoredResponses
