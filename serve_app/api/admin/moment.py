"""Moments as operators write them, and as they are shown."""

from datetime import UTC, datetime

from serve_app.errors import InvalidRequest


def moment_of(text: str | None, param: str) -> float | None:
    """
    Seconds since the epoch, of a date, a date with a time, or a number of seconds; UTC unless it says so.

    InvalidRequest for anything else.
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _of_iso(text, param)
    if not 0 <= seconds < 1e11:
        raise _no_moment(param)
    return seconds


def shown_moment(seconds: float) -> str:
    """As ISO 8601 has it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _of_iso(text: str, param: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _no_moment(param) from None


def _no_moment(param: str) -> InvalidRequest:
    return InvalidRequest(f"'{param}' must be a date such as 2026-11-21, or seconds since 1970", param=param)
