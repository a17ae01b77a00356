"""A running gateway where this process is part of its Ray cluster."""

import asyncio
import sys

from serve_app.clients.protocol import GatewayPort
from serve_app.errors import GatewayUnavailable


async def running_gateway_client(app_name: str) -> GatewayPort | None:
    """
    A client of the Serve application of that name; None where Ray is not connected or has no such one.

    Joins nothing and starts nothing: who wants to join a cluster calls `ray.init()` before. The look around
    the cluster must not hold up the loop.
    """
    ray = sys.modules.get(
        "ray"
    )  # a process that has not imported Ray is not connected; importing takes seconds
    if ray is None or not ray.is_initialized():
        return None
    from serve_app.clients.gateway import GatewayClient, running_gateway

    try:
        handle = await asyncio.to_thread(running_gateway, app_name)
    except GatewayUnavailable:
        return None
    return GatewayClient(app_name, handle=handle)
