"""A provider in a process of its own: its key, its connections, its failures stay there."""

import logging
import os
from collections.abc import AsyncGenerator

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.deployments.gc_tuning import tune_gc
from serve_app.errors import UpstreamError, internal_error
from serve_app.observability.logs import configure_logs
from serve_app.providers.address_policy import EndpointPolicy
from serve_app.providers.base import Answer, Call, Health, StreamItem
from serve_app.providers.factory import build_provider

log = logging.getLogger("sekha.provider")


class ProviderDeployment:
    """
    A place for a provider to run.

    The key is looked up here, in this replica's environment, and nowhere else. Failures go home as values:
    a raised one would come wrapped in a remote traceback, or not at all, where it does not survive pickling.
    That holds for exceptions of our own code too: their tracebacks stay in this replica's log.
    """

    def __init__(self, config: ProviderConfig, log_level: str, endpoint_policy: EndpointPolicy) -> None:
        configure_logs(log_level)
        tune_gc()
        self._id = config.id
        self._provider = build_provider(config, os.environ, SystemClock(), endpoint_policy)

    async def chat(self, call: Call) -> Answer | UpstreamError:
        try:
            return await self._provider.chat(call)
        except Exception:  # noqa: BLE001 - see _ours
            return self._ours(call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        stream = self._provider.chat_stream(call)
        try:
            async for item in stream:
                yield item
        except Exception:  # noqa: BLE001 - see _ours
            yield self._ours(call)
        finally:
            await stream.aclose()

    async def embed(self, call: Call) -> Answer | UpstreamError:
        try:
            return await self._provider.embed(call)
        except Exception:  # noqa: BLE001 - see _ours
            return self._ours(call)

    async def health(self) -> Health:
        return await self._provider.health()

    def _ours(self, call: Call) -> UpstreamError:
        """Log the exception that is being handled, and return what the router hears of it."""
        log.exception("request %s: internal error at provider '%s'", call.request_id, self._id)
        return internal_error(self._id, call.request_id)

    async def __del__(self) -> None:
        """Serve awaits this when it retires a replica, also one whose start has failed."""
        if hasattr(self, "_provider"):
            await self._provider.aclose()
