"""The parsing of YAML files and JSON variables. Errors contain the line number, and no content."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from serve_app.errors import ConfigError

# Other errors that PyYAML's safe loader raises, for values like `!!bool x` and `2024-99-99`.
_UNREADABLE = (ValueError, LookupError, AttributeError, TypeError)


def read_file(path: Path, named_by: str = "") -> Mapping[Any, Any]:
    """Read a YAML file (JSON is YAML too); an empty one is an empty configuration."""
    where = f"{named_by}: " if named_by else ""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{where}there is no configuration file '{path}'") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where}'{path}' is not a text file in UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{where}cannot read '{path}': {reason}") from None
    data = parse_yaml(text, str(path))
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: must be a mapping of settings, such as 'llm_providers: …', at the top")
    return data


def parse_yaml(text: str, origin: str) -> Any:
    """Parse a document; a duplicate key in a mapping is an error."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _refuse_twins(node, set())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        # Never the whole error: it quotes the line, which may contain a key.
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "a character that does not belong there"
        raise ConfigError(f"{origin}: {line}not valid YAML: {_without_content(problem)}") from None
    except _UNREADABLE:
        raise ConfigError(f"{origin}: not valid YAML: a value does not fit its type") from None


def _without_content(problem: str) -> str:
    """Remove quotes of the document from PyYAML's message; its own `'<block end>'` stay."""
    return re.sub(r"'[^<'][^']+'", "'…'", problem)


def _refuse_twins(node: yaml.Node, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twins(item, seen)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in lines:
                problem = f"key “{key.value}” stands already on line {lines[key.value]}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                lines[key.value] = key.start_mark.line + 1
            _refuse_twins(value, seen)


def parse_json(text: str, variable: str) -> Any:
    """Parse the value of a variable; duplicate keys in an object and NaN are errors."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_not_a_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{variable}: not valid JSON: {error.msg} ({where})") from None
    except ValueError as error:
        raise ConfigError(f"{variable}: not valid JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {key!r} appears twice in one object")
        result[key] = value
    return result


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")
