"""
The names of settings, derived from the types themselves.

Several names may mean the same setting (`type` and `provider_type`). `canonical` replaces each by the first,
so that a `timeout` in one layer overrides a `timeout_secs` in another.
"""

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from serve_app.config.secret import Secret

Path = tuple[str | int, ...]


def spelled(path: Iterable[str | int]) -> str:
    """Format a path as users write it: `llm_providers[1].models[0].task`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def names_of(field_name: str, field: FieldInfo) -> tuple[str, ...]:
    """Return every name of a field, its own first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (field_name,)


def field_called(model: type[BaseModel], name: str) -> str | None:
    """Return the field with this name; None: there is none."""
    for field_name, field in model.model_fields.items():
        if name in names_of(field_name, field):
            return field_name
    return None


def plain(annotation: Any) -> Any:
    """Return the type without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [option for option in get_args(annotation) if option is not type(None)]
        return plain(rest[0]) if len(rest) == 1 else annotation
    return annotation


def may_be_null(annotation: Any) -> bool:
    """Return whether the type ends in `| None`."""
    return get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation)


def model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the type of a section; None: the type is not a section."""
    shape = plain(annotation)
    return shape if isinstance(shape, type) and issubclass(shape, BaseModel) else None


def item_of(annotation: Any) -> Any:
    """Return the type of a list's items; None: the type is not a list."""
    shape = plain(annotation)
    return get_args(shape)[0] if get_origin(shape) is tuple else None


def is_mapping(annotation: Any) -> bool:
    """Return whether the type is a mapping with keys chosen by the operator."""
    return get_origin(plain(annotation)) is dict


def annotation_at(root: type[BaseModel], path: Path) -> Any:
    """Return the type at this path of canonical names; None: there is no such setting."""
    here: Any = root
    for step in path:
        if isinstance(step, int):
            here = item_of(here)
        else:
            model = model_of(here)
            field = model.model_fields.get(step) if model else None
            here = field.annotation if field else None
        if here is None:
            return None
    return here


def is_secret(root: type[BaseModel], path: Path) -> bool:
    """Return whether the setting is a key, or a list of keys."""
    here = annotation_at(root, path)
    return _may_be_secret(here) or _may_be_secret(item_of(here))


def _may_be_secret(annotation: Any) -> bool:
    """Return whether the type is a key, or a section that may be written as its key alone."""
    return plain(annotation) is Secret or getattr(model_of(annotation), "may_be_a_secret", False)


def canonical(annotation: Any, data: Any, path: Path = ()) -> tuple[Any, list[tuple[Path, str]]]:
    """Return the data with every synonym replaced, and an error for two names of the same setting."""
    clashes: list[tuple[Path, str]] = []
    return _rewrite(annotation, data, path, clashes), clashes


def _rewrite(annotation: Any, data: Any, path: Path, clashes: list[tuple[Path, str]]) -> Any:
    if (model := model_of(annotation)) and isinstance(data, Mapping):
        return _rewrite_section(model, data, path, clashes)
    if data is None and not may_be_null(annotation):  # a section without content
        if model or is_mapping(annotation):
            return {}
        if item_of(annotation) is not None:
            return []
    if (item := item_of(annotation)) is not None and isinstance(data, list | tuple):
        return [_rewrite(item, entry, (*path, index), clashes) for index, entry in enumerate(data)]
    return data


def _rewrite_section(
    model: type[BaseModel], data: Mapping[Any, Any], path: Path, clashes: list[tuple[Path, str]]
) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    used: dict[str, str] = {}
    for key, value in data.items():
        name = field_called(model, key) if isinstance(key, str) else None
        if name is None:
            result[key] = value  # the types report the unknown key
            continue
        if name in used:
            clashes.append(((*path, key), f"means the same as '{used[name]}': keep one of them"))
            continue
        used[name] = key
        result[name] = _rewrite(model.model_fields[name].annotation, value, (*path, name), clashes)
    return result


def known_names(model: type[BaseModel]) -> Iterator[str]:
    """Yield all names of a section's settings, with synonyms."""
    for name, field in model.model_fields.items():
        yield from names_of(name, field)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'timeout'?`, or an empty text if no known name is similar."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
