"""
Advice about a valid configuration that may not do what it seems to.

Each piece is one sentence, for `sekha check` and the start. None contains a key.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from serve_app.config.environment import BUDGET, CALLER_KEYS
from serve_app.config.plugins import PROVIDERS, STRATEGIES, hidden_plugins
from serve_app.config.provider_types import litellm_types
from serve_app.config.secret import Secret
from serve_app.config.settings import Settings
from serve_app.providers.catalogue.rows import VARIABLES, VENDORS, VLLM

SHORTEST_KEY = 16  # characters; a shorter key can be guessed
LEAST_JWT_SECRET = 32  # bytes, as HS256 requires
_MINE = "SEKHA_"
_READ = (
    *CALLER_KEYS,
    "SEKHA_CONFIG",
    "SEKHA_LLM_PROVIDERS",
    "SEKHA_DEFAULT_MODELS",
    "SEKHA_OLLAMA_URL",
    "SEKHA_STATE_DIR",
    "SEKHA_URL",
    "SEKHA_ADMIN_KEY",
)
_OTHERS = (*VARIABLES, BUDGET, "CB_FAILURE_THRESHOLD")
_NEAR = 0.85


def advice(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the sentences, most urgent first."""
    found = chain(
        _short_keys(settings, environ),
        _keys_that_lead_nowhere(settings, environ),
        _tokens(settings, environ),
        _endpoint_without_provider(settings),
        _variables_nobody_reads(settings, environ),
        hidden_plugins(STRATEGIES, STRATEGIES.built_in),
        hidden_plugins(PROVIDERS, {*VENDORS, *litellm_types()}),
    )
    return tuple(found)


def _key_places(settings: Settings) -> Iterator[tuple[str, Secret]]:
    for index, entry in enumerate(settings.auth.api_keys):
        yield f"auth.api_keys[{index}]", entry.key
    for index, secret in enumerate(settings.auth.admin_keys):
        yield f"auth.admin_keys[{index}]", secret


def _words(secret: Secret, environ: Mapping[str, str]) -> list[str]:
    return [word.strip() for word in (secret.reveal(environ) or "").split(",") if word.strip()]


def _short_keys(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    for place, secret in _key_places(settings):
        for word in _words(secret, environ):
            if len(word) < SHORTEST_KEY:
                yield (
                    f"{place}: {secret.shown} has a key of {len(word)} characters, which can be guessed; "
                    f"make it at least {SHORTEST_KEY}, for example with `openssl rand -hex 24`"
                )


def _keys_that_lead_nowhere(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    for place, secret in _key_places(settings):
        if not _words(secret, environ):
            yield f"{place}: {secret.shown} is not set, so this key admits no caller"


def _tokens(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    jwt = settings.auth.jwt
    if jwt is None:
        return
    if jwt.secret is not None:
        length = len((jwt.secret.reveal(environ) or "").encode())
        if length < LEAST_JWT_SECRET:
            yield (
                f"auth.jwt.secret: {jwt.secret.shown} holds {length} bytes; HS256 needs {LEAST_JWT_SECRET}, "
                "so no such token is accepted"
            )
    if jwt.jwks is not None and "://" not in jwt.jwks and not Path(jwt.jwks).is_file():
        yield f"auth.jwt.jwks: there is no file '{jwt.jwks}', so no RS256 token is accepted"


def _endpoint_without_provider(settings: Settings) -> Iterator[str]:
    endpoint = settings.backends.vllm_endpoint
    if endpoint is not None and all(provider.type != VLLM.type for provider in settings.llm_providers):
        yield (
            f"backends.vllm_endpoint ({VLLM.address_variable}): no provider of type {VLLM.type} is "
            f"configured, so no call goes to {endpoint}; add one to llm_providers"
        )


def _variables_nobody_reads(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield names similar to one of the gateway's; Kubernetes sets others for a Service called `sekha`."""
    references = settings.model_dump_json()
    for name, value in environ.items():
        is_ours = name in (*_READ, *_OTHERS) or name.startswith("SEKHA__")
        if is_ours or not value.strip() or re.search(rf"\$\{{{re.escape(name)}\b", references):
            continue
        known = _READ if name.startswith(_MINE) else _OTHERS
        if near := difflib.get_close_matches(name, known, n=1, cutoff=_NEAR):
            yield f"{name} is set but not used; did you mean {near[0]}?"
