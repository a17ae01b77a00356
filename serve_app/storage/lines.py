"""
The conversion of entries to plain values and back, shared by the journal and the store.

Fields are read by name. An unknown name is skipped and a missing one takes its default, so that newer and
older versions of the gateway can read each other's data.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.pricing.usage import Usage

MOST = 2**53  # the largest integer that all JSON readers handle; in nano-dollars, nine million dollars

_USAGE = tuple(Usage._field_defaults.items())
# The usual values of the fields after `input` and `output`, and how they are written.
_USUAL: Mapping[tuple[Any, ...], dict[str, Any]] = {
    Usage()[2:]: {},
    Usage(estimated=True)[2:]: {"estimated": True},
}
_ENTRY_NAMES = tuple(name for name in Entry._fields if name != "usage")


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Return the fields of a usage that differ from their defaults. Raises nothing."""
    rest = _USUAL.get(usage[2:])
    if rest is not None and 0 < usage.input <= MOST and 0 < usage.output <= MOST:
        return {"input": usage.input, "output": usage.output, **rest}
    return {
        name: min(value, MOST) if type(value) is int else value
        for (name, default), value in zip(_USAGE, usage, strict=True)
        if value != default
    }


def tokens(usage: Usage) -> tuple[int, int]:
    """Return all input tokens and all output tokens. Raises nothing."""
    return min(usage.input_tokens, MOST), min(usage.output_tokens, MOST)


def usage_of(fields: Mapping[str, Any]) -> Usage:
    """Return the usage of these fields; an unknown value of an enumeration counts as its default."""
    return Usage(**{name: _as(default, fields[name]) for name, default in _USAGE if name in fields})


def entry_fields(entry: Entry) -> dict[str, Any]:
    """Return an entry as plain values, with its usage as a nested object. Raises nothing."""
    fields = entry._asdict()
    fields["usage"] = usage_fields(entry.usage)
    if entry.cost is not None:
        fields["cost"] = min(entry.cost, MOST)
    fields["cache_saving"] = max(-MOST, min(entry.cache_saving, MOST))
    return fields


def entry_of(fields: Mapping[str, Any]) -> Entry:
    """Return the entry of these fields; raise KeyError, TypeError or ValueError if they are not an entry."""
    known = {name: fields[name] for name in _ENTRY_NAMES if name in fields}
    known["outcome"] = EntryOutcome(known["outcome"])
    return Entry(usage=usage_of(fields["usage"]), **known)


def clean(text: str) -> str:
    """Return the text without NUL and unpaired surrogates, which PostgreSQL and JSON cannot store."""
    if text.isprintable():  # the usual case: neither of them is printable
        return str(text)
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "�")


def _as(default: Any, value: Any) -> Any:
    """Convert a value to the type of its field, where that is an enumeration."""
    if not isinstance(default, Enum):
        return value
    try:
        return type(default)(value)
    except ValueError:
        return default
