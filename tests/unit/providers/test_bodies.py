"""What of a caller's body reaches an upstream."""

from typing import Any

import orjson
import pytest

from serve_app.providers.base import Call
from serve_app.providers.bodies import fields_of

PROVIDER = {
    "only": ["p"],
    "ignore": ["q"],
    "order": ["p"],
    "data_policy": "local",
    "allow_fallbacks": False,
    "require_parameters": True,
    "sort": "price",
}


def sent(keeps_provider: bool, **fields: Any) -> dict[str, Any]:
    return fields_of(Call("m", orjson.dumps(fields), 1.0), keeps_provider)


def test_rules_for_routing_reach_no_vendor() -> None:
    body = {"models": ["a"], "data_policy": "local", "provider": PROVIDER, "seed": 7}

    assert sent(False, **body) == {"model": "m", "seed": 7}


def test_a_vendor_with_providers_of_its_own_gets_what_is_not_for_us() -> None:
    theirs = {"allow_fallbacks": False, "require_parameters": True, "sort": "price"}

    assert sent(True, models=["a"], provider=PROVIDER) == {"model": "m", "provider": theirs}


@pytest.mark.parametrize("provider", [{"only": ["p"]}, None, {}])
def test_where_nothing_is_left_for_it_there_is_no_field(provider: Any) -> None:
    assert sent(True, provider=provider) == {"model": "m"}
