"""The work endpoints on a real Ray Serve: over HTTP, and from Python."""

import json

import pytest

from serve_app.clients.gateway import GatewayClient
from serve_app.clients.routed import RoutedClient
from tests.support.api import Api
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio


@pytest.mark.contract(68)
def test_a_text_becomes_a_vector(local: Api) -> None:
    answer = local.post("/embed", {"text": "hi"})

    assert answer.status_code == 200
    assert answer.json()["dimension"] == len(answer.json()["embedding"]) > 0
    assert answer.json()["model"] == "nomic-embed-text"


@pytest.mark.contract(69)
def test_messages_become_a_summary(local: Api, ollama_upstream: ScriptedUpstream) -> None:
    answer = local.post("/api/v1/summarize", {"messages": ["rain", "sun"], "level": "weekly"})

    assert answer.status_code == 200
    assert answer.json()["summary"].startswith("Hello from llama3.1:8b")
    assert "[1] rain\n\n[2] sun" in ollama_upstream.last.json["messages"][1]["content"]


@pytest.mark.contract(71)
def test_a_score_goes_on_where_the_only_provider_fails(local: Api) -> None:
    orders = json.dumps({"status": 400})

    answer = local.post("/score", {"conversation": f"[[{orders}]]"})

    assert answer.status_code == 200
    assert answer.json()["reasoning"].startswith("Failed to score")


@pytest.mark.contract(103)
async def test_work_from_python_says_who_did_it(local: Api) -> None:
    client = RoutedClient(GatewayClient("local", timeout_s=60))

    vector = await client.embed_text_routed("hi", max_cost=0.001)
    summary = await client.summarize_routed(["rain"], "daily")

    assert vector.routing is not None
    assert (vector.routing.provider_id, vector.routing.estimated_cost) == ("ollama_local", 0.0)
    assert vector.result == local.post("/embed", {"text": "hi"}).json()["embedding"]
    assert summary.result.startswith("Hello from llama3.1:8b")
