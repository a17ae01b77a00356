"""
The runtime config: callers, limits, prices and operators' settings, as one frozen value sent to every router.

It is built from the configuration and the store's records, which take precedence, and replaced as a whole by
every change. It is never modified, so a late write cannot bring back something that was revoked.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from serve_app.caller import NOBODY, Caller, Role
from serve_app.config.base import Config
from serve_app.config.data_policy import DataPolicy, strictest
from serve_app.config.key import KeyConfig
from serve_app.config.override import BackendState, PriceOverride, ProviderOverride
from serve_app.config.settings import Settings
from serve_app.config.tenant import BudgetConfig, RateConfig, TenantConfig
from serve_app.ledger.store import Record
from serve_app.limits.caller_limits import CallerLimits
from serve_app.limits.limit import Limit, Scope, Unit, Window
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.price import Price
from serve_app.pricing.price_list import operators_price

NO_REVISION = -1  # of a config without operators' settings, because they are not loaded

log = logging.getLogger("sekha.control")

C = TypeVar("C", bound=Config)
_Names = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class RuntimeConfig:
    """
    Everything that can change while the gateway runs, as of one revision.

    Attributes:
        keys: by id, with revoked ones.
        limits: with ids that are unique within the gateway.
        prices: by target name.
        model_names: every name of a model, to its full names.
    """

    revision: int
    keys: Mapping[str, KeyConfig]
    tenants: Mapping[str, TenantConfig]
    limits: tuple[Limit, ...]
    prices: Mapping[str, PriceOverride]
    providers: Mapping[str, ProviderOverride]
    backend: BackendState
    model_names: _Names

    @cached_property
    def by_digest(self) -> Mapping[str, KeyConfig]:
        """
        Return the usable keys by the digest of the whole key; they may have expired.

        A key whose tenant was removed is not usable: it would have no limits.
        """
        return {
            key.digest: key
            for key in self.keys.values()
            if key.digest not in self.revoked and self.has_tenant(key.tenant)
        }

    def has_tenant(self, tenant: str) -> bool:
        """Return whether the tenant exists; the default tenant always does."""
        return tenant == NOBODY or tenant in self.tenants

    @cached_property
    def revoked(self) -> frozenset[str]:
        """Return the digests of keys that are refused permanently, wherever else they are configured."""
        return frozenset(key.digest for key in self.keys.values() if key.revoked_at is not None)

    @cached_property
    def price_of(self) -> Mapping[str, Price]:
        """Return the prices set by operators, by target name; other targets have their configured price."""
        return {target: operators_price(override) for target, override in self.prices.items()}

    def is_enabled(self, provider_id: str) -> bool:
        """Return whether operators allow requests to this provider."""
        override = self.providers.get(provider_id)
        return override is None or override.enabled is not False

    def is_taken(self, key: KeyConfig) -> bool:
        """Return whether the key's id or digest was ever used, so that it cannot be created."""
        return key.id in self.keys or any(key.digest == other.digest for other in self.keys.values())

    def caller(
        self,
        name: str,
        tenant: str = NOBODY,
        role: Role = Role.USER,
        models: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
        data_policy: DataPolicy | None = None,
    ) -> Caller:
        """Return a caller of a tenant, whose permissions never exceed the tenant's."""
        whose = self.tenants.get(tenant) or TenantConfig(id=NOBODY)
        return Caller(
            tenant=tenant,
            name=name,
            role=role,
            models=_both(self._full_names(whose.models), self._full_names(models)),
            tasks=_both(_set(whose.tasks), _set(tasks)),
            local_only=strictest((whose.data_policy, data_policy)) is DataPolicy.LOCAL,
            vendor_objects=whose.vendor_objects,
        )

    def caller_of(self, key: KeyConfig) -> Caller:
        """Return the caller that this key identifies."""
        return self.caller(key.id, key.tenant, key.role, key.models, key.tasks, key.data_policy)

    def limits_for(self, caller: Caller) -> CallerLimits:
        """Return every limit that may apply to a caller: the gateway's, the tenant's and its own."""
        found = self._limits_of.get((caller.tenant, caller.name))
        if found is None:
            found = self._limits_of.get((caller.tenant, None))
        return self._limits_of[None, None] if found is None else found

    @cached_property
    def _limits_of(self) -> Mapping[tuple[str | None, str | None], CallerLimits]:
        """
        Return limits by (tenant, caller) for those with limits of their own; (None, None) is for all others.
        """
        of: dict[tuple[str | None, str | None], tuple[Limit, ...]] = {(None, None): ()}
        for limit in self.limits:
            owner = (limit.scope.tenant, limit.scope.caller)
            of[owner] = (*of.get(owner, ()), limit)
        everyones = of[None, None]
        tenants = {tenant: everyones + of.get((tenant, None), ()) for tenant, _ in of if tenant is not None}
        together: dict[tuple[str | None, str | None], tuple[Limit, ...]] = {
            (None, None): everyones,
            **{(tenant, None): limits for tenant, limits in tenants.items()},
            **{owner: tenants[owner[0]] + own for owner, own in of.items() if owner[0] and owner[1]},
        }
        return {owner: CallerLimits(limits) for owner, limits in together.items()}

    def _full_names(self, names: Iterable[str] | None) -> frozenset[str] | None:
        """Return the names as `provider/model`, so that two lists can be compared."""
        if names is None:
            return None
        return frozenset(full for name in names for full in self.model_names.get(name, ()))


def runtime_config_of(settings: Settings, records: Iterable[Record], revision: int) -> RuntimeConfig:
    """
    Return the configuration with the records applied.

    An invalid record is logged and skipped: one bad row must not stop the gateway.
    """
    kept = [record for record in records if record.body is not None]
    tenants = {
        tenant.id: tenant for tenant in (*settings.tenants, *_read(TenantConfig, "tenant", kept).values())
    }
    keys = {key.id: key for key in _read(KeyConfig, "key", kept).values()}
    backends = _read(BackendState, "backend", kept)
    names = _model_names(settings)
    return RuntimeConfig(
        revision=revision,
        keys=keys,
        tenants=tenants,
        limits=(
            *_limits_of_the_gateway(settings, kept, names),
            *(limit for tenant in tenants.values() for limit in _limits_of_a_tenant(tenant, names)),
            *(limit for key in keys.values() for limit in _limits_of_a_key(key, names)),
        ),
        prices=_read(PriceOverride, "price", kept),
        providers=_read(ProviderOverride, "provider", kept),
        backend=_together(backends.values()),
        model_names=names,
    )


def limit_id(owner: str, of: BudgetConfig | RateConfig, what: str) -> str:
    """
    Return the unique id of a limit: `tenant:a/month`, `provider:x/day`, `gateway/total`.

    Args:
        owner: `tenant:…`, `key:…`, or an empty text for the gateway itself.
        of: the budget or rate. A model's name may contain slashes, so it is quoted as in a URL.
        what: a budget's window, or the unit of a rate.
    """
    steps = [owner] if owner else []
    if of.provider is not None:
        steps.append(f"provider:{quote(of.provider, safe='')}")
    if of.model is not None:
        steps.append(f"model:{quote(of.model, safe=':')}")
    return "/".join([*(steps or ["gateway"]), what])


def _together(states: Iterable[BackendState]) -> BackendState:
    """Merge parts of the state that are stored separately."""
    fields: dict[str, object] = {}
    for state in states:
        fields |= state.model_dump(exclude_none=True)
    return BackendState.model_validate(fields)


def _read(kind: type[C], name: str, records: Sequence[Record]) -> dict[str, C]:
    """Return the valid records of one kind by id; the id in a body must equal the record's."""
    read = {}
    for record in records:
        if record.kind != name:
            continue
        try:
            value = kind.model_validate(record.body)
        except ValidationError as error:
            wrong = ", ".join(".".join(map(str, detail["loc"])) or "all of it" for detail in error.errors())
            log.error("the %s '%s' in the store is skipped, it is not valid: %s", name, record.id, wrong)
            continue
        if getattr(value, "id", record.id) != record.id:
            log.error("the %s '%s' in the store is skipped, its body has another id", name, record.id)
            continue
        read[record.id] = value
    return read


def _limits_of_the_gateway(settings: Settings, records: Sequence[Record], names: _Names) -> Iterator[Limit]:
    """Yield the gateway's limits; an operator's replaces a configured one with the same id."""
    budgets = [record for record in records if "limit" in (record.body or ())]
    rates = [record for record in records if "limit" not in (record.body or ())]
    found = _limits("", settings.budgets, settings.rates, Scope(), names)
    found |= _limits("", _read(BudgetConfig, "limit", budgets).values(), (), Scope(), names)
    found |= _limits("", (), _read(RateConfig, "limit", rates).values(), Scope(), names)
    yield from found.values()


def _limits_of_a_tenant(tenant: TenantConfig, names: _Names) -> Iterator[Limit]:
    scope = Scope(tenant=tenant.id)
    yield from _limits(f"tenant:{tenant.id}", tenant.budgets, tenant.rates, scope, names).values()


def _limits_of_a_key(key: KeyConfig, names: _Names) -> Iterator[Limit]:
    if key.revoked_at is None:
        scope = Scope(tenant=key.tenant, caller=key.id)
        yield from _limits(f"key:{key.id}", key.budgets, key.rates, scope, names).values()


def _limits(
    owner: str, budgets: Iterable[BudgetConfig], rates: Iterable[RateConfig], scope: Scope, names: _Names
) -> dict[str, Limit]:
    """Return the limits of one owner by id; of two with the same id, the stricter one."""
    found: dict[str, Limit] = {}

    def add(of: BudgetConfig | RateConfig, what: str, unit: Unit, window: Window, amount: int | None) -> None:
        if amount is None:
            return
        id_ = limit_id(owner, of, what)
        if id_ not in found or amount < found[id_].amount:
            found[id_] = Limit(id_, unit, window, amount, _narrowed(scope, of, names))

    for budget in budgets:
        window = Window(budget.window.value)
        add(budget, window.value, Unit.NANO_DOLLARS, window, nano_dollars(budget.limit))
    for rate in rates:
        add(rate, "requests", Unit.REQUESTS, Window.MINUTE, rate.requests_per_minute)
        add(rate, "tokens", Unit.TOKENS, Window.MINUTE, rate.tokens_per_minute)
        add(rate, "concurrent", Unit.CONCURRENT, Window.TOTAL, rate.concurrent_requests)
    return found


def _narrowed(scope: Scope, of: BudgetConfig | RateConfig, names: _Names) -> Scope:
    """Return the scope for one provider or model; the full name of a model includes its provider."""
    provider, model = of.provider, of.model
    if model is not None and names.get(model) == frozenset({model}):
        provider_of_model, _, model = model.partition("/")
        provider = provider or provider_of_model
    return replace(scope, provider=provider, model=model)


def _model_names(settings: Settings) -> _Names:
    """
    Return every name of every configured model with its full names; model ids take precedence over full
    names.
    """
    names: dict[str, frozenset[str]] = {}
    pairs = [
        (provider.id, model.model_id) for provider in settings.llm_providers for model in provider.models
    ]
    for provider_id, model_id in pairs:
        names[f"{provider_id}/{model_id}"] = frozenset({f"{provider_id}/{model_id}"})
    ids = {model_id for _, model_id in pairs}
    for model_id in ids:
        names[model_id] = frozenset(
            f"{provider_id}/{name}" for provider_id, name in pairs if name == model_id
        )
    return names


def _both(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _set(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
