"""Whatever operators do, in whatever order: what is revoked stays so, and every good key has its tenant."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from serve_app.config.key import new_key
from serve_app.config.override import PriceOverride
from serve_app.config.tenant import TenantConfig
from serve_app.control.config_change import (
    ConfigChange,
    key_changed,
    key_created,
    key_revoked,
    price_removed,
    price_set,
    provider_changed,
    tenant_removed,
    tenant_set,
)
from serve_app.control.runtime_config import RuntimeConfig, runtime_config_of
from serve_app.errors import InvalidRequest
from serve_app.ledger.store import Record
from tests.support.settings import two_providers

SETTINGS = two_providers(tenants=[{"id": "t0", "budgets": {"limit": 5}}])
KEYS, TENANTS = ("a", "b", "c"), ("default", "t0", "t1", "t2")

Deed = Callable[[RuntimeConfig], ConfigChange]

key_ids, tenant_ids = st.sampled_from(KEYS), st.sampled_from(TENANTS)


def _created(id_: str, tenant: str) -> Deed:
    return lambda runtime_config: key_created(
        runtime_config, SETTINGS, new_key(1.0, id=id_, tenant=tenant)[1]
    )


deeds: st.SearchStrategy[Deed] = st.one_of(
    st.builds(_created, key_ids, tenant_ids),
    st.builds(lambda id_: lambda runtime_config: key_revoked(runtime_config, id_, 2.0), key_ids),
    st.builds(
        lambda id_, note: lambda runtime_config: key_changed(runtime_config, SETTINGS, id_, {"note": note}),
        key_ids,
        st.text(max_size=3),
    ),
    st.builds(
        lambda id_, limit: (
            lambda runtime_config: tenant_set(
                runtime_config,
                SETTINGS,
                TenantConfig.model_validate({"id": id_, "budgets": {"limit": limit}}),
            )
        ),
        tenant_ids,
        st.floats(0.01, 100),
    ),
    st.builds(lambda id_: lambda runtime_config: tenant_removed(runtime_config, SETTINGS, id_), tenant_ids),
    st.builds(
        lambda dollars: (
            lambda runtime_config: price_set(
                runtime_config, SETTINGS, "first/first-chat", PriceOverride(cost_per_1k_input=dollars)
            )
        ),
        st.just(0.0) | st.floats(1e-12, 10),
    ),
    st.just(lambda runtime_config: price_removed(runtime_config, "first/first-chat")),
    st.builds(
        lambda enabled, priority: (
            lambda runtime_config: provider_changed(
                runtime_config, SETTINGS, "first", {"enabled": enabled, "priority": priority}
            )
        ),
        st.none() | st.booleans(),
        st.none() | st.integers(-5, 200),
    ),
)


@given(st.lists(deeds, max_size=25))
def test_whatever_operators_do(done: list[Deed]) -> None:
    records: dict[tuple[str, str], Record] = {}
    revision = 0
    runtime_config = runtime_config_of(SETTINGS, (), revision)
    refused_for_ever: set[str] = set()
    for deed in done:
        try:
            amendment = deed(runtime_config)
        except InvalidRequest:
            continue
        assert "digest" not in f"{amendment.before}{amendment.after}"
        record = amendment.record
        records[record.kind, record.id] = record
        before, revision = runtime_config, revision + 1
        runtime_config = runtime_config_of(SETTINGS, records.values(), revision)
        refused_for_ever |= {key.digest for key in runtime_config.keys.values() if key.revoked_at is not None}

        assert not refused_for_ever & runtime_config.by_digest.keys()
        assert before.keys.keys() <= runtime_config.keys.keys()
        for key in runtime_config.keys.values():
            assert key.revoked_at is not None or runtime_config.has_tenant(key.tenant)
        for id_, key in before.keys.items():
            assert (key.role, key.tenant, key.digest) == (
                runtime_config.keys[id_].role,
                runtime_config.keys[id_].tenant,
                runtime_config.keys[id_].digest,
            )


def test_what_is_taken_back_leaves_the_book_of_the_configuration() -> None:
    runtime_config = runtime_config_of(SETTINGS, (), 0)
    for deed in (
        lambda runtime_config: price_set(
            runtime_config, SETTINGS, "first/first-chat", PriceOverride(cost_per_1k_input=1)
        ),
        lambda runtime_config: provider_changed(runtime_config, SETTINGS, "first", {"enabled": False}),
        lambda runtime_config: tenant_set(runtime_config, SETTINGS, TenantConfig(id="t0")),
    ):
        assert runtime_config_of(SETTINGS, [deed(runtime_config).record], 0) != runtime_config

    provider = provider_changed(
        runtime_config_of(SETTINGS, [Record("provider", "first", {"enabled": False})], 0),
        SETTINGS,
        "first",
        {"enabled": None},
    )
    assert runtime_config_of(SETTINGS, [provider.record], 0) == runtime_config
