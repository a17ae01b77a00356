"""A look at a server that speaks OpenAI's words and belongs to no configured provider: it gets no key."""

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
    Whether somebody answers there; `api_base` ends in `/v1`.

    One GET of five seconds at most, without a key, and no redirect is followed.
    """
    started = clock.monotonic()
    async with open_session(endpoint_policy.address_policy_for(api_base), resolver) as session:
        found = await listed_models(
            session, f"{api_base}/models", {}, VLLM.type, now=clock.now(), secret=None
        )
    if isinstance(found, UpstreamError):
        status = found.upstream_status
        # Not their words: an operator asks whether somebody is there, and not what stands at any address.
        why = found.message if status in (None, 200) else f"It answers with HTTP status {status}"
        return Health(HealthStatus.UNHEALTHY, None, why, (), clock.now())
    latency_ms = round((clock.monotonic() - started) * 1000, 1)
    return Health(HealthStatus.HEALTHY, latency_ms, None, found, clock.now())
