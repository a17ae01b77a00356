"""
The loading of `Settings` from a file and the environment; one error lists every mistake.

    a file or a mapping     the argument; else CONFIG_PATH, SEKHA_CONFIG, LLM_CONFIG_PATH; else ./config.yaml
    variables over it       SEKHA__… and their synonyms (environment.py)
    no providers so far     v1 variables (legacy.py); without a file, discovery (discover.py)
    ${VAR} expanded         everywhere but in keys (expand.py)
    validation              by the types (settings.py); their errors become sentences (mistakes.py)

An invalid value never falls back to a default.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from serve_app.config import legacy
from serve_app.config.amounts import FROM_TEXT
from serve_app.config.default_models import default_models
from serve_app.config.discover import ServedModels, discovered
from serve_app.config.environment import BUDGET, CALLER_KEYS, Override, overrides, put
from serve_app.config.expand import expanded
from serve_app.config.mistakes import Mistake, config_error, mistakes_of
from serve_app.config.names import Path as KeyPath
from serve_app.config.names import annotation_at, canonical, spelled
from serve_app.config.read import read_file
from serve_app.config.served_models import ollama_models as ask_ollama
from serve_app.config.served_models import vllm_models as ask_vllm
from serve_app.config.settings import Settings, with_old_keys_in_place
from serve_app.errors import ConfigError
from serve_app.providers.catalogue.rows import vendor

FILE_VARIABLES = ("CONFIG_PATH", "SEKHA_CONFIG", "LLM_CONFIG_PATH")
FILE_IN_FOLDER = "config.yaml"

log = logging.getLogger("sekha.config")


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    Settings, with notes for the operator.

    Attributes:
        source: where the providers are from.
        notes: sentences about what was found, assumed or missing. Those that are warnings were also logged.
    """

    settings: Settings
    source: str
    notes: tuple[str, ...] = ()


def load_settings(source: str | Path | Mapping[str, Any] | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings alone; see `load`."""
    return load(source, environ).settings


def load(
    source: str | Path | Mapping[str, Any] | None,
    environ: Mapping[str, str],
    *,
    ollama_models: ServedModels = ask_ollama,
    vllm_models: ServedModels = ask_vllm,
    folder: Path = Path(),
) -> Loaded:
    """
    Load the configuration.

    Args:
        source: a path or the data itself; None: look for a file.
        environ: the environment variables.
        ollama_models, vllm_models: ask a server for its models; called only if no providers are configured.
        folder: where to look for `config.yaml`.

    Raises:
        ConfigError: the configuration is invalid.
    """
    try:
        draft = _Draft(*_base(source, environ, folder))
        draft.lay_over(environ)
        if not draft.mistakes:
            draft.find_providers(environ, ollama_models, vllm_models)
        return draft.checked(environ)
    except RecursionError:
        raise ConfigError("the configuration is nested too deeply, or contains itself") from None


def _base(
    source: str | Path | Mapping[str, Any] | None, environ: Mapping[str, str], folder: Path
) -> tuple[Mapping[Any, Any], str | None]:
    """Return the configuration before environment variables, and its name; None: there is no file."""
    if isinstance(source, Mapping):
        return source, "configuration"
    if source is not None:
        return read_file(Path(source)), str(source)
    for variable in FILE_VARIABLES:
        if path := environ.get(variable, "").strip():
            return read_file(Path(path), variable), path
    usual = folder / FILE_IN_FOLDER
    if usual.exists():
        return read_file(usual), str(usual)
    return {}, None


class _Draft:
    """A configuration that is being loaded: raw data by canonical names, and the origin of each value."""

    def __init__(self, data: Mapping[Any, Any], origin: str | None) -> None:
        self.origin = origin
        self.source = origin or "environment"
        self.notes: list[str] = []
        self.mistakes: list[Mistake] = []
        self.variables: dict[KeyPath, str] = {}
        try:
            data = with_old_keys_in_place(data)
        except ValueError as error:
            self.mistakes.append(Mistake(self.source, (), str(error)))
        self.data: dict[Any, Any] = self._canonical(data, (), self.source)

    def _canonical(self, data: Any, path: KeyPath, origin: str) -> Any:
        data, clashes = canonical(annotation_at(Settings, path), data, path)
        self.mistakes += [Mistake(origin, at, text) for at, text in clashes]
        return data

    def lay_over(self, environ: Mapping[str, str]) -> None:
        """Apply the environment variables."""
        found, mistakes = overrides(environ)
        self.mistakes += mistakes
        for override in found:
            self._put(override)
        for variable, field in CALLER_KEYS.items():
            if environ.get(variable, "").strip():
                self._add_caller_keys(variable, field)
        limit = environ.get(BUDGET, "").strip()
        if limit and not self.data.get("budgets"):
            self._put(Override(("budgets",), [{"limit": limit, "window": "total"}], BUDGET))

    def _put(self, override: Override) -> None:
        value = self._canonical(override.value, override.path, override.variable)
        if trouble := put(self.data, override.path, value):
            self.mistakes.append(Mistake(override.variable, override.path, trouble))
            return
        self.variables[override.path] = override.variable
        if override.path == ("llm_providers",):
            self.source = override.variable

    def _add_caller_keys(self, variable: str, field: str) -> None:
        auth = self.data.setdefault("auth", {})
        keys = auth.setdefault(field, []) if isinstance(auth, dict) else None
        if isinstance(keys, list):
            keys.append(f"${{{variable}}}")

    def find_providers(
        self, environ: Mapping[str, str], ollama_models: ServedModels, vllm_models: ServedModels
    ) -> None:
        """Find providers if none are configured: in version 1 variables, then by discovery."""
        if self.data.get("llm_providers", []) == []:
            self._look_elsewhere(environ, ollama_models, vllm_models)
        elif self.data.get("default_models") is None:
            self._add_default_models()

    def _look_elsewhere(
        self, environ: Mapping[str, str], ollama_models: ServedModels, vllm_models: ServedModels
    ) -> None:
        if legacy.is_meant(environ, has_file=self.origin is not None):
            found, note = legacy.migrated(environ)
            self._warn(note)
            self.source = "v1 variables"
        elif self.origin is None and "llm_providers" not in self.data:
            found, notes = discovered(environ, ollama_models, vllm_models, self._vllm_endpoint())
            self.notes += notes
            self.source = "discovery"
        else:
            return
        mine = {key: value for key, value in self.data.items() if key != "llm_providers"}
        self.data = {**found, **mine}

    def _vllm_endpoint(self) -> str | None:
        backends = self.data.get("backends")
        endpoint = backends.get("vllm_endpoint") if isinstance(backends, Mapping) else None
        return endpoint if isinstance(endpoint, str) else None

    def _add_default_models(self) -> None:
        chosen = default_models(self.data["llm_providers"])
        self.data["default_models"] = chosen
        named = ", ".join(f"{kind} {name}" for kind, name in chosen.items() if name)
        self._warn(f"default_models is not set: {named or 'no model'} chosen from {self.source}")

    def checked(self, environ: Mapping[str, str]) -> Loaded:
        """Return the validated settings; raise ConfigError with all mistakes."""
        data, missing = expanded(Settings, self.data, environ)
        for path, names in missing.items():
            which = f"variable {names[0]} is" if len(names) == 1 else f"variables {', '.join(names)} are"
            self._warn(f"{self._origin_of(path)}: {spelled(path)}: {which} not set, so the value is null")
        settings = None
        try:
            settings = Settings.model_validate(data, context={FROM_TEXT: True})
        except ValidationError as error:
            earlier = bool(self.mistakes)
            for at, text in mistakes_of(error, Settings, self.data, missing):
                if at or not earlier:  # a mistake of the whole may only follow from the others
                    self.mistakes.append(Mistake(self._origin_of(at), at, text))
        if settings is not None:
            self._require_addresses(settings)
        if self.mistakes or settings is None:
            raise config_error(self.mistakes)
        return Loaded(settings, self.source, tuple(self.notes))

    def _require_addresses(self, settings: Settings) -> None:
        for index, provider in enumerate(settings.llm_providers):
            if vendor(provider.type).needs_address and provider.base_url is None and provider.local is None:
                path: KeyPath = ("llm_providers", index, "base_url")
                here = ", or 'local', to host its model here" if vendor(provider.type).hosts_models else ""
                text = f"is required for type {provider.type}: the address of its server{here}"
                self.mistakes.append(Mistake(self._origin_of(path), path, text))

    def _origin_of(self, path: KeyPath) -> str:
        for length in range(len(path), 0, -1):
            if variable := self.variables.get(path[:length]):
                return variable
        return self.origin or self.source

    def _warn(self, sentence: str) -> None:
        log.warning("%s", sentence)
        self.notes.append(sentence)
