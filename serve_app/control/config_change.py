"""
Changes of the runtime config by operators.

Pure: takes a runtime config and the fields to change, returns the change to record. The caller records it
with the revision that it was computed from, so it is rejected if another change came first. A key that was
revoked a moment ago is never written back.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from serve_app.caller import NOBODY
from serve_app.config.base import Config
from serve_app.config.key import KeyConfig, revoked
from serve_app.config.override import PriceOverride, ProviderOverride
from serve_app.config.settings import Settings, doubtful_limits
from serve_app.config.tenant import TenantConfig
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.errors import InvalidRequest
from serve_app.ledger.store import Record

C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A change to record, with its line of the audit log, which never contains a key or its digest."""

    action: str
    subject: str
    record: Record
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


Amend = Callable[[RuntimeConfig], ConfigChange]


# --- keys ---------------------------------------------------------------------------------------------


def key_of(runtime_config: RuntimeConfig, id_: str) -> KeyConfig:
    """Return the key of this id, revoked or not; raise InvalidRequest 404."""
    if id_ not in runtime_config.keys:
        raise unknown("key", id_)
    return runtime_config.keys[id_]


def key_created(runtime_config: RuntimeConfig, settings: Settings, key: KeyConfig) -> ConfigChange:
    """
    Return the change that creates a key.

    Raises:
        InvalidRequest: 409 if its id was ever used, 422 if it names something that does not exist.
    """
    if runtime_config.is_taken(key):
        raise _conflict(f"The key id '{key.id}' is taken, for good: choose another one", "key_exists")
    if not runtime_config.has_tenant(key.tenant):
        raise _unfit("tenant", f"There is no tenant '{key.tenant}'; create it first")
    _check_rights(runtime_config, settings, f"key '{key.id}'", key)
    return ConfigChange("key_created", f"key:{key.id}", _record("key", key.id, key), None, key.shown())


def key_changed(
    runtime_config: RuntimeConfig, settings: Settings, id_: str, fields: Mapping[str, Any]
) -> ConfigChange:
    """
    Return the change that replaces these fields of a key.

    Raises:
        InvalidRequest: 404 for an unknown key, 409 for a revoked one, 422 for invalid values.
    """
    before = key_of(runtime_config, id_)
    if before.revoked_at is not None:
        raise _conflict(f"The key '{id_}' is revoked permanently; create another one", "key_revoked")
    after = checked(KeyConfig, {**before.model_dump(), **fields})
    _check_rights(runtime_config, settings, f"key '{id_}'", after)
    record = _record("key", id_, after)
    return ConfigChange("key_changed", f"key:{id_}", record, before.shown(), after.shown())


def key_revoked(runtime_config: RuntimeConfig, id_: str, now: float) -> ConfigChange:
    """Return the change that revokes a key permanently; its record stays, so that its id is never reused."""
    before = key_of(runtime_config, id_)
    after = revoked(before, now)
    record = _record("key", id_, after)
    return ConfigChange("key_revoked", f"key:{id_}", record, before.shown(), after.shown())


# --- tenants ------------------------------------------------------------------------------------------


def tenant_of(runtime_config: RuntimeConfig, id_: str) -> TenantConfig:
    """Return the tenant of this id; raise InvalidRequest 404."""
    if id_ not in runtime_config.tenants:
        raise unknown("tenant", id_)
    return runtime_config.tenants[id_]


def tenant_set(runtime_config: RuntimeConfig, settings: Settings, tenant: TenantConfig) -> ConfigChange:
    """
    Return the change that creates or replaces a tenant; raise InvalidRequest 422 if it names unknown things.
    """
    _check_rights(runtime_config, settings, f"tenant '{tenant.id}'", tenant)
    before = runtime_config.tenants.get(tenant.id)
    record = _record("tenant", tenant.id, tenant)
    return ConfigChange("tenant_set", f"tenant:{tenant.id}", record, _plain(before), _plain(tenant))


def tenant_changed(
    runtime_config: RuntimeConfig, settings: Settings, id_: str, fields: Mapping[str, Any]
) -> ConfigChange:
    """
    Return the change that replaces these fields of a tenant; raise InvalidRequest 404, or 422 for bad values.
    """
    before = tenant_of(runtime_config, id_)
    return tenant_set(runtime_config, settings, checked(TenantConfig, {**before.model_dump(), **fields}))


def tenant_removed(runtime_config: RuntimeConfig, settings: Settings, id_: str) -> ConfigChange:
    """
    Return the change that removes a tenant, or restores the configured one.

    Raises:
        InvalidRequest: 404 for an unknown tenant; 409 if it still has keys, or is only in the configuration.
    """
    before = tenant_of(runtime_config, id_)
    configured = next((tenant for tenant in settings.tenants if tenant.id == id_), None)
    if configured == before:
        raise _conflict(
            f"The tenant '{id_}' is configured; remove it from the configuration", "tenant_configured"
        )
    keys = [key.id for key in runtime_config.keys.values() if key.tenant == id_ and key.revoked_at is None]
    if keys and configured is None and id_ != NOBODY:
        named = ", ".join(sorted(keys)[:10])
        raise _conflict(f"The tenant '{id_}' still has keys; revoke them first ({named})", "tenant_in_use")
    record = Record("tenant", id_, None)
    return ConfigChange("tenant_removed", f"tenant:{id_}", record, _plain(before), _plain(configured))


# --- prices and providers -----------------------------------------------------------------------------


def price_set(
    runtime_config: RuntimeConfig, settings: Settings, target: str, price: PriceOverride
) -> ConfigChange:
    """
    Return the change that sets a target's price; raise InvalidRequest 404 if the target is not configured.
    """
    if target not in _targets_of(settings):
        raise unknown("target", target)
    record = _record("price", target, price)
    return ConfigChange(
        "price_set", f"price:{target}", record, _plain(runtime_config.prices.get(target)), _plain(price)
    )


def price_removed(runtime_config: RuntimeConfig, target: str) -> ConfigChange:
    """
    Return the change that restores the configured price; raise InvalidRequest 404 if there is no override.
    """
    if target not in runtime_config.prices:
        raise unknown("price", target)
    before = _plain(runtime_config.prices[target])
    return ConfigChange("price_removed", f"price:{target}", Record("price", target, None), before, None)


def provider_changed(
    runtime_config: RuntimeConfig, settings: Settings, id_: str, fields: Mapping[str, Any]
) -> ConfigChange:
    """
    Return the change of a provider's overrides; None restores a configured value. Raises InvalidRequest 404.
    """
    if id_ not in {provider.id for provider in settings.llm_providers}:
        raise unknown("provider", id_)
    before = runtime_config.providers.get(id_, ProviderOverride())
    after = checked(ProviderOverride, {**before.model_dump(), **fields})
    record = _record("provider", id_, None if after == ProviderOverride() else after)
    return ConfigChange("provider_changed", f"provider:{id_}", record, _plain(before), _plain(after))


# --- validation and records ----------------------------------------------------------------------------


def checked(kind: type[C], fields: Mapping[str, Any]) -> C:
    """
    Validate the fields as this type; raise InvalidRequest 422, which names the field but never its value.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _unfit(where or None, f"{where or 'the body'}: {first['msg']}") from None


def _check_rights(
    runtime_config: RuntimeConfig, settings: Settings, owner: str, of: KeyConfig | TenantConfig
) -> None:
    for name in of.models or ():
        if name not in runtime_config.model_names:
            raise _unfit("models", f"The {owner} names model '{name}', which no provider has")
    for field, limits in (("budgets", of.budgets), ("rates", of.rates)):
        for wrong in doubtful_limits(f"A limit of the {owner}", limits, settings.llm_providers):
            raise _unfit(field, wrong)


def unknown(kind: str, name: str) -> InvalidRequest:
    """Return the 404 for something of this name that does not exist."""
    quoted = name[:100].encode("utf-8", "replace").decode()
    return InvalidRequest(f"There is no {kind} '{quoted}'", "id", f"{kind}_not_found", 404)


def _conflict(message: str, code: str) -> InvalidRequest:
    return InvalidRequest(message, None, code, 409)


def _unfit(param: str | None, message: str) -> InvalidRequest:
    return InvalidRequest(message, param, "invalid_value", 422)


def _targets_of(settings: Settings) -> Iterable[str]:
    return {
        f"{provider.id}/{model.model_id}" for provider in settings.llm_providers for model in provider.models
    }


def _plain(value: Config | None) -> dict[str, Any] | None:
    return None if value is None else value.model_dump(mode="json")


def _record(kind: str, id_: str, value: Config | None) -> Record:
    return Record(kind, id_, _plain(value))
