"""Version 1 spoke in variables; they still start a gateway, with a warning."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from serve_app.config import legacy
from serve_app.config.load import Loaded, load

CUSTOM = {
    "llm_providers": [
        {"id": "custom", "type": "ollama", "models": [{"model_id": "m", "task": "chat_small"}]}
    ],
    "default_models": {"chat_fast": "m"},
}


def loaded(source: Any = None, **environ: str) -> Loaded:
    return load(source, environ, folder=Path("/nonexistent"), ollama_models=lambda _: None)


@pytest.mark.contract(60)
def test_v1_variables_become_one_provider(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = loaded(
            OLLAMA_URL="http://old:11434",
            EMBEDDING_MODEL="nomic-embed-text",
            SUMMARIZATION_MODEL="llama3.1:8b",
        )

    (provider,) = found.settings.llm_providers
    assert (provider.id, provider.type, provider.base_url) == (
        "ollama_migrated",
        "ollama",
        "http://old:11434",
    )
    assert (provider.priority, provider.timeout, provider.api_key) == (1, 120, None)
    assert [(m.model_id, m.task, m.context_window, m.dimension) for m in provider.models] == [
        ("nomic-embed-text", "embedding", 512, 768),
        ("llama3.1:8b", "chat_small", 8192, None),
        ("llama3.1:8b", "chat_smart", 8192, None),
    ]
    defaults = found.settings.default_models
    assert defaults is not None
    assert (defaults.embedding, defaults.chat_fast, defaults.chat_smart, defaults.chat_vision) == (
        "nomic-embed-text",
        "llama3.1:8b",
        "llama3.1:8b",
        None,
    )
    assert "OLLAMA_URL, EMBEDDING_MODEL, SUMMARIZATION_MODEL" in caplog.text
    assert found.source == "v1 variables"


@pytest.mark.contract(61)
def test_with_providers_nothing_is_migrated() -> None:
    found = loaded(CUSTOM, OLLAMA_URL="http://old:11434", EMBEDDING_MODEL="x")
    assert [p.id for p in found.settings.llm_providers] == ["custom"]

    found = loaded(OLLAMA_URL="http://old:11434", SEKHA__LLM_PROVIDERS=json.dumps(CUSTOM["llm_providers"]))
    assert [p.id for p in found.settings.llm_providers] == ["custom"]


def test_a_file_without_providers_keeps_what_it_says_of_the_rest() -> None:
    found = loaded({"routing": {"auto_fallback": False}}, OLLAMA_BASE_URL="http://old:11434").settings

    assert found.llm_providers[0].id == "ollama_migrated"
    assert found.routing.auto_fallback is False


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://localhost:11434"),
        ({"LLM_URL": "http://d"}, "http://d"),
        ({"LLM_URL": "http://d", "SEKHA_OLLAMA_URL": "http://c"}, "http://c"),
        ({"SEKHA_OLLAMA_URL": "http://c", "OLLAMA_BASE_URL": "http://b"}, "http://b"),
        ({"OLLAMA_BASE_URL": "http://b", "OLLAMA_URL": "http://a"}, "http://a"),
        ({"OLLAMA_URL": " ", "LLM_URL": "http://d"}, "http://d"),
    ],
)
def test_the_first_address_counts(environ: dict[str, str], url: str) -> None:
    assert legacy.migrated(environ)[0]["llm_providers"][0]["base_url"] == url


@pytest.mark.parametrize(
    ("model", "length"),
    [
        ("nomic-embed-text", 768),
        ("nomic-embed-text:latest", 768),
        ("mxbai-embed-large", 1024),
        ("text-embedding-3-small", 1536),
        ("text-embedding-ada-002", 1536),
        ("text-embedding-3-large", 3072),
        ("something-else", 768),
    ],
)
def test_the_length_of_known_vectors(model: str, length: int) -> None:
    (provider,) = loaded(EMBEDDING_MODEL=model).settings.llm_providers

    assert provider.models[0].dimension == length


def test_chat_model_beats_summarization_model_and_the_others_are_listed_too() -> None:
    (provider,) = loaded(
        CHAT_MODEL="a", SUMMARIZATION_MODEL="b", EXTRACTION_MODEL="c", VISION_MODEL="llava:7b"
    ).settings.llm_providers

    assert [(m.model_id, str(m.task)) for m in provider.models[1:]] == [
        ("a", "chat_small"),
        ("a", "chat_smart"),
        ("c", "chat_small"),
        ("llava:7b", "vision"),
    ]


@pytest.mark.parametrize("word", ["", "none", "None"])
def test_no_vision_model_is_a_choice(word: str) -> None:
    (provider,) = loaded(CHAT_MODEL="a", VISION_MODEL=word).settings.llm_providers

    assert len(provider.models) == 3
