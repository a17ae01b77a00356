"""Whatever operators do, in whatever order: what is revoked stays so, and every good key has its tenant."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from serve_app.config.key import new_key
from serve_app.config.override import PriceOverride
from serve_app.config.tenant import TenantConfig
from serve_app.control.config_change import (
    Amendment,
    key_changed,
    key_created,
    key_revoked,
    price_removed,
    price_set,
    provider_changed,
    tenant_removed,
    tenant_set,
)
from serve_app.control.runtime_config import Book, book_of
from serve_app.errors import InvalidRequest
from serve_app.ledger.store import Record
from tests.support.settings import two_providers

SETTINGS = two_providers(tenants=[{"id": "t0", "budgets": {"limit": 5}}])
KEYS, TENANTS = ("a", "b", "c"), ("default", "t0", "t1", "t2")

Deed = Callable[[Book], Amendment]

key_ids, tenant_ids = st.sampled_from(KEYS), st.sampled_from(TENANTS)


def _created(id_: str, tenant: str) -> Deed:
    return lambda book: key_created(book, SETTINGS, new_key(1.0, id=id_, tenant=tenant)[1])


deeds: st.SearchStrategy[Deed] = st.one_of(
    st.builds(_created, key_ids, tenant_ids),
    st.builds(lambda id_: lambda book: key_revoked(book, id_, 2.0), key_ids),
    st.builds(
        lambda id_, note: lambda book: key_changed(book, SETTINGS, id_, {"note": note}),
        key_ids,
        st.text(max_size=3),
    ),
    st.builds(
        lambda id_, limit: (
            lambda book: tenant_set(
                book, SETTINGS, TenantConfig.model_validate({"id": id_, "budgets": {"limit": limit}})
            )
        ),
        tenant_ids,
        st.floats(0.01, 100),
    ),
    st.builds(lambda id_: lambda book: tenant_removed(book, SETTINGS, id_), tenant_ids),
    st.builds(
        lambda dollars: (
            lambda book: price_set(
                book, SETTINGS, "first/first-chat", PriceOverride(cost_per_1k_input=dollars)
            )
        ),
        st.just(0.0) | st.floats(1e-12, 10),
    ),
    st.just(lambda book: price_removed(book, "first/first-chat")),
    st.builds(
        lambda enabled, priority: (
            lambda book: provider_changed(book, SETTINGS, "first", {"enabled": enabled, "priority": priority})
        ),
        st.none() | st.booleans(),
        st.none() | st.integers(-5, 200),
    ),
)


@given(st.lists(deeds, max_size=25))
def test_whatever_operators_do(done: list[Deed]) -> None:
    records: dict[tuple[str, str], Record] = {}
    epoch = 0
    book = book_of(SETTINGS, (), epoch)
    refused_for_ever: set[str] = set()
    for deed in done:
        try:
            amendment = deed(book)
        except InvalidRequest:
            continue
        assert "digest" not in f"{amendment.before}{amendment.after}"
        record = amendment.record
        records[record.kind, record.id] = record
        before, epoch = book, epoch + 1
        book = book_of(SETTINGS, records.values(), epoch)
        refused_for_ever |= {key.digest for key in book.keys.values() if key.revoked_at is not None}

        assert not refused_for_ever & book.by_digest.keys()
        assert before.keys.keys() <= book.keys.keys()
        for key in book.keys.values():
            assert key.revoked_at is not None or book.has_tenant(key.tenant)
        for id_, key in before.keys.items():
            assert (key.role, key.tenant, key.digest) == (
                book.keys[id_].role,
                book.keys[id_].tenant,
                book.keys[id_].digest,
            )


def test_what_is_taken_back_leaves_the_book_of_the_configuration() -> None:
    book = book_of(SETTINGS, (), 0)
    for deed in (
        lambda book: price_set(book, SETTINGS, "first/first-chat", PriceOverride(cost_per_1k_input=1)),
        lambda book: provider_changed(book, SETTINGS, "first", {"enabled": False}),
        lambda book: tenant_set(book, SETTINGS, TenantConfig(id="t0")),
    ):
        assert book_of(SETTINGS, [deed(book).record], 0) != book

    provider = provider_changed(
        book_of(SETTINGS, [Record("provider", "first", {"enabled": False})], 0),
        SETTINGS,
        "first",
        {"enabled": None},
    )
    assert book_of(SETTINGS, [provider.record], 0) == book
