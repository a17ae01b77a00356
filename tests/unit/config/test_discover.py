"""Nothing is configured: what is there gets used, and the notes say what was looked for."""

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from serve_app.config.discover import ServedModels, discovered
from serve_app.config.load import Loaded, load
from serve_app.config.secret import Secret
from serve_app.config.served_models import ollama_models, vllm_models
from serve_app.config.settings import DefaultModels
from serve_app.pricing.price_list import litellm_price_file
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.catalogue.vendor import Starter
from serve_app.routing.intent import ModelNames
from serve_app.routing.target import targets_of


def nobody(_: str) -> None:
    return None


def loaded(ask: ServedModels = nobody, ask_vllm: ServedModels = nobody, **environ: str) -> Loaded:
    return load(None, environ, folder=Path("/nonexistent"), ollama_models=ask, vllm_models=ask_vllm)


def ids(found: Loaded) -> list[tuple[str, int]]:
    return [(provider.id, provider.priority) for provider in found.settings.llm_providers]


def test_with_nothing_at_all_the_simulator_answers() -> None:
    found = loaded()

    (simulator,) = found.settings.llm_providers
    assert (simulator.id, simulator.type) == ("simulator", "scripted")
    assert [(m.model_id, str(m.task)) for m in simulator.models] == [
        ("sim-small", "chat_small"),
        ("sim-smart", "chat_smart"),
        ("sim-embed", "embedding"),
    ]
    assert simulator.models[1].supports_vision
    assert simulator.models[1].supports_function_calling
    assert simulator.models[2].dimension == 64
    assert found.settings.default_models == DefaultModels(
        embedding="sim-embed", chat_fast="sim-small", chat_smart="sim-smart", chat_vision="sim-smart"
    )
    assert found.source == "discovery"
    assert found.notes[:2] == ("no Ollama at http://localhost:11434", "no OPENAI_API_KEY")


def test_an_ollama_that_answers_comes_first_and_brings_its_own_models() -> None:
    found = loaded(lambda _: ["llama3.1:8b", "nomic-embed-text:latest", "llava:7b"], OPENAI_API_KEY="sk-1")

    assert ids(found) == [("ollama_local", 1), ("openai_cloud", 2)]
    ollama = found.settings.llm_providers[0]
    assert [(m.model_id, str(m.task), m.dimension, m.supports_vision) for m in ollama.models] == [
        ("llama3.1:8b", "chat_small", None, False),
        ("llama3.1:8b", "chat_smart", None, False),
        ("nomic-embed-text:latest", "embedding", 768, False),
        ("llava:7b", "chat_small", None, True),
        ("llava:7b", "chat_smart", None, True),
    ]
    assert found.settings.default_models == DefaultModels(
        embedding="nomic-embed-text:latest",
        chat_fast="llama3.1:8b",
        chat_smart="llama3.1:8b",
        chat_vision="llava:7b",
    )


def test_every_cloud_with_a_key_is_used_in_order_and_its_key_stays_outside() -> None:
    found = loaded(ANTHROPIC_API_KEY="sk-2", OPENROUTER_API_KEY="sk-3", OPENAI_API_KEY="sk-1")

    assert ids(found) == [("openai_cloud", 1), ("anthropic_direct", 2), ("openrouter", 3)]
    assert [p.api_key for p in found.settings.llm_providers] == [
        Secret("${OPENAI_API_KEY}"),
        Secret("${ANTHROPIC_API_KEY}"),
        Secret("${OPENROUTER_API_KEY}"),
    ]
    assert [(m.model_id, str(m.task)) for m in found.settings.llm_providers[0].models] == [
        ("gpt-5.4", "chat_smart"),
        ("gpt-5.4-mini", "chat_small"),
        ("text-embedding-3-small", "embedding"),
    ]
    assert "found ANTHROPIC_API_KEY: using 'anthropic_direct'" in found.notes
    assert "sk-" not in " ".join(found.notes)


@pytest.mark.parametrize(
    "starter",
    [row.starter for row in VENDORS.values() if row.starter.models and row.key_variable],
    ids=lambda starter: starter.provider_id,
)
def test_what_a_key_alone_brings_is_in_the_bundled_price_list_and_not_withdrawn(starter: Starter) -> None:
    listed = json.loads(litellm_price_file().read_bytes())

    for model in starter.models:
        entry = listed[model["model_id"].rpartition("/")[2]]
        assert entry["mode"] == ("embedding" if model["task"] == "embedding" else "chat")
        assert date.fromisoformat(entry.get("deprecation_date") or "9999-12-31") > starter.chosen_on
        assert entry["max_input_tokens"] == model["context_window"]
        assert bool(entry.get("supports_vision")) == model.get("supports_vision", False)
        assert bool(entry.get("supports_function_calling")) == model.get("supports_function_calling", False)


def test_an_anthropic_key_and_a_vllm_endpoint_make_both_backends_and_every_tier() -> None:
    found = loaded(ANTHROPIC_API_KEY="sk-1", VLLM_ENDPOINT="http://box:8000").settings

    assert [(p.id, p.type) for p in found.llm_providers] == [
        ("anthropic_direct", "anthropic"),
        ("vllm_own", "vllm"),
    ]
    own = found.llm_providers[1]
    assert own.base_url == "http://box:8000"
    names, targets = ModelNames(targets_of(found)), {t.name: t for t in targets_of(found)}
    reached = {}
    for tier in ("haiku", "sonnet", "opus", "qwen"):
        intent = names.chat(tier)
        able = [t for t in targets.values() if t.task is intent.task or t.model_id == intent.preferred_model]
        able.sort(key=lambda t: (t.model_id != intent.preferred_model, t.priority))
        reached[tier] = able[0].model_id
    assert reached == {
        "haiku": "claude-haiku-4-5",
        "sonnet": "claude-sonnet-4-6",
        "opus": "claude-opus-4-6",
        "qwen": "Qwen/Qwen2.5-7B-Instruct",
    }


def test_a_vllm_that_answers_brings_its_own_models() -> None:
    found = loaded(ask_vllm=lambda _: ["their-model"], VLLM_ENDPOINT="http://box:8000")

    assert {m.model_id for m in found.settings.llm_providers[0].models} == {"their-model"}
    assert "found vLLM at http://box:8000 with their-model" in found.notes


def test_an_ollama_without_models_is_named_and_not_used() -> None:
    found = loaded(lambda _: [], OPENAI_API_KEY="sk-1")

    assert ids(found) == [("openai_cloud", 1)]
    assert "has no models" in found.notes[0]


def test_a_named_ollama_is_asked_and_kept_when_it_is_silent() -> None:
    asked: list[str] = []

    def silent(url: str) -> None:
        asked.append(url)

    found = loaded(silent, OLLAMA_BASE_URL="http://box:11434")

    assert asked == ["http://box:11434"]
    assert ids(found) == [("ollama_migrated", 1)]
    assert found.settings.llm_providers[0].base_url == "http://box:11434"


def test_other_settings_do_not_keep_it_from_looking() -> None:
    found = loaded(SEKHA__PORT="6000", SEKHA_API_KEYS="k")

    assert ids(found) == [("simulator", 1)]
    assert found.settings.port == 6000


@pytest.mark.parametrize(
    "environ",
    [{"OLLAMA_URL": "http://old"}, {"SEKHA__LLM_PROVIDERS": '[{"id": "a", "type": "openai"}]'}],
)
def test_nobody_is_asked_when_something_is_configured(environ: dict[str, str]) -> None:
    def never(url: str) -> None:
        pytest.fail(f"asked {url}")

    load(None, environ, folder=Path("/nonexistent"), ollama_models=never, vllm_models=never)


def test_an_empty_key_is_no_key() -> None:
    raw, notes = discovered({"OPENAI_API_KEY": " "}, nobody, nobody)

    assert raw["llm_providers"][0]["id"] == "simulator"
    assert "no OPENAI_API_KEY" in notes


class Tags(BaseHTTPRequestHandler):
    """Answers `/ok` as Ollama and vLLM do, and nonsense elsewhere."""

    def do_GET(self) -> None:
        bodies = {
            "/ok/api/tags": b'{"models": [{"name": "a:1"}, {"name": "b:2"}]}',
            "/ok/v1/models": b'{"data": [{"id": "q"}]}',
        }
        body = bodies.get(self.path, b"<html>")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Tags) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_real_ollama_tells_its_models(address: str) -> None:
    assert ollama_models(f"{address}/ok") == ("a:1", "b:2")
    assert ollama_models(f"{address}/ok/v1") == ("a:1", "b:2")


def test_a_real_vllm_tells_its_models(address: str) -> None:
    assert vllm_models(f"{address}/ok") == vllm_models(f"{address}/ok/v1/") == ("q",)
    assert vllm_models(f"{address}/other") is None


def test_whoever_is_not_ollama_is_nobody(address: str) -> None:
    assert ollama_models(f"{address}/other") is None
    assert ollama_models("file:///etc") is None
    assert ollama_models("http://127.0.0.1:1") is None
    assert ollama_models("http://[") is None
