"""
The gateway with and without its accounts, to be compared: `python -m tests.bench.unaccounted serve …`.

Who shows a key is served as everywhere. For who shows none it is as if nobody had thought of keys, limits or
a ledger: nothing is looked up, reserved, written down or told; a cost is worked out all the same, because
callers are told it. Both in one process, for two processes of the same code differ by more than is sought.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from serve_app.api.asgi import Scope, header
from serve_app.api.auth import Keyring
from serve_app.caller import ANYONE, Caller
from serve_app.cli.main import app
from serve_app.cli.production import PRODUCTION
from serve_app.clock import Clock
from serve_app.config.settings import Settings
from serve_app.control.control_cache import ControlCache
from serve_app.gateway.charging import AttemptCharge, RequestCharges
from serve_app.gateway.rate_permit import RequestPermit
from serve_app.gateway.request import GatewayRequest
from serve_app.ledger.entry import EntryOutcome
from serve_app.limits.client import Reservation
from serve_app.pricing.usage import Usage
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target


class NoCharges(RequestCharges):
    """Charges that nobody writes down."""

    async def reserve(self, target: Target, within_s: float) -> Reservation | None:
        return None

    def begin(self, target: Target, attempt: int, reservation: Reservation | None) -> AttemptCharge:
        return AttemptCharge(target, attempt, reservation, 0)

    def settle(
        self,
        charge: AttemptCharge,
        usage: Usage | None,
        outcome: EntryOutcome,
        latency_s: float,
        first_token_s: float | None = None,
    ) -> int | None:
        return 0 if usage is None else self._cost(charge.target, usage)


# Ray copies ANYONE into the router with this module's code, and so it is the one that OpenKeyring lets in.
def charges_of(
    request: GatewayRequest, requirements: Requirements, control: ControlCache, clock: Clock
) -> RequestCharges:
    """None for a caller that showed no key."""
    kind = NoCharges if request.caller is ANYONE else RequestCharges
    return kind(request, requirements, control, clock)


class OpenKeyring(Keyring):
    """Lets in who shows no key."""

    async def caller(self, scope: Scope) -> Caller:
        return ANYONE if header(scope, b"authorization") is None else await super().caller(scope)


def _admitted_unless_anyone(admitted: Any) -> Any:
    async def admit(self: Any, request: GatewayRequest, *more: Any) -> RequestPermit:
        """Without a key no limit is looked at."""
        if request.caller is ANYONE:
            return RequestPermit(self.control, None)
        permit: RequestPermit = await admitted(self, request, *more)
        return permit

    return admit


def main() -> None:
    os.environ.update({name: os.environ.get(name, value) for name, value in PRODUCTION.items()})
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray reads it when imported
    graph: Any = import_module("serve_app.app")  # Serve reads the environment when it is imported

    class Router(graph.RouterDeployment):  # type: ignore[misc]  # Serve's decorators know no types
        async def __init__(self, settings: Settings, handles: Mapping[str, Any]) -> None:  # type: ignore[misc]
            gateway: Any = import_module("serve_app.gateway.gateway")
            router: Any = import_module("serve_app.deployments.router")
            gateway.RequestCharges, router.Keyring = charges_of, OpenKeyring
            gateway.DefaultGateway._admitted = _admitted_unless_anyone(gateway.DefaultGateway._admitted)
            await super().__init__(settings, handles)

    graph.RouterDeployment = Router
    app()


if __name__ == "__main__":
    main()
