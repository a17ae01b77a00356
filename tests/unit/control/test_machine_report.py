"""What machines came to, worked out by hand."""

from dataclasses import replace
from typing import Any

import pytest

from serve_app.config.settings import Settings
from serve_app.control.machine_report import Machine, hourly_of_vllm, machines_of
from serve_app.ledger.entry import NOT_A_TENANT
from serve_app.ledger.store import Spend
from serve_app.pricing.money import nano_dollars
from tests.support.settings import settings

FOUR_DOLLARS = nano_dollars(4)
HOUR_MS = 3_600_000


def spend(provider_id: str, machine_ms: int = 0, tokens: int = 0, day: float = 0.0) -> Spend:
    return Spend(day, "t", "c", provider_id, "m", 1, 0, tokens, 0, 0, machine_ms)


def configured(*providers: dict[str, Any], **more: Any) -> Settings:
    return settings({"llm_providers": list(providers), "default_models": {}}, **more)


def vllm(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "vllm", **more}


def test_ten_hours_of_which_three_were_used() -> None:
    machine = Machine(FOUR_DOLLARS, 10 * HOUR_MS, 3 * HOUR_MS, 8_000_000)

    assert machine.hours == 10
    assert machine.cost == nano_dollars(40)
    assert machine.attributed == nano_dollars(12)
    assert machine.idle == nano_dollars(28)
    assert machine.per_million_tokens == nano_dollars(5)


def test_without_a_token_there_is_nothing_to_divide_by() -> None:
    assert Machine(FOUR_DOLLARS, HOUR_MS).per_million_tokens is None


def test_moments_that_were_counted_twice_leave_nothing_idle() -> None:
    assert Machine(FOUR_DOLLARS, HOUR_MS, 2 * HOUR_MS).idle == 0


def test_of_a_machine_whose_hours_nobody_counts_only_the_used_ones_are_known() -> None:
    machine = Machine(FOUR_DOLLARS, None, HOUR_MS, 2_000_000)

    assert (machine.hours, machine.cost, machine.idle) == (None, None, None)
    assert machine.per_million_tokens == nano_dollars(2)


def test_the_sums_of_all_days_and_callers_are_added_up() -> None:
    config = configured({"id": "box", "type": "ollama", "hourly_rate": 4.0})
    spends = [spend("box", 1000, 10), spend("box", 500, 5, day=86_400.0), spend("gone", 7)]

    assert machines_of(config, spends, None) == {"box": Machine(FOUR_DOLLARS, None, 1500, 15)}


def test_the_idle_time_of_a_machine_that_we_host_is_in_the_ledger() -> None:
    model = {"model_id": "m", "task": "chat_small"}
    config = configured(vllm("home", hourly_rate=4.0, local={}, models=[model]), vllm("one"))
    idle = replace(spend("home", 2 * HOUR_MS), tenant=NOT_A_TENANT)

    found = machines_of(config, [spend("home", HOUR_MS, 10), idle], None)

    assert found == {"home": Machine(FOUR_DOLLARS, 3 * HOUR_MS, HOUR_MS, 10)}
    assert found["home"].idle == nano_dollars(8)


def test_hours_of_vllm_are_those_of_the_first_vllm() -> None:
    config = configured(vllm("one", hourly_rate=4.0), vllm("two", hourly_rate=4.0), vllm("three"))

    found = machines_of(config, [], 5 * HOUR_MS)

    assert found == {"one": Machine(FOUR_DOLLARS, 5 * HOUR_MS), "two": Machine(FOUR_DOLLARS, None)}


@pytest.mark.parametrize(
    ("providers", "more", "dollars"),
    [
        ([vllm("one")], {}, 0.16),
        ([vllm("one")], {"backends": {"vllm_hourly_rate": 2}}, 2),
        ([vllm("one", hourly_rate=4), vllm("two", hourly_rate=8)], {"backends": {"vllm_hourly_rate": 2}}, 4),
        ([vllm("one", hourly_rate=0)], {}, 0),
        ([{"id": "box", "type": "ollama", "hourly_rate": 8}], {}, 0.16),
    ],
)
def test_an_hour_of_vllm_costs_what_its_provider_says_and_else_what_the_settings_say(
    providers: list[dict[str, Any]], more: dict[str, Any], dollars: float
) -> None:
    assert hourly_of_vllm(configured(*providers, **more)) == nano_dollars(dollars)
