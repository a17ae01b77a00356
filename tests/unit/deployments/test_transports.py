"""Every transport says how a provider is deployed and how it is reached."""

from math import inf
from typing import Any

import pytest

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig, Transport
from serve_app.deployments.provider_handle import HandleProvider
from serve_app.deployments.transports import TRANSPORTS
from serve_app.providers.address_policy import DEFAULT_ENDPOINT_POLICY
from serve_app.providers.simulator import ScriptedProvider
from tests.support.settings import two_providers


def provider(transport: str, **more: Any) -> ProviderConfig:
    fields = {"id": "p", "type": "scripted", "transport": transport, "max_ongoing_requests": 7, **more}
    return ProviderConfig.model_validate(fields)


def test_every_transport_has_an_object() -> None:
    assert set(TRANSPORTS) == set(Transport)


class Handle:
    """A handle of which every option is the handle itself."""

    def options(self, **options: Any) -> "Handle":
        return self

    def __getattr__(self, name: str) -> "Handle":
        return self


@pytest.mark.parametrize(
    ("transport", "kind", "is_deployed", "most", "may_sleep"),
    [("handle", HandleProvider, True, inf, True), ("inline", ScriptedProvider, False, 7, False)],
)
def test_a_provider_is_deployed_reached_and_bounded_as_its_transport_says(
    transport: str, kind: type, is_deployed: bool, most: float, may_sleep: bool
) -> None:
    sleeper = {"autoscaling": {"min_replicas": 0, "max_replicas": 1}}
    config = provider(transport, **sleeper)
    way = TRANSPORTS[config.transport]

    assert isinstance(way.reach(config, Handle(), SystemClock(), DEFAULT_ENDPOINT_POLICY), kind)
    assert (way.deploy(config, two_providers()) is not None) is is_deployed
    assert config.most_in_router == most
    assert config.may_sleep is may_sleep
    assert not provider(transport).may_sleep
