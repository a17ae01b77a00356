"""Tenants, budgets and keys in the configuration."""

from typing import Any

import pytest
from pydantic import ValidationError

from serve_app.caller import Role
from serve_app.config.key import digest_of, new_key, revoked
from serve_app.config.load import load_settings
from serve_app.config.secret import Secret
from serve_app.config.tenant import BudgetConfig, BudgetWindow
from serve_app.errors import ConfigError
from serve_app.pricing.money import nano_dollars
from tests.support.settings import LOCAL


def configured(**more: Any) -> Any:
    return load_settings({**LOCAL, **more}, {})


def test_a_budget_or_a_rate_may_stand_without_its_list() -> None:
    found = configured(
        tenants=[{"id": "a", "budgets": {"limit": 5}, "rates": {"requests_per_minute": 60}}],
        budgets={"limit": 100, "window": "total"},
    )

    assert found.tenants[0].budgets == (BudgetConfig(limit=5),)
    assert found.tenants[0].rates[0].requests_per_minute == 60
    assert found.budgets[0].window is BudgetWindow.TOTAL


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tenants": [{"id": "a"}, {"id": "a"}]}, "Duplicate tenant IDs found in configuration: a"),
        ({"tenants": [{"id": "A b"}]}, "tenants[0].id"),
        ({"tenants": [{"id": "a", "models": ["gpt-9"]}]}, "Tenant 'a' names model 'gpt-9'"),
        ({"tenants": [{"id": "a", "tasks": ["chat_tiny"]}]}, "tenants[0].tasks[0]"),
        ({"budgets": [{"limit": 5, "provider": "x"}]}, "A budget names provider 'x'"),
        ({"rates": [{"model": "x"}]}, "A rate names model 'x'"),
        ({"tenants": [{"id": "a", "budgets": [{"limit": 5, "model": "x"}]}]}, "A budget of tenant 'a'"),
        (
            {"budgets": [{"limit": 5, "provider": "ollama_local", "model": "x"}]},
            "'ollama_local' does not have",
        ),
        ({"budgets": [{"limit": 0}]}, "budgets[0].limit"),
        ({"budgets": [{"limit": 5}, {"limit": 6}]}, "A budget is set twice"),
        ({"auth": {"api_keys": [{"key": "${X}", "tenant": "b"}]}}, "A caller key names tenant 'b'"),
        ({"auth": {"api_keys": [{"key": "${X}", "role": "root"}]}}, "auth.api_keys[0].role"),
        ({"auth": {"jwt": {}}}, "needs a secret"),
        ({"auth": {"jwt": {"jwks": "http://idp.example/keys"}}}, "https://"),
        ({"auth": {"jwt": {"jwks": "file:///etc/passwd"}}}, "https://"),
    ],
)
def test_a_name_that_means_nothing_here_is_a_mistake(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(**more)

    assert words in str(caught.value)


def test_budget_limit_in_the_environment_is_a_budget_for_the_whole_gateway() -> None:
    [budget] = load_settings(LOCAL, {"BUDGET_LIMIT": "12.5"}).budgets

    assert (budget.limit, budget.window) == (12.5, BudgetWindow.TOTAL)


def test_a_configured_budget_wins_over_the_variable() -> None:
    found = load_settings({**LOCAL, "budgets": [{"limit": 7}]}, {"BUDGET_LIMIT": "12.5"})

    assert [budget.limit for budget in found.budgets] == [7]


def test_a_budget_that_is_no_number_is_told_by_the_name_of_its_variable() -> None:
    with pytest.raises(ConfigError, match="BUDGET_LIMIT: budgets"):
        load_settings(LOCAL, {"BUDGET_LIMIT": "plenty"})


def test_a_caller_key_may_say_whose_it_is() -> None:
    found = configured(
        tenants=[{"id": "a"}], auth={"api_keys": ["${X}", {"key": "${Y}", "tenant": "a", "role": "admin"}]}
    )

    plain, told = found.auth.api_keys
    assert (plain.key, plain.tenant, plain.role) == (Secret("${X}"), "default", Role.USER)
    assert (told.tenant, told.role) == ("a", Role.ADMIN)
    assert told.keys({"Y": "one, two"}) == ["one", "two"]


def test_the_key_in_a_mapping_is_neither_expanded_nor_shown() -> None:
    auth = load_settings({**LOCAL, "auth": {"api_keys": [{"key": "${Y}"}]}}, {"Y": "sk-live-1"}).auth

    assert auth.api_keys[0].key == Secret("${Y}")
    with pytest.raises(ConfigError) as caught:
        configured(auth={"api_keys": [{"key": ["sk-live-1"]}, ["sk-live-1"], {"kee": "sk-live-1"}]})
    assert "sk-live-1" not in str(caught.value)


def test_admin_keys_close_the_door_and_come_from_the_environment_too() -> None:
    environ = {"SEKHA_ADMIN_KEYS": "root1, root2"}
    auth = load_settings(LOCAL, environ).auth

    assert not auth.is_open
    assert auth.admins(environ) == ["root1", "root2"]


def test_a_new_key_is_kept_as_its_digest_only() -> None:
    key, kept = new_key(100.0, tenant="a", role=Role.READ, note="for the dashboard")

    assert key.startswith(f"sk-sekha-{kept.id}-")
    assert len(key.removeprefix(f"sk-sekha-{kept.id}-")) == 43
    assert kept.digest == digest_of(key)
    assert key not in kept.model_dump_json()
    assert kept.digest not in repr(kept)
    assert kept.created_at == 100.0


def test_a_key_is_shown_without_what_it_is_looked_up_by() -> None:
    key, kept = new_key(0.0, note="mine")

    shown = kept.shown()

    assert (shown["id"], shown["note"], shown["role"]) == (kept.id, "mine", "user")
    assert kept.digest[:8] not in str(shown)
    assert key[-43:] not in str(shown)


def test_no_two_keys_are_the_same() -> None:
    assert len({new_key(0.0)[0] for _ in range(100)}) == 100


def test_no_key_has_a_role_that_there_is_not() -> None:
    with pytest.raises(ValidationError):
        new_key(0.0, role="root")  # type: ignore[arg-type]


def test_who_was_revoked_before_stays_so_from_then() -> None:
    _, kept = new_key(0.0)

    assert revoked(revoked(kept, 5.0), 9.0).revoked_at == 5.0


def test_a_budget_of_less_than_a_nano_dollar_is_a_mistake_because_it_would_be_one_of_nothing() -> None:
    with pytest.raises(ValidationError):
        BudgetConfig(limit=1e-10)

    assert nano_dollars(BudgetConfig(limit=1e-9).limit) == 1
