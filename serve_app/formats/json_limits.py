"""
How deep a body may be nested and how many values it may hold.

Whatever passes here can be read, copied and written by everything behind the door: orjson writes 254 levels,
pydantic and the translators less, and a value of JSON costs some sixty times its bytes in memory.
"""

from typing import Any

from serve_app.errors import InvalidRequest

DEEPEST = 100
MOST_VALUES = 1_000_000

_CONTAINERS = frozenset({dict, list})
_SMALL = 4096  # bytes; to count brackets in more takes longer than to look at what was parsed
_SLICE = 65_536  # bytes that are looked at together


def check_count(raw: bytes, most: int = MOST_VALUES) -> None:
    """
    Refuse a text with too many values before it is parsed: InvalidRequest 413.

    A comma stands between two values and a bracket opens one, so a text has at least as many values as
    either. Only a text with very many of both characters has its strings left out of the count.
    """
    if len(raw) <= most:
        return  # every value takes a byte
    if raw.count(b",") < most and raw.count(b"[") + raw.count(b"{") <= most:
        return
    commas = opened = 0
    within_string = False
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # every quote left begins or ends a string
    for start in range(0, len(plain), _SLICE):
        pieces = plain[start : start + _SLICE].split(b'"')
        outside = b" ".join(pieces[within_string::2])
        commas += outside.count(b",")
        opened += outside.count(b"[") + outside.count(b"{")
        within_string ^= len(pieces) % 2 == 0
        if commas >= most or opened > most:
            raise _too_many(most)


def check_shape(raw: bytes, value: Any, most: int = MOST_VALUES) -> None:
    """Refuse what was parsed from `raw` when it is nested too deep (400) or holds too many values (413)."""
    if len(raw) <= _SMALL and len(raw) <= most and raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return  # it cannot be either
    level, values = [value] if type(value) in _CONTAINERS else [], 1
    for _ in range(DEEPEST):
        values += sum(map(len, level))
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
        if not level:
            break
    else:
        raise too_deep()
    if values > most:
        raise _too_many(most)


def too_deep() -> InvalidRequest:
    """The refusal of a body that is nested too deep."""
    return InvalidRequest(
        f"The body is nested more than {DEEPEST} levels deep; send it flatter", code="body_too_deep"
    )


def _too_many(most: int) -> InvalidRequest:
    return InvalidRequest(
        f"The body holds more than {most:,} JSON values; send it in several requests",
        code="too_many_values",
        status=413,
    )
