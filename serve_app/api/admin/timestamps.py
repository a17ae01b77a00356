"""Timestamps: parsing of operators' input, and ISO 8601 output."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query

from serve_app.errors import InvalidRequest

END_OF_TIME = 253_402_300_799.0  # the year 9999 ends

# A query parameter with a timestamp.
Moment = Annotated[
    str | None,
    Query(
        description="A date (2026-11-21), with or without a time, or seconds since 1970. UTC by default.",
        json_schema_extra={
            "type": "string",
            "anyOf": [
                {"format": "date"},
                {"format": "date-time"},
                {"pattern": r"^(0|[1-9][0-9]{0,10})(\.[0-9]{1,6})?$"},
            ],
        },
    ),
]


def timestamp_of(text: str | None, param: str) -> float | None:
    """
    Return the Unix timestamp of a date, a date with a time, or a number of seconds.

    A date before 1970 is 0: the ledger has no earlier entries. Raises InvalidRequest for anything else.
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _of_iso(text, param)
    if not 0 <= seconds <= END_OF_TIME:
        raise _no_moment(param)
    return seconds


def shown_timestamp(seconds: float) -> str:
    """Return a Unix timestamp in ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _of_iso(text: str, param: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise _no_moment(param) from None


def _no_moment(param: str) -> InvalidRequest:
    return InvalidRequest(f"'{param}' must be a date such as 2026-11-21, or seconds since 1970", param=param)
