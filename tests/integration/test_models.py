"""What is configured: models, tasks, provider health."""

import pytest

from tests.support.api import Api

FIELDS = {
    "model_id",
    "provider_id",
    "task",
    "context_window",
    "dimension",
    "supports_vision",
    "supports_audio",
}


@pytest.mark.contract(1)
def test_models_lists_one_entry_per_task(local: Api) -> None:
    entries = local.get("/api/v1/models").json()

    assert [(entry["model_id"], entry["task"]) for entry in entries] == [
        ("nomic-embed-text", "embedding"),
        ("llama3.1:8b", "chat_small"),
        ("llama3.1:8b", "chat_smart"),
    ]


@pytest.mark.contract(2)
def test_an_entry_has_exactly_the_seven_fields(local: Api) -> None:
    entries = local.get("/api/v1/models").json()

    assert all(set(entry) == FIELDS for entry in entries)
    assert [entry["dimension"] for entry in entries] == [768, None, None]
    assert not any(entry["supports_vision"] or entry["supports_audio"] for entry in entries)


@pytest.mark.contract(3)
def test_a_model_that_sees_says_so(hybrid: Api) -> None:
    entries = {entry["model_id"]: entry for entry in hybrid.get("/api/v1/models").json()}

    assert entries["gpt-4o"]["supports_vision"] is True
    assert entries["gpt-4o"]["context_window"] == 128000


@pytest.mark.contract(4)
def test_tasks_are_the_six_in_order(local: Api) -> None:
    tasks = local.get("/api/v1/tasks")

    assert tasks.json() == ["embedding", "chat_small", "chat_large", "chat_smart", "vision", "audio"]
    assert local.post("/api/v1/tasks").status_code == 405


@pytest.mark.contract(5)
def test_a_new_provider_is_healthy(local: Api) -> None:
    told = local.providers()

    assert (told["total_providers"], told["healthy_providers"], told["total_models"]) == (1, 1, 3)
    assert told["providers"]["ollama_local"]["models_count"] == 3
    breaker = told["providers"]["ollama_local"]["circuit_breaker"]
    assert (breaker["state"], breaker["failure_count"], breaker["last_failure_time"]) == ("closed", 0, None)


@pytest.mark.contract(6)
def test_two_closed_breakers_are_two_healthy_providers(hybrid: Api) -> None:
    told = hybrid.providers()

    assert (told["total_providers"], told["healthy_providers"]) == (2, 2)
    assert set(told["providers"]) == {"ollama_local", "openai_cloud"}
