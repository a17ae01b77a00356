"""
The discovery of providers without a configuration: servers on the machine, and keys in the environment.

Pure: calls to servers are passed in. Keys stay references, as in any configuration.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from serve_app.config import legacy
from serve_app.config.default_models import default_models
from serve_app.providers.catalogue.rows import OLLAMA, SCRIPTED, VENDORS, VLLM
from serve_app.providers.catalogue.vendor import Vendor

ServedModels = Callable[[str], Sequence[str] | None]
"""A query for the models of the server at this address; None: no server answers."""

_EMBEDS = ("embed", "bge-", "minilm", "e5-", "gte-", "paraphrase")
_SEES = ("llava", "vision", "-vl", "vl:", "moondream", "minicpm-v", "gemma3", "mistral-small3")


def discovered(
    environ: Mapping[str, str],
    ollama_models: ServedModels,
    vllm_models: ServedModels,
    vllm_endpoint: str | None = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """
    Return raw settings with the discovered providers, best first, and a note for each one found or missing.

    `vllm_endpoint` is the configured address of a vLLM. It comes last: the vendors' models are larger, and an
    operator switches to vLLM with `POST /api/admin/backend/switch`.
    """
    notes: list[str] = []
    providers = [
        *_ollama(environ, ollama_models, notes),
        *_clouds(environ, notes),
        *_vllm(vllm_endpoint, vllm_models, notes),
    ]
    if not providers:
        providers = [_provider(SCRIPTED, SCRIPTED.starter.models)]
        notes.append(
            f"nothing found: '{SCRIPTED.starter.provider_id}' answers with made-up text, so that everything "
            "can be tried"
        )
    ranked = [{**provider, "priority": rank} for rank, provider in enumerate(providers, start=1)]
    return {"llm_providers": ranked, "default_models": default_models(ranked)}, tuple(notes)


def _ollama(
    environ: Mapping[str, str], ollama_models: ServedModels, notes: list[str]
) -> Iterator[dict[str, Any]]:
    named = environ.get(OLLAMA.address_variable, "").strip()
    url = named or OLLAMA.base_url
    names = ollama_models(url)
    if names:
        notes.append(f"found Ollama at {url} with {', '.join(names)}")
        models = [model for name in names for model in _ollama_model(name)]
        yield {**_provider(OLLAMA, models), "base_url": url}
    elif names is not None:
        notes.append(f"found Ollama at {url}, but it has no models: try `ollama pull {legacy.DEFAULT_CHAT}`")
    elif named:
        notes.append(
            f"{OLLAMA.address_variable} names an Ollama at {url} that does not answer: kept, with the usual "
            "models"
        )
        yield legacy.migrated(environ)[0]["llm_providers"][0]
    else:
        notes.append(f"no Ollama at {url}")


def _ollama_model(name: str) -> Iterator[dict[str, Any]]:
    """
    Yield the entries of an Ollama model; its task is guessed from its name, because Ollama does not report
    it.
    """
    lower = name.lower()
    if any(word in lower for word in _EMBEDS):
        known = legacy.DIMENSIONS.get(name.partition(":")[0])
        yield {"model_id": name, "task": "embedding", "dimension": known}
        return
    sees = {"supports_vision": True} if any(word in lower for word in _SEES) else {}
    yield {"model_id": name, "task": "chat_small", **sees}
    yield {"model_id": name, "task": "chat_smart", **sees}


def _vllm(endpoint: str | None, vllm_models: ServedModels, notes: list[str]) -> Iterator[dict[str, Any]]:
    if endpoint is None:
        return
    found = vllm_models(endpoint)
    (expected,) = VLLM.starter.models
    if found:
        notes.append(f"found vLLM at {endpoint} with {', '.join(found)}")
    else:
        notes.append(f"no vLLM answers at {endpoint} yet: kept, with {expected['model_id']}")
    models = [
        {**expected, "model_id": name, "task": task}
        for name in found or (expected["model_id"],)
        for task in ("chat_small", "chat_smart")
    ]
    yield {**_provider(VLLM, models), "base_url": endpoint}


def _clouds(environ: Mapping[str, str], notes: list[str]) -> Iterator[dict[str, Any]]:
    for row in VENDORS.values():
        if not row.starter.models or row.key_variable is None:
            continue
        if environ.get(row.key_variable, "").strip():
            notes.append(f"found {row.key_variable}: using '{row.starter.provider_id}'")
            yield {**_provider(row, row.starter.models), "api_key": f"${{{row.key_variable}}}"}
        else:
            notes.append(f"no {row.key_variable}")


def _provider(row: Vendor, models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"id": row.starter.provider_id, "type": row.type, "models": [*models]}
