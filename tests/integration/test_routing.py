"""Where a request would go. Nothing is called here."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.serving import NOWHERE, Gateway, gateway_config, inline

MARKET = gateway_config(
    inline(
        "near",
        NOWHERE,
        {"model_id": "nomic-embed-text", "task": "embedding"},
        {"model_id": "llama3.1:8b", "task": "chat_large", "context_window": 8192},
        type="ollama",
        priority=1,
    ),
    inline(
        "dear",
        NOWHERE,
        {"model_id": "text-embedding-3-small", "task": "embedding"},
        {"model_id": "gpt-4", "task": "chat_small"},
        {"model_id": "gpt-4o-mini", "task": "chat_smart"},
        {"model_id": "gpt-4o", "task": "chat_smart", "context_window": 128000},
        {"model_id": "gpt-4o", "task": "chat_large", "context_window": 128000},
        {"model_id": "gpt-4o", "task": "vision", "supports_vision": True},
        {"model_id": "gpt-4o-mini", "task": "vision", "supports_vision": True},
        priority=2,
    ),
    inline("free", NOWHERE, {"model_id": "llama3.1:70b", "task": "chat_small"}, type="ollama", priority=3),
)


@pytest.fixture(scope="module")
def market(gateway: Gateway) -> Api:
    """Three providers that differ in price, priority and what their models can do."""
    return gateway(MARKET)


def place(choice: dict[str, Any]) -> tuple[str, str]:
    return choice["provider_id"], choice["model_id"]


# --- one provider -------------------------------------------------------------------------------------


@pytest.mark.contract(14)
def test_an_embedding_stays_at_home(local: Api) -> None:
    assert local.routed("embedding") == {
        "provider_id": "ollama_local",
        "model_id": "nomic-embed-text",
        "estimated_cost": 0.0,
        "reason": "Selected by priority (1)",
        "provider_type": "ollama",
    }


@pytest.mark.contract(15)
def test_the_second_task_of_a_model_is_routable(local: Api) -> None:
    assert local.routed("chat_small")["model_id"] == "llama3.1:8b"


@pytest.mark.contract(16)
def test_a_local_model_is_within_any_budget(local: Api) -> None:
    choice = local.routed("chat_smart", require_vision=False, max_cost=0.10)

    assert place(choice) == ("ollama_local", "llama3.1:8b")
    assert choice["estimated_cost"] == 0.0


@pytest.mark.contract(23)
def test_a_task_without_a_model_is_503(local: Api) -> None:
    answer = local.route("audio")

    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("No providers available for task 'audio'")


@pytest.mark.contract(36)
def test_nobody_sees_on_a_local_gateway(local: Api) -> None:
    answer = local.route("chat_smart", require_vision=True)

    assert answer.status_code == 503
    assert "No providers available" in answer.json()["detail"]


@pytest.mark.contract(37)
def test_an_unknown_task_is_400_and_says_which_there_are(local: Api) -> None:
    answer = local.route("foo")

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Invalid task 'foo'. Valid tasks: ['embedding', 'chat_small'")


@pytest.mark.contract(37)
def test_a_cost_in_words_is_422(local: Api) -> None:
    assert local.route("chat_smart", max_cost="cheap").status_code == 422


# --- two providers ------------------------------------------------------------------------------------


@pytest.mark.contract(17)
def test_a_smart_chat_goes_to_the_cloud_at_the_listed_price(hybrid: Api) -> None:
    choice = hybrid.routed("chat_smart", max_cost=0.10)

    assert place(choice) == ("openai_cloud", "gpt-4o")
    assert choice["estimated_cost"] == pytest.approx(0.0075, abs=1e-4)


@pytest.mark.contract(18)
def test_a_tiny_budget_keeps_a_small_chat_at_home(hybrid: Api) -> None:
    assert place(hybrid.routed("chat_small", max_cost=0.0001)) == ("ollama_local", "llama3.1:8b")


@pytest.mark.contract(25)
def test_too_small_a_budget_is_503_and_says_so(hybrid: Api) -> None:
    answer = hybrid.route("chat_smart", max_cost=0.001)

    assert answer.status_code == 503
    detail = answer.json()["detail"]
    assert detail.startswith("No suitable providers available for task 'chat_smart'")
    assert "costs $0.0075" in detail


@pytest.mark.contract(26)
def test_a_budget_of_exactly_the_estimate_passes(hybrid: Api) -> None:
    assert hybrid.routed("chat_smart", max_cost=0.0075)["model_id"] == "gpt-4o"


@pytest.mark.contract(28)
def test_a_preferred_model_is_chosen_and_the_reason_says_so(hybrid: Api) -> None:
    choice = hybrid.routed("chat_smart", preferred_model="gpt-4o")

    assert choice["model_id"] == "gpt-4o"
    assert "preferred" in choice["reason"].lower()


@pytest.mark.contract(29)
def test_an_unknown_preference_changes_nothing(hybrid: Api) -> None:
    choice = hybrid.routed("chat_smart", preferred_model="gpt-9")

    assert choice["model_id"] == "gpt-4o"
    assert choice["reason"] == "Selected by priority (2)"


@pytest.mark.contract(31)
def test_a_preference_over_budget_gives_way(hybrid: Api) -> None:
    choice = hybrid.routed("chat_small", preferred_model="gpt-4o", max_cost=0.001)

    assert place(choice) == ("ollama_local", "llama3.1:8b")


@pytest.mark.contract(32)
def test_a_chat_model_never_embeds(hybrid: Api) -> None:
    assert hybrid.routed("embedding", preferred_model="gpt-4o")["model_id"] == "nomic-embed-text"


@pytest.mark.parametrize("preferred_model", [None, "llama3.1:8b"])
@pytest.mark.contract(33)
def test_who_must_see_goes_to_a_model_that_sees(hybrid: Api, preferred_model: str | None) -> None:
    choice = hybrid.routed("chat_smart", require_vision=True, preferred_model=preferred_model)

    assert choice["model_id"] == "gpt-4o"


@pytest.mark.contract(34)
def test_a_chat_model_that_sees_serves_vision(hybrid: Api) -> None:
    choice = hybrid.routed("vision")

    entries = hybrid.get("/api/v1/models").json()
    assert choice["model_id"] == "gpt-4o"
    assert any(entry["model_id"] == "gpt-4o" and entry["supports_vision"] for entry in entries)


@pytest.mark.contract(39)
def test_twenty_at_once_get_the_same_answer(hybrid: Api) -> None:
    def timed(_: int) -> tuple[float, dict[str, Any]]:
        started = time.monotonic()
        choice = hybrid.routed("chat_smart", max_cost=0.10)
        return time.monotonic() - started, choice

    with ThreadPoolExecutor(20) as callers:
        answers = list(callers.map(timed, range(20)))

    assert all(choice == answers[0][1] for _, choice in answers)
    assert max(seconds for seconds, _ in answers) < 3


# --- a market -----------------------------------------------------------------------------------------


@pytest.mark.contract(19)
def test_the_lower_priority_number_wins(market: Api) -> None:
    choice = market.routed("embedding")

    assert place(choice) == ("near", "nomic-embed-text")
    assert "priority" in choice["reason"]


@pytest.mark.contract(20)
def test_among_equals_the_cheaper_model_wins(market: Api) -> None:
    assert place(market.routed("chat_smart")) == ("dear", "gpt-4o-mini")


@pytest.mark.contract(24)
def test_a_dear_first_choice_gives_way_to_a_free_one(market: Api) -> None:
    assert market.routed("chat_small")["model_id"] == "gpt-4"

    choice = market.routed("chat_small", max_cost=0.01)

    assert place(choice) == ("free", "llama3.1:70b")
    assert choice["estimated_cost"] <= 0.01


@pytest.mark.contract(35)
def test_a_small_budget_sees_with_the_small_model(market: Api) -> None:
    assert market.routed("vision", max_cost=0.01)["model_id"] == "gpt-4o-mini"


@pytest.mark.contract(38)
def test_a_long_text_needs_a_large_window(market: Api) -> None:
    assert market.routed("chat_large")["model_id"] == "llama3.1:8b"
    assert market.routed("chat_large", context_size=100_000)["model_id"] == "gpt-4o"
    assert market.route("chat_large", context_size=9_000_000).status_code == 503


@pytest.mark.contract(27)
def test_the_configured_limit_holds_for_everyone(gateway: Gateway) -> None:
    only_gpt_4o = inline("dear", NOWHERE, {"model_id": "gpt-4o", "task": "chat_smart"})
    frugal = gateway(gateway_config(only_gpt_4o, routing={"max_cost_per_request": 0.001}))

    answer = frugal.route("chat_smart")

    assert answer.status_code == 503
    assert "No suitable providers available" in answer.json()["detail"]
