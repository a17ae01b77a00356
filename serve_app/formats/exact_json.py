"""
JSON in which whole numbers keep every digit.

orjson reads a whole number beyond 64 bits as a float and refuses to write one. Python's own parser does
neither and is several times slower, so it only gets what needs it.
"""

import json
from collections.abc import Iterable
from typing import Any

import orjson

# Every digit becomes "0" and every other byte a blank: a long number is then a plain run of zeros.
_DIGITS = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(" ") for byte in range(256))
_LONG = b"0" * 19  # the smallest number beyond 64 bits has 19 digits


def loads(raw: bytes) -> Any:
    """
    Return the value of a text that was checked at the door.

    Raises:
        orjson.JSONDecodeError: the text is not valid JSON.
    """
    value = orjson.loads(raw)
    return with_every_digit(raw, value) if has_long_digits(raw) else value


def has_long_digits(raw: bytes) -> bool:
    """Tell whether a number of the text may be beyond 64 bits; digits within strings count as well."""
    # Three bytes in a row, of every sixth, are digits wherever nineteen bytes in a row are.
    return b"000" in raw[::6].translate(_DIGITS) and _LONG in raw.translate(_DIGITS)


def with_every_digit(raw: bytes, value: Any) -> Any:
    """Return what orjson read as `value`, read again by the parser that keeps every digit."""
    return json.loads(raw) if isinstance(value, dict | list | float) else value


def has_member(raw: bytes, value: Any, names: Iterable[str]) -> bool:
    """
    Tell whether an object somewhere in a JSON text may have a member of one of these names.

    The text is searched, which is much faster than its value. A text with escapes of ASCII, such as a name
    that is written `cache\\u005fcontrol`, is written again without them first.

    Args:
        raw: the text.
        value: what it says.
        names: what to look for; in ASCII.
    """
    plain = dumps(value) if b"\\u00" in raw else raw
    return any(b'"%b"' % name.encode() in plain for name in names)


def dumps(value: Any) -> bytes:
    """
    Return the value as JSON.

    Raises:
        TypeError: the value holds something that is not JSON.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
