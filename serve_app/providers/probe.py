"""A look at an upstream, for health checks: is it there, does it accept our key, what models has it."""

from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import orjson

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import UpstreamError
from serve_app.providers.base import Health
from serve_app.providers.wire_failures import NETWORK, broken, failure_of_exception, failure_of_response

HEALTH_TIMEOUT_S = 5.0

Models = tuple[str, ...]


async def look(
    config: ProviderConfig,
    clock: Clock,
    missing_key: str | None,
    models: Callable[[], Awaitable[Models | UpstreamError]],
) -> Health:
    """What `models` finds, as a verdict; nothing is asked where the answer is known."""
    started = clock.monotonic()
    found: Models = ()
    error = missing_key or (None if config.models else "No models configured")
    if error is None:
        answer = await models()
        if isinstance(answer, UpstreamError):
            error = answer.message
        else:
            found = answer
    return Health(
        status="unhealthy" if error else "healthy",
        latency_ms=None if error else round((clock.monotonic() - started) * 1000, 1),
        error=error,
        models_available=found,
        last_check=clock.now(),
    )


async def listed_models(
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str],
    provider_id: str,
    *,
    now: float,
    secret: str | None,
) -> Models | UpstreamError:
    """The ids in an upstream's list of models: free of charge, and a wrong key or address shows."""
    try:
        timeout = aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S)
        async with session.get(url, headers=headers, allow_redirects=False, timeout=timeout) as response:
            body = await response.read()
    except NETWORK as error:
        return failure_of_exception(error, provider_id)
    if response.status != 200:
        return failure_of_response(
            response.status, response.headers, body, provider_id, now=now, secret=secret
        )
    try:
        rows = orjson.loads(body)["data"]
        return tuple(str(row["id"]) for row in rows)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return broken(provider_id, "sent a list of models that cannot be read", 200)
