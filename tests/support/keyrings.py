"""Keyrings as a configuration and a book make them."""

from collections.abc import Sequence
from typing import Any

from serve_app.api.auth import Keyring
from serve_app.clock import Clock
from serve_app.config.key import KeyConfig
from serve_app.control.runtime_config import RuntimeConfig, runtime_config_of
from serve_app.ledger.store import Record
from tests.support.clock import FakeClock
from tests.support.settings import two_providers

SECRET = "a secret of more than thirty-two bytes"


def keyring(
    *keys: str,
    clock: Clock | None = None,
    tenants: Sequence[dict[str, Any]] = (),
    **auth: Any,
) -> Keyring:
    """One with these users' keys; without any, and without more under `auth`, it is open."""
    told = {**({"api_keys": list(keys)} if keys else {}), **auth}
    settings = two_providers(auth=told, tenants=list(tenants))
    return Keyring.of(settings, {}, clock or FakeClock())


def book_with(*keys: KeyConfig, tenants: Sequence[dict[str, Any]] = (), revision: int = 1) -> RuntimeConfig:
    """A book in which these keys and tenants stand."""
    records = [Record("key", key.id, key.model_dump(mode="json")) for key in keys]
    return runtime_config_of(two_providers(tenants=list(tenants)), records, revision)
