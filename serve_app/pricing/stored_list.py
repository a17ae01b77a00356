"""
An operator's price list, kept in the state folder.

    {"as_of": "2026-11-30", "source": "https://…", "models": {…}}

The rows under `models` are those of LiteLLM's price file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from serve_app.pricing.price_list import ROWS, PriceCatalogue, entries_of, rows_of

LARGEST = 32 * 1024**2  # bytes; LiteLLM's own list is 3 MB
DEAREST = 1.0  # US dollars for one token: no model costs more than a thousandth of that

# The installed release of LiteLLM, and the date of its list; the file itself has no date.
BUNDLED_RELEASE, BUNDLED_ON = "1.106.2", date(2026, 10, 21)


@dataclass(frozen=True, slots=True)
class ListFacts:
    """
    The origin of a price list.

    Attributes:
        as_of: its date; None: unknown.
        source: a file, an address or a package.
    """

    as_of: date | None
    source: str

    def age_days(self, today: date) -> int | None:
        """Return how many days old the list is; None: its date is unknown."""
        return None if self.as_of is None else (today - self.as_of).days


def validated(raw: bytes) -> Mapping[str, Any]:
    """Return the rows of a price file; raise ValueError with the reason if it is not valid."""
    if len(raw) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST // 1024**2} MB")
    try:
        rows = rows_of(orjson.loads(raw))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    for name, row in rows.items():
        if isinstance(row, Mapping) and (too_dear := _too_dear(row)):
            raise ValueError(f"'{name[:100]}' has {too_dear} above {DEAREST:g} US dollars for one token")
    if not entries_of(rows):
        raise ValueError("it contains no price: each model needs a mode, input_cost_per_token and the like")
    return rows


def wrapped(rows: Mapping[str, Any], facts: ListFacts) -> bytes:
    """Return the list as it is stored."""
    as_of = facts.as_of.isoformat() if facts.as_of else None
    return orjson.dumps({"as_of": as_of, "source": facts.source, ROWS: rows})


def facts_of(path: Path) -> ListFacts:
    """Return the facts of a stored list; raise ValueError if it is not valid."""
    return _stored(path, *_version(path))[0]


def catalogue_at(path: Path, *, classic: bool) -> PriceCatalogue:
    """Return a stored list, read again once the file has changed; raise ValueError for a damaged one."""
    _stored(path, *_version(path))
    return _catalogue(path, *_version(path), classic)


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4)
def _stored(path: Path, changed: int, size: int) -> tuple[ListFacts, int]:
    if size > LARGEST * 2:
        raise ValueError("it is too large")
    data = orjson.loads(path.read_bytes())
    rows = rows_of(data)
    as_of = data.get("as_of")
    return ListFacts(date.fromisoformat(as_of) if as_of else None, str(data.get("source"))), len(rows)


@lru_cache(maxsize=4)
def _catalogue(path: Path, changed: int, size: int, classic: bool) -> PriceCatalogue:
    return PriceCatalogue(path, classic=classic)


def _too_dear(row: Mapping[str, Any]) -> str | None:
    for name, amount in row.items():
        if "per_token" in name and isinstance(amount, int | float) and amount > DEAREST:
            return name
    return None
