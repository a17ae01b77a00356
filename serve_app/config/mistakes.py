"""Messages about mistakes in a configuration: the place, the problem, and the allowed values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel, ValidationError

from serve_app.config.names import (
    Path,
    annotation_at,
    did_you_mean,
    is_secret,
    item_of,
    known_names,
    model_of,
    plain,
    spelled,
)
from serve_app.errors import ConfigError

_LONGEST_VALUE = 80
_LARGEST_NUMBER_BITS = 256


class WholeMistake(ValueError):
    """A validator's error whose message is complete, so that the value is not added to it."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake; an empty path means the configuration as a whole."""

    origin: str
    path: Path
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.origin, spelled(self.path), self.text) if part)


def config_error(mistakes: Sequence[Mistake]) -> ConfigError:
    """Return one error for all mistakes."""
    if len(mistakes) == 1:
        return ConfigError(str(mistakes[0]))
    lines = "".join(f"\n  {mistake}" for mistake in mistakes)
    return ConfigError(f"the configuration has {len(mistakes)} mistakes:{lines}")


def mistakes_of(
    error: ValidationError, root: type[BaseModel], written: Any, missing: Mapping[Path, Sequence[str]]
) -> list[tuple[Path, str]]:
    """
    Convert pydantic's errors to messages.

    Args:
        error: pydantic's.
        root: the type that was validated.
        written: the configuration before variables were expanded, so that messages show it as it is written
            and never a value of the environment.
        missing: the unset variables, by path.
    """
    found = []
    for detail in error.errors(include_url=False):
        path = tuple(detail["loc"])
        text = _text(dict(detail), root, path, written)
        if unset := missing.get(path):
            text += f" ({', '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set)"
        found.append((path, text))
    return found


def _text(detail: Mapping[str, Any], root: type[BaseModel], path: Path, written: Any) -> str:
    match detail["type"]:
        case "extra_forbidden":
            # Not the value: a mistyped setting may contain a key.
            return _unknown_key(root, path)
        case "missing":
            return "is required"
        case "enum":
            return _not_one_of(root, path, written)
        case "value_error" if isinstance(detail["ctx"]["error"], WholeMistake):
            return str(detail["ctx"]["error"])
        case "value_error":
            return f"{detail['ctx']['error']}{_not_this(root, path, written)}"
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"must be a mapping{_not_this(root, path, written)}"
        case "tuple_type" | "list_type":
            return f"must be a list{_not_this(root, path, written)}"
    sentence = re.sub(r"^(Input|String|Value) should ", "must ", detail["msg"])
    if sentence.startswith("must be a valid"):
        sentence = sentence.partition(",")[0]
    return f"{sentence}{_not_this(root, path, written)}"


def _unknown_key(root: type[BaseModel], path: Path) -> str:
    model = model_of(root if len(path) == 1 else annotation_at(root, path[:-1]))
    known = tuple(known_names(model)) if model else ()
    hint = did_you_mean(str(path[-1]), known)
    return f"unknown key{hint or '; there are: ' + ', '.join(known)}"


def _not_one_of(root: type[BaseModel], path: Path, written: Any) -> str:
    options = plain(annotation_at(root, path))
    allowed = [str(option.value) for option in options] if issubclass(options, Enum) else []
    return f"must be one of {', '.join(allowed)}{_not_this(root, path, written, allowed)}"


def _not_this(root: type[BaseModel], path: Path, written: Any, allowed: Sequence[str] = ()) -> str:
    """Return `, not 'chat_tiny'`; empty for a section, the whole configuration, or a key."""
    if not path or is_secret(root, path):
        return ""
    value = _value_at(written, path)
    here = annotation_at(root, path)
    if isinstance(value, Mapping) and model_of(here):
        return ""
    if isinstance(value, list | tuple) and item_of(here) is not None:
        return ""
    hint = did_you_mean(value, allowed) if isinstance(value, str) else ""
    return f", not {shown(value)}{hint}"


def _value_at(data: Any, path: Path) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def shown(value: Any) -> str:
    """Format a value for a message: short, on one line, without the content of lists and mappings."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    if isinstance(value, int) and value.bit_length() > _LARGEST_NUMBER_BITS:
        return "a huge number"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
