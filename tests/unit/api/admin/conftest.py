"""The admin API of a gateway with two routers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from tests.support import operators
from tests.support.harness import ListedProvider
from tests.support.operators import ADMIN, Office
from tests.support.settings import two_providers

ANSWER = Answer(b'{"id":"1","object":"chat.completion"}', Usage(10, 5), 0.1)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    settings = two_providers(
        auth={"admin_keys": [ADMIN], "api_keys": [{"key": "reads", "role": "read"}, "calls"]},
        tenants=[{"id": "configured", "budgets": {"limit": 7}}],
        budgets=[{"limit": 100}],
        admin={"changes_per_hour": 10_000, "requests_per_hour": 100_000},
    )
    providers = {name: ListedProvider(ANSWER) for name in ("first", "second")}
    async with operators.office(tmp_path, settings, providers) as office:
        yield office
