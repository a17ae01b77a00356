"""Health check of an OpenAI-compatible server that belongs to no configured provider; it gets no key."""

from aiohttp.abc import AbstractResolver

from serve_app.clock import Clock
from serve_app.errors import UpstreamError
from serve_app.providers.address_policy import DEFAULT_ENDPOINT_POLICY, EndpointPolicy
from serve_app.providers.base import Health, HealthStatus
from serve_app.providers.catalogue.rows import VLLM
from serve_app.providers.connections import open_session
from serve_app.providers.health_check import listed_models


async def look_at_endpoint(
    api_base: str,
    clock: Clock,
    endpoint_policy: EndpointPolicy = DEFAULT_ENDPOINT_POLICY,
    resolver: AbstractResolver | None = None,
) -> Health:
    """
    Check whether a server answers at this address; `api_base` ends in `/v1`.

    Sends one GET with a timeout of five seconds, without a key; no redirect is followed.
    """
    started = clock.monotonic()
    async with open_session(endpoint_policy.address_policy_for(api_base), resolver) as session:
        found = await listed_models(
            session, f"{api_base}/models", {}, VLLM.type, now=clock.now(), secret=None
        )
    if isinstance(found, UpstreamError):
        status = found.upstream_status
        # The body is not shown: the check must not reveal the content of arbitrary addresses.
        why = found.message if status in (None, 200) else f"It answers with HTTP status {status}"
        return Health(HealthStatus.UNHEALTHY, None, why, (), clock.now())
    latency_ms = round((clock.monotonic() - started) * 1000, 1)
    return Health(HealthStatus.HEALTHY, latency_ms, None, found, clock.now())
