"""Server-sent events, as far as a gateway writes them itself."""

import orjson

DONE = b"data: [DONE]\n\n"


def event(payload: bytes) -> bytes:
    """One frame around a JSON document."""
    return b"data: " + payload + b"\n\n"


def with_member(block: bytes, name: str, value: object) -> bytes:
    """
    Add a member to the JSON object of the first data frame in a block.

    A line break inside a JSON text is always escaped, so the first `}` before a real one closes the object.
    """
    for end in (b"}\n\n", b"}\r\n\r\n"):
        at = block.find(end)
        if at > 0:
            return block[:at] + _comma(block[:at]) + _member(name, value) + block[at:]
    return block


def spliced(body: bytes, name: str, value: object) -> bytes:
    """Add a member at the end of a JSON object without parsing it."""
    end = body.rfind(b"}")
    if end < 0:
        return body
    return body[:end] + _comma(body[:end]) + _member(name, value) + body[end:]


def _comma(before: bytes) -> bytes:
    """What stands between what there is and a further member."""
    return b"" if before.rstrip().endswith(b"{") else b","


def _member(name: str, value: object) -> bytes:
    return orjson.dumps(name) + b":" + orjson.dumps(value)
