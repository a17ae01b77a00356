"""
The expansion of `${VAR}` and `${VAR:-default}` in strings of a configuration; `$${VAR}` stays as text.

Keys are not expanded: they stay references, which are looked up where they are used (config/secret.py).
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from serve_app.config.names import Path, is_secret

_VARIABLE = re.compile(r"(\$)?\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def expanded(
    root: type[BaseModel], data: Any, environ: Mapping[str, str]
) -> tuple[Any, dict[Path, tuple[str, ...]]]:
    """
    Return the data with all variables expanded, and the missing variables by path.

    A string with a variable that is unset or empty, and has no default, becomes null as a whole.
    """
    missing: dict[Path, tuple[str, ...]] = {}
    return _expand(root, data, environ, (), missing), missing


def _expand(
    root: type[BaseModel],
    data: Any,
    environ: Mapping[str, str],
    path: Path,
    missing: dict[Path, tuple[str, ...]],
) -> Any:
    if isinstance(data, Mapping):
        return {key: _expand(root, value, environ, (*path, key), missing) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_expand(root, item, environ, (*path, index), missing) for index, item in enumerate(data)]
    if not isinstance(data, str) or "${" not in data or is_secret(root, path):
        return data
    unset = tuple(
        match[2]
        for match in _VARIABLE.finditer(data)
        if not match[1] and match[3] is None and not environ.get(match[2])
    )
    if unset:
        missing[path] = unset
        return None
    return _VARIABLE.sub(lambda match: _value(match, environ), data)


def _value(match: "re.Match[str]", environ: Mapping[str, str]) -> str:
    if match[1]:
        return match[0][1:]
    return environ.get(match[2]) or match[3] or ""
