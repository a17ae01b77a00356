"""
What operators change in the book, worked out from the book as it is.

Pure: a book and a wish, and what follows from them. Who has it written down names the book's epoch, so that
nothing is decided by a book that somebody else has changed meanwhile: a key that was revoked a moment ago is
never written back as it was.
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
    """One change: what is recorded, and what the audit says of it, which is never a key or its digest."""

    action: str
    subject: str
    record: Record
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


Amend = Callable[[RuntimeConfig], ConfigChange]


# --- keys ---------------------------------------------------------------------------------------------


def key_of(runtime_config: RuntimeConfig, id_: str) -> KeyConfig:
    """The key of this id, also one that was revoked; raises InvalidRequest 404."""
    if id_ not in runtime_config.keys:
        raise unknown("key", id_)
    return runtime_config.keys[id_]


def key_created(runtime_config: RuntimeConfig, settings: Settings, key: KeyConfig) -> ConfigChange:
    """A new key; InvalidRequest: 409 when its id was ever used, 422 when it names what is not there."""
    if runtime_config.is_taken(key):
        raise _conflict(f"The key id '{key.id}' is taken, for good: choose another one", "key_exists")
    if not runtime_config.has_tenant(key.tenant):
        raise _unfit("tenant", f"There is no tenant '{key.tenant}'; create it first")
    _check_rights(runtime_config, settings, f"key '{key.id}'", key)
    return ConfigChange("key_created", f"key:{key.id}", _record("key", key.id, key), None, key.shown())


def key_changed(
    runtime_config: RuntimeConfig, settings: Settings, id_: str, fields: Mapping[str, Any]
) -> ConfigChange:
    """These fields of a key, anew; InvalidRequest: 409 for one that was revoked, 422 for bad values."""
    before = key_of(runtime_config, id_)
    if before.revoked_at is not None:
        raise _conflict(f"The key '{id_}' is revoked permanently; create another one", "key_revoked")
    after = checked(KeyConfig, {**before.model_dump(), **fields})
    _check_rights(runtime_config, settings, f"key '{id_}'", after)
    record = _record("key", id_, after)
    return ConfigChange("key_changed", f"key:{id_}", record, before.shown(), after.shown())


def key_revoked(runtime_config: RuntimeConfig, id_: str, now: float) -> ConfigChange:
    """The key, good for nothing from now on; its record stays, so that it never comes back."""
    before = key_of(runtime_config, id_)
    after = revoked(before, now)
    record = _record("key", id_, after)
    return ConfigChange("key_revoked", f"key:{id_}", record, before.shown(), after.shown())


# --- tenants ------------------------------------------------------------------------------------------


def tenant_of(runtime_config: RuntimeConfig, id_: str) -> TenantConfig:
    """The tenant of this id; raises InvalidRequest 404."""
    if id_ not in runtime_config.tenants:
        raise unknown("tenant", id_)
    return runtime_config.tenants[id_]


def tenant_set(runtime_config: RuntimeConfig, settings: Settings, tenant: TenantConfig) -> ConfigChange:
    """A tenant as it shall be from now on, new or not; InvalidRequest 422 for what it names in vain."""
    _check_rights(runtime_config, settings, f"tenant '{tenant.id}'", tenant)
    before = runtime_config.tenants.get(tenant.id)
    record = _record("tenant", tenant.id, tenant)
    return ConfigChange("tenant_set", f"tenant:{tenant.id}", record, _plain(before), _plain(tenant))


def tenant_changed(
    runtime_config: RuntimeConfig, settings: Settings, id_: str, fields: Mapping[str, Any]
) -> ConfigChange:
    """These fields of a tenant, anew; InvalidRequest: 404, 422 for bad values."""
    before = tenant_of(runtime_config, id_)
    return tenant_set(runtime_config, settings, checked(TenantConfig, {**before.model_dump(), **fields}))


def tenant_removed(runtime_config: RuntimeConfig, settings: Settings, id_: str) -> ConfigChange:
    """
    No such tenant any more, or the configured one again.

    InvalidRequest: 404, and 409 while there are keys that would be good for nothing then, or when it is only
    configured.
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
    """A target's price from now on; raises InvalidRequest 404 for a target that is not configured."""
    if target not in _targets_of(settings):
        raise unknown("target", target)
    record = _record("price", target, price)
    return ConfigChange(
        "price_set", f"price:{target}", record, _plain(runtime_config.prices.get(target)), _plain(price)
    )


def price_removed(runtime_config: RuntimeConfig, target: str) -> ConfigChange:
    """The configured price again; raises InvalidRequest 404 where there is no other one."""
    if target not in runtime_config.prices:
        raise unknown("price", target)
    before = _plain(runtime_config.prices[target])
    return ConfigChange("price_removed", f"price:{target}", Record("price", target, None), before, None)


def provider_changed(
    runtime_config: RuntimeConfig, settings: Settings, id_: str, fields: Mapping[str, Any]
) -> ConfigChange:
    """These of a provider's overrides, anew; what is None is as configured. Raises InvalidRequest 404."""
    if id_ not in {provider.id for provider in settings.llm_providers}:
        raise unknown("provider", id_)
    before = runtime_config.providers.get(id_, ProviderOverride())
    after = checked(ProviderOverride, {**before.model_dump(), **fields})
    record = _record("provider", id_, None if after == ProviderOverride() else after)
    return ConfigChange("provider_changed", f"provider:{id_}", record, _plain(before), _plain(after))


# --- what they share ----------------------------------------------------------------------------------


def checked(kind: type[C], fields: Mapping[str, Any]) -> C:
    """The fields as this type; InvalidRequest 422 names what is wrong with them, and never their values."""
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
    """There is nothing of this name."""
    shown = name[:100].encode("utf-8", "replace").decode()
    return InvalidRequest(f"There is no {kind} '{shown}'", "id", f"{kind}_not_found", 404)


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
