"""The book of callers, limits and what operators changed."""

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.caller import Caller, Role
from serve_app.config.key import KeyConfig, new_key, revoked
from serve_app.config.tenant import BudgetConfig, BudgetWindow, RateConfig
from serve_app.control.runtime_config import RuntimeConfig, limit_id, runtime_config_of
from serve_app.ledger.store import Record
from serve_app.limits.caller_limits import CallerLimits
from serve_app.limits.limit import Limit, Scope, Unit, Window
from tests.support.settings import HYBRID, settings

BUDGET = {"limit": 5.0, "window": "month"}


def runtime_config(*records: Record, **more: Any) -> RuntimeConfig:
    return runtime_config_of(settings(HYBRID, **more), records, 7)


def tenant(**fields: Any) -> Record:
    return Record("tenant", fields["id"], fields)


def key_record(key: KeyConfig) -> Record:
    return Record("key", key.id, key.model_dump(mode="json"))


def ids(limits: CallerLimits) -> set[str]:
    return {limit.id for limit in (*limits.of_requests, *limits.of_attempts)}


def test_without_records_the_book_is_the_configuration() -> None:
    made = runtime_config(budgets=[BUDGET], tenants=[{"id": "a", "rates": [{"requests_per_minute": 60}]}])

    assert made.revision == 7
    assert made.limits == (
        Limit("gateway/month", Unit.NANO_DOLLARS, Window.MONTH, 5_000_000_000, Scope()),
        Limit("tenant:a/requests", Unit.REQUESTS, Window.MINUTE, 60, Scope(tenant="a")),
    )


def test_an_operators_limit_comes_before_the_configured_one_for_the_same() -> None:
    made = runtime_config(Record("limit", "g", {"limit": 150, "window": "month"}), budgets=[BUDGET])

    assert [(limit.id, limit.amount) for limit in made.limits] == [("gateway/month", 150_000_000_000)]


def test_an_operators_tenant_comes_before_the_configured_one() -> None:
    made = runtime_config(tenant(id="a", budgets=[]), tenants=[{"id": "a", "budgets": [BUDGET]}])

    assert made.limits == ()


@pytest.mark.parametrize(
    "record",
    [
        Record("tenant", "a", {"id": "A B"}),
        Record("tenant", "a", {"id": "b"}),
        Record("tenant", "a", {"budgets": 5}),
        Record("key", "k", {"id": "k"}),
        Record("key", "k", {"id": "k", "digest": "0" * 64, "role": "root"}),
        Record("limit", "l", {"limit": -1}),
        Record("limit", "l", {"frobs": 5}),
        Record("price", "p/m", {"cost_per_1k_input": "dear"}),
        Record("provider", "p", {"priority": 0}),
        Record("backend", "b", {"vllm_endpoint": "ftp://x"}),
        Record("from_the_future", "x", {"a": 1}),
        Record("tenant", "a", None),
    ],
)
def test_a_record_that_cannot_be_understood_is_left_out(record: Record) -> None:
    assert runtime_config(record, tenant(id="good")).tenants.keys() == {"good"}
    assert runtime_config(record).limits == ()


def test_what_is_wrong_with_a_record_is_logged_without_what_it_holds(caplog: Any) -> None:
    runtime_config(Record("key", "k", {"id": "k", "digest": "secret"}))

    assert "key 'k'" in caplog.text
    assert "secret" not in caplog.text


def test_a_key_is_found_by_its_digest_until_it_is_revoked() -> None:
    _, key = new_key(0.0)

    good, gone = runtime_config(key_record(key)), runtime_config(key_record(revoked(key, 5.0)))

    assert good.by_digest[key.digest] == key
    assert gone.by_digest == {}
    assert gone.revoked == {key.digest}


def test_a_revoked_key_never_comes_back_under_its_id_or_its_digest() -> None:
    _, key = new_key(0.0, id="mine")
    _, same_id = new_key(0.0, id="mine")
    same_key = key.model_copy(update={"id": "other"})
    gone = runtime_config(key_record(revoked(key, 5.0)), key_record(same_key))

    assert gone.by_digest == {}
    assert gone.is_taken(same_id)
    assert gone.is_taken(same_key)
    assert not gone.is_taken(new_key(0.0)[1])


def test_the_key_of_a_tenant_that_is_gone_is_good_for_nothing() -> None:
    _, key = new_key(0.0, tenant="gone")

    assert runtime_config(key_record(key)).by_digest == {}


def test_a_model_named_in_full_limits_its_provider_only() -> None:
    made = runtime_config(
        budgets=[{"limit": 1, "model": "openai_cloud/gpt-4o"}, {"limit": 2, "model": "gpt-4o"}]
    )

    assert [limit.scope for limit in made.limits] == [
        Scope(provider="openai_cloud", model="gpt-4o"),
        Scope(model="gpt-4o"),
    ]


def test_the_overrides_are_told_by_their_ids() -> None:
    made = runtime_config(
        Record("price", "openai_cloud/gpt-4o", {"cost_per_1k_input": 0.1}),
        Record("provider", "openai_cloud", {"enabled": False}),
        Record("backend", "backend", {"current": "vllm", "vllm_endpoint": "http://gpu:8000"}),
    )

    assert made.prices["openai_cloud/gpt-4o"].cost_per_1k_input == 0.1
    assert made.providers["openai_cloud"].enabled is False
    assert made.backend.current == "vllm"


def test_a_book_survives_the_trip_between_processes() -> None:
    _, key = new_key(0.0, budgets=(BudgetConfig(limit=1),))
    made = runtime_config(key_record(key), budgets=[BUDGET])
    made.limits_for(Caller())

    assert pickle.loads(pickle.dumps(made)) == made


SOME = {"limit": 5.0}
KEY = new_key(0.0, id="k", tenant="a", budgets=(BudgetConfig(limit=5),))[1]


@pytest.mark.parametrize(
    ("records", "more"),
    [
        ((), {"budgets": [SOME]}),
        ((), {"budgets": [{**SOME, "provider": "openai_cloud"}]}),
        ((), {"budgets": [{**SOME, "model": "gpt-4o"}]}),
        ((), {"budgets": [{**SOME, "model": "openai_cloud/gpt-4o"}]}),
        ((), {"budgets": [{**SOME, "provider": "openai_cloud", "model": "openai_cloud/gpt-4o"}]}),
        ((), {"tenants": [{"id": "a", "budgets": SOME}]}),
        ((), {"tenants": [{"id": "a", "budgets": [{**SOME, "model": "gpt-4o"}]}]}),
        ((tenant(id="a", budgets=[SOME]),), {}),
        ((Record("limit", "x", SOME),), {}),
        ((Record("limit", "x", {**SOME, "provider": "openai_cloud"}),), {}),
        ((tenant(id="a"), key_record(KEY)), {}),
    ],
)
def test_a_budget_counts_wherever_it_is_attached(records: tuple[Record, ...], more: dict[str, Any]) -> None:
    made = runtime_config(*records, **more)
    key = made.by_digest.get(KEY.digest, KEY)

    [limit] = made.limits_for(made.caller_of(key)).budgets

    assert limit.scope.covers("a", "k", "openai_cloud", "gpt-4o")


def test_the_limits_of_others_do_not_count_for_a_caller() -> None:
    _, mine = new_key(0.0, id="mine", tenant="a", budgets=(BudgetConfig(limit=1),))
    _, theirs = new_key(0.0, id="theirs", tenant="b", budgets=(BudgetConfig(limit=1),))
    made = runtime_config(
        tenant(id="a", budgets=[BUDGET]),
        tenant(id="b", budgets=[BUDGET]),
        key_record(mine),
        key_record(theirs),
        budgets=[BUDGET],
    )

    own = ids(made.limits_for(made.caller_of(mine)))
    assert own == {"gateway/month", "tenant:a/month", "key:mine/month"}
    assert ids(made.limits_for(Caller("b", "jwt:ann"))) == {"gateway/month", "tenant:b/month"}
    assert ids(made.limits_for(Caller("b", "mine"))) == {"gateway/month", "tenant:b/month"}
    assert ids(made.limits_for(Caller())) == {"gateway/month"}


names = st.none() | st.text(max_size=6) | st.sampled_from(["a/b", "a", "b", "month", "x/model:y", "a%2Fb"])
scopes = st.one_of(
    st.builds(
        BudgetConfig, limit=st.just(1.0), window=st.sampled_from(BudgetWindow), provider=names, model=names
    ),
    st.builds(RateConfig, requests_per_minute=st.just(1), provider=names, model=names),
)


@given(scopes, scopes, *[st.sampled_from(["", "tenant:a", "tenant:b", "key:a"])] * 2)
def test_two_different_limits_never_share_an_id(
    one: BudgetConfig | RateConfig, other: BudgetConfig | RateConfig, owner: str, owners: str
) -> None:
    def facts(of: BudgetConfig | RateConfig, whose: str) -> tuple[object, ...]:
        return (whose, of.provider, of.model, getattr(of, "window", "requests"))

    def id_of(of: BudgetConfig | RateConfig, whose: str) -> str:
        return limit_id(whose, of, str(getattr(of, "window", "requests")))

    assert (id_of(one, owner) == id_of(other, owners)) == (facts(one, owner) == facts(other, owners))


MODELS = [
    "gpt-4o",
    "openai_cloud/gpt-4o",
    "gpt-4o-mini",
    "llama3.1:8b",
    "ollama_local/llama3.1:8b",
    "unknown",
]
some_models = st.none() | st.lists(st.sampled_from(MODELS), max_size=4)
some_tasks = st.none() | st.lists(st.sampled_from(["chat_small", "chat_smart", "vision"]), max_size=3)


@given(some_models, some_tasks, some_models, some_tasks, st.sampled_from(Role))
def test_a_key_never_has_more_than_its_tenant(
    models: list[str] | None,
    tasks: list[str] | None,
    key_models: list[str] | None,
    key_tasks: list[str] | None,
    role: Role,
) -> None:
    made = runtime_config(tenant(id="a", models=models, tasks=tasks))

    granted = made.caller("k", "a", role, key_models, key_tasks)
    whole = made.caller("k", "a")

    assert whole.models is None or (granted.models is not None and granted.models <= whole.models)
    assert whole.tasks is None or (granted.tasks is not None and granted.tasks <= whole.tasks)
    assert granted.tenant == "a"
    assert granted.role is role


@pytest.mark.parametrize("of_tenant", [None, "any", "local"])
@pytest.mark.parametrize("of_key", [None, "any", "local"])
def test_the_strictest_data_policy_of_a_key_and_its_tenant_counts(
    of_tenant: str | None, of_key: str | None
) -> None:
    _, key = new_key(0.0, tenant="a", data_policy=of_key)  # type: ignore[arg-type]
    made = runtime_config(tenant(id="a", data_policy=of_tenant), key_record(key))

    assert made.caller_of(made.keys[key.id]).local_only is ("local" in (of_tenant, of_key))
    assert made.caller("handle", "a").local_only is (of_tenant == "local")
