"""Limits of every unit, and routers that were lent some of them."""

from serve_app.limits.client import LeaseClient
from serve_app.limits.limit import Limit, Unit, Window
from serve_app.limits.messages import FOR_EVER, Grant, Lease, Want

NOW = 1_000.0
REQUESTS = Limit("gateway/requests", Unit.REQUESTS, Window.MINUTE, 1000)
TOKENS = Limit("gateway/tokens", Unit.TOKENS, Window.MINUTE, 1000)
AT_ONCE = Limit("gateway/concurrent", Unit.CONCURRENT, Window.TOTAL, 1000)
WEALTH = Limit("gateway/wealth", Unit.NANO_DOLLARS, Window.TOTAL, 1000)
EVERY = (WEALTH, REQUESTS, TOKENS, AT_ONCE)
MINUTE = 960.0  # the one of NOW


def window_of(limit: Limit) -> float:
    return MINUTE if limit.window is Window.MINUTE else FOR_EVER


def lent(limit: Limit, amount: int) -> LeaseClient:
    """A router with so much credit, which has asked for no more than that."""
    lease_client = LeaseClient()
    lease_client.ask([(limit, amount)], NOW)
    lease_client.take({limit.id: Grant(amount, 0, window_of(limit))}, {limit.id: Want(amount, amount)}, NOW)
    lease_client.wants()
    return lease_client


def held(lease_client: LeaseClient, limit: Limit, at: float = NOW) -> Lease | None:
    return lease_client.leases(at).get(limit.id)
