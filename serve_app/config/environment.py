"""
Settings from environment variables, as (path, value, variable), which `load` puts over the file's.

    SEKHA__ROUTING__AUTO_FALLBACK=false        routing.auto_fallback
    SEKHA__LLM_PROVIDERS='[{"id": …}]'         a list or a section is JSON and replaces it as a whole
    SEKHA__LLM_PROVIDERS__0__API_KEY=…         the first provider's key, kept as a reference to the variable
    CB_FAILURE_THRESHOLD=3                     names that compose files use

An empty variable counts as unset, because compose files pass `${X:-}` on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve_app.config.health import OLD_INTERVAL
from serve_app.config.mistakes import Mistake
from serve_app.config.names import (
    Path,
    annotation_at,
    did_you_mean,
    field_called,
    is_secret,
    item_of,
    known_names,
    may_be_null,
    model_of,
)
from serve_app.config.read import parse_json
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError
from serve_app.providers.catalogue.rows import VLLM

PREFIX = "SEKHA__"
CALLER_KEYS = {"SEKHA_API_KEYS": "api_keys", "SEKHA_ADMIN_KEYS": "admin_keys"}  # variable to field of `auth`
BUDGET = "BUDGET_LIMIT"

# Weakest first. There is no SEKHA_PORT on purpose: Kubernetes sets that to `tcp://…` in every pod beside a
# Service named `sekha`.
_OTHER_NAMES: Mapping[str, Path] = {
    "LLM_PROVIDERS": ("llm_providers",),
    "DEFAULT_MODELS": ("default_models",),
    "SEKHA_LLM_PROVIDERS": ("llm_providers",),
    "SEKHA_DEFAULT_MODELS": ("default_models",),
    "CB_FAILURE_THRESHOLD": ("circuit_breaker", "failure_threshold"),
    "CB_RESET_TIMEOUT": ("circuit_breaker", "reset_timeout"),
    "CB_HALF_OPEN_TIMEOUT": ("circuit_breaker", "half_open_timeout"),
    "ROUTING_AUTO_FALLBACK": ("routing", "auto_fallback"),
    VLLM.address_variable: ("backends", "vllm_endpoint"),
    VLLM.rate_variable: ("backends", "vllm_hourly_rate"),
    "ROUTING_MAX_COST": ("routing", "max_cost_per_request"),
}


@dataclass(frozen=True, slots=True)
class Override:
    """The value of one variable, to be set at the path."""

    path: Path
    value: Any
    variable: str


def overrides(environ: Mapping[str, str]) -> tuple[list[Override], list[Mistake]]:
    """
    Return the settings in the environment, weakest first and sections before their parts, and the mistakes.
    """
    found: list[Override] = []
    mistakes: list[Mistake] = []
    places = [(name, path) for name, path in _OTHER_NAMES.items() if environ.get(name, "").strip()]
    mine = [name for name, value in environ.items() if name.startswith(PREFIX) and value.strip()]
    for name in sorted(mine, key=lambda name: (name.count("__"), name)):
        path = _path(name)
        if isinstance(path, Mistake):
            mistakes.append(path)
        else:
            places.append((name, path))
    for name, path in sorted(places, key=lambda place: len(place[1])):
        try:
            found.append(Override(path, _value(name, path, environ[name]), name))
        except ConfigError as error:
            mistakes.append(Mistake("", (), str(error)))
    return found, mistakes


def _path(variable: str) -> Path | Mistake:
    segments = variable.removeprefix(PREFIX).lower().split("__")
    if segments[:2] == ["routing", "circuit_breaker"]:
        segments = segments[1:]  # its place in the reference configuration
    if segments == [OLD_INTERVAL]:
        segments = ["health", "interval_s"]
    path: Path = ()
    for segment in segments:
        here = annotation_at(Settings, path) if path else Settings
        if item_of(here) is not None:
            if not (segment.isascii() and segment.isdigit()):
                return Mistake(
                    variable, (), f"'{segment}' must be a number: the position in the list, from 0"
                )
            path = (*path, int(segment))
            continue
        model = model_of(here)
        name = field_called(model, segment) if model else None
        if name is None:
            return Mistake(variable, (), _no_such_setting(segment, path))
        path = (*path, name)
    return path


def _no_such_setting(segment: str, path: Path) -> str:
    model = model_of(annotation_at(Settings, path) if path else Settings)
    if model is None:
        return f"unknown setting '{segment}': this setting has no members"
    known = tuple(known_names(model))
    return f"unknown setting '{segment}'{did_you_mean(segment, known) or '; there are: ' + ', '.join(known)}"


def _value(variable: str, path: Path, text: str) -> Any:
    if is_secret(Settings, path):
        return _reference(variable, path, text.strip())
    annotation = annotation_at(Settings, path)
    if model_of(annotation) or item_of(annotation) is not None:
        return parse_json(text, variable)
    if may_be_null(annotation) and text.strip().lower() in ("null", "none"):
        return None
    return text.strip()


def _reference(variable: str, path: Path, text: str) -> Any:
    """Return a reference to the variable, so that the configuration never contains the key itself."""
    reference = text if text.startswith("${") else f"${{{variable}}}"
    if item_of(annotation_at(Settings, path)) is None:
        return reference
    if text.startswith("["):
        raise ConfigError(f"{variable}: must be keys separated by commas, not JSON")
    return [reference]


def put(here: Any, path: Path, value: Any) -> str | None:
    """
    Set the value at the path inside raw data, in place; return an error message if there is no such place.
    """
    step, rest = path[0], path[1:]
    kind = list if isinstance(step, int) else dict
    if not isinstance(here, kind):
        return f"cannot be set: what is above it is not a {'list' if kind is list else 'mapping'}"
    return _put_below(here, step, rest, value)


def _put_below(here: Any, step: str | int, rest: Path, value: Any) -> str | None:
    if isinstance(step, int):
        if step > len(here):
            return f"cannot be set: the list that contains it ends before position {step}"
        if step == len(here):
            here.append(None)  # the position after the last one appends
    if not rest:
        here[step] = value
        return None
    below = here[step] if isinstance(step, int) else here.get(step)
    if below is None:
        below = here[step] = [] if isinstance(rest[0], int) else {}
    return put(below, rest, value)
