"""The discovery of a running gateway in the Ray cluster of this process."""

import asyncio
import sys

from serve_app.clients.protocol import GatewayPort
from serve_app.errors import GatewayUnavailable


async def running_gateway_client(app_name: str) -> GatewayPort | None:
    """
    Return a client of the Serve application of that name; None: Ray is not connected, or has no such
    application.

    Joins and starts nothing: to join a cluster, call `ray.init()` before. Runs in a thread, so that the
    search does not block the event loop.
    """
    # A process that has not imported Ray is not connected; importing it would take seconds.
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    from serve_app.clients.gateway import GatewayClient, running_gateway

    try:
        handle = await asyncio.to_thread(running_gateway, app_name)
    except GatewayUnavailable:
        return None
    return GatewayClient(app_name, handle=handle)
