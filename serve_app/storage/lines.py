"""
Entries as plain values and back: the one spelling that the journal and the store share.

Fields are read back by name. A name nobody knows (any more, or yet) is passed over, and one that is missing
takes its default: a newer gateway reads what an older one has left behind, and the other way round.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.pricing.usage import Usage

MOST = 2**53  # of anything counted; also what JSON's readers agree on. In nano-dollars: nine million dollars

_USAGE = tuple(Usage._field_defaults.items())
# What nearly every usage has after its input and output, and how that is written.
_USUAL: Mapping[tuple[Any, ...], dict[str, Any]] = {
    Usage()[2:]: {},
    Usage(estimated=True)[2:]: {"estimated": True},
}
_ENTRY_NAMES = tuple(name for name in Entry._fields if name != "usage")


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Those fields of a usage that say something: all but the ones at their default. Raises nothing."""
    rest = _USUAL.get(usage[2:])
    if rest is not None and 0 < usage.input <= MOST and 0 < usage.output <= MOST:
        return {"input": usage.input, "output": usage.output, **rest}
    return {
        name: min(value, MOST) if type(value) is int else value
        for (name, default), value in zip(_USAGE, usage, strict=True)
        if value != default
    }


def tokens(usage: Usage) -> tuple[int, int]:
    """Everything read, and everything written, in tokens. Raises nothing."""
    return min(usage.input_tokens, MOST), min(usage.output_tokens, MOST)


def usage_of(said: Mapping[str, Any]) -> Usage:
    """The usage that was written so. An enumeration's word of another version counts as the usual one."""
    return Usage(**{name: _as(default, said[name]) for name, default in _USAGE if name in said})


def entry_fields(entry: Entry) -> dict[str, Any]:
    """An entry as plain values, its usage as an object within. Raises nothing."""
    said = entry._asdict()
    said["usage"] = usage_fields(entry.usage)
    if entry.cost is not None:
        said["cost"] = min(entry.cost, MOST)
    return said


def entry_of(said: Mapping[str, Any]) -> Entry:
    """The entry that was written so; KeyError, TypeError or ValueError when it is not one."""
    known = {name: said[name] for name in _ENTRY_NAMES if name in said}
    known["outcome"] = EntryOutcome(known["outcome"])
    return Entry(usage=usage_of(said["usage"]), **known)


def clean(text: str) -> str:
    """The text without what PostgreSQL and JSON cannot hold: NUL, and halves of a surrogate pair."""
    if text.isprintable():  # nearly all there is; neither of them is
        return str(text)
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "�")


def _as(default: Any, value: Any) -> Any:
    """The value as the field's own kind: JSON knows no enumerations."""
    if not isinstance(default, Enum):
        return value
    try:
        return type(default)(value)
    except ValueError:
        return default
