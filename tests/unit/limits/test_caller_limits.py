"""The limits of one caller, found once for each target."""

import pytest

from serve_app.limits.caller_limits import CallerLimits
from serve_app.limits.limit import Limit, Scope, Unit, Window

OF_ALL = Limit("gateway/month", Unit.NANO_DOLLARS, Window.MONTH, 100)
REQUESTS = Limit("tenant:acme/requests", Unit.REQUESTS, Window.MINUTE, 100, Scope(tenant="acme"))
CLOUD = Limit("provider:cloud/requests", Unit.REQUESTS, Window.MINUTE, 100, Scope(provider="cloud"))
LARGE = Limit("tenant:acme/model:large", Unit.TOKENS, Window.MINUTE, 100, Scope(tenant="acme", model="large"))
LIMITS = CallerLimits([OF_ALL, REQUESTS, CLOUD, LARGE])


def test_each_kind_keeps_its_order() -> None:
    assert LIMITS.of_requests == (REQUESTS,)
    assert LIMITS.of_attempts == (OF_ALL, CLOUD, LARGE)
    assert LIMITS.budgets == (OF_ALL,)


@pytest.mark.parametrize(
    ("provider", "model", "limits"),
    [
        ("cloud", "small", (OF_ALL, CLOUD)),
        ("cloud", "large", (OF_ALL, CLOUD, LARGE)),
        ("other", "large", (OF_ALL, LARGE)),
        ("other", "small", (OF_ALL,)),
    ],
)
def test_an_attempt_is_counted_by_the_limits_that_reach_its_target(
    provider: str, model: str, limits: tuple[Limit, ...]
) -> None:
    for _ in range(2):  # found, and then known
        assert LIMITS.of_attempts_at(provider, model) == limits
