"""The gateway as a service: health, documents, metrics, how it says no."""

from datetime import datetime

import pytest

from tests.support.api import Api

OUR_PATHS = {"/api/v1/models", "/api/v1/route", "/api/v1/health/providers", "/api/v1/tasks"}


@pytest.mark.contract(8)
def test_health_names_the_models(local: Api) -> None:
    health = local.get("/health")

    assert health.status_code == 200
    told = health.json()
    assert set(told) == {"status", "ollama_status", "models_loaded", "timestamp"}
    assert told["status"] == "healthy"
    assert told["models_loaded"] == ["nomic-embed-text", "llama3.1:8b"]
    assert datetime.fromisoformat(told["timestamp"]).tzinfo is not None


@pytest.mark.contract(10)
def test_the_service_says_who_it_is(local: Api) -> None:
    told = local.get("/").json()

    assert (told["service"], told["version"]) == ("Sekha LLM Bridge", "2.1.0")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
@pytest.mark.contract(10)
def test_the_documents_are_there(local: Api, path: str) -> None:
    assert local.get(path).status_code == 200


@pytest.mark.contract(10)
def test_the_documents_name_the_four_routing_paths(local: Api) -> None:
    documented = local.get("/openapi.json").json()

    assert documented["info"]["title"] == "Sekha LLM Bridge"
    assert set(documented["paths"]) >= OUR_PATHS


@pytest.mark.contract(11)
def test_an_unknown_path_is_404(local: Api) -> None:
    assert local.get("/nope").status_code == 404


@pytest.mark.contract(11)
def test_a_wrong_method_is_405(local: Api) -> None:
    assert local.get("/api/v1/route").status_code == 405


@pytest.mark.contract(11)
def test_a_missing_field_is_422_with_detail(local: Api) -> None:
    answer = local.post("/api/v1/route", {})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][-1] == "task"


@pytest.mark.parametrize("path", ["/api/v1/route", "/v1/chat/completions"])
@pytest.mark.contract(12)
def test_a_browser_may_ask_first(local: Api, path: str) -> None:
    asking = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}

    answer = local.http.options(path, headers=asking)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"  # there are no keys
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
@pytest.mark.contract(13)
def test_metrics_have_the_names_that_alerts_rely_on(local: Api, path: str) -> None:
    assert local.chat().status_code == 200

    metrics = local.get(path, follow_redirects=True)

    assert metrics.status_code == 200
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'circuit_breaker_state{provider="ollama_local",state="closed"} 1.0' in metrics.text
    assert 'http_requests_total{method="POST",route="/v1/chat/completions",status="200"}' in metrics.text
    assert "llm_cost_total{" in metrics.text
