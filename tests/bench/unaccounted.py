"""
The gateway with and without its accounts, to be compared: `python -m tests.bench.unaccounted serve …`.

Who shows a key is served as everywhere. For who shows none it is as if nobody had thought of keys, limits or
a ledger: nothing is looked up, set aside, written down or told; a cost is worked out all the same, because
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
from serve_app.control.cache import ControlCache
from serve_app.gateway.charging import AttemptCharge, RequestCharges
from serve_app.ledger.entry import EntryOutcome
from serve_app.limits.client import Reservation
from serve_app.pricing.usage import Usage
from serve_app.routing.requirements import Requirements
from serve_app.routing.target import Target


class NoBill(RequestCharges):
    """A bill that nobody writes."""

    async def open(self, within_s: float) -> None:
        return

    async def reserve(self, target: Target, within_s: float) -> Reservation | None:
        return None

    def item(self, target: Target, attempt: int, hold: Reservation | None) -> AttemptCharge:
        return AttemptCharge(target, attempt, hold, 0)

    def settle(
        self,
        item: AttemptCharge,
        usage: Usage | None,
        outcome: EntryOutcome,
        latency_s: float,
        first_token_s: float | None = None,
    ) -> int | None:
        return 0 if usage is None else self._cost(item.target, usage)


def bill_of(
    request_id: str, operation: str, wanted: Requirements, caller: Caller, control: ControlCache, clock: Clock
) -> RequestCharges:
    """Nobody's for who showed no key."""
    # Ray copies ANYONE into the router with both of us, and so it is the one that OpenKeyring lets in.
    kind = NoBill if caller is ANYONE else RequestCharges
    return kind(request_id, operation, wanted, caller, control, clock)


class OpenKeyring(Keyring):
    """Lets in who shows no key."""

    async def caller(self, scope: Scope) -> Caller:
        return ANYONE if header(scope, b"authorization") is None else await super().caller(scope)


def main() -> None:
    os.environ.update({name: os.environ.get(name, value) for name, value in PRODUCTION.items()})
    graph: Any = import_module("serve_app.app")  # Serve reads the environment when it is imported

    class Router(graph.RouterDeployment):  # type: ignore[misc]  # Serve's decorators know no types
        async def __init__(self, settings: Settings, handles: Mapping[str, Any]) -> None:  # type: ignore[misc]
            trip: Any = import_module("serve_app.gateway.request_context")
            router: Any = import_module("serve_app.deployments.router")
            trip.RequestCharges, router.Keyring = bill_of, OpenKeyring
            await super().__init__(settings, handles)

    graph.RouterDeployment = Router
    app()


if __name__ == "__main__":
    main()
