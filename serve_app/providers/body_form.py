"""The form of an upstream's body, detected from its first bytes: its content type is not always right."""

from enum import StrEnum

_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")  # how server-sent events begin
_BOM = b"\xef\xbb\xbf"


class Form(StrEnum):
    """JSON, server-sent events, or something else; UNTOLD until there is enough of it."""

    JSON = "json"
    EVENTS = "events"
    OTHER = "other"
    UNTOLD = "untold"


def form_of(begun: bytes) -> Form:
    """Return the form of a body that begins like this."""
    head = begun[:4096].removeprefix(_BOM).lstrip()
    if not head:
        return Form.UNTOLD if len(begun) < 4096 else Form.OTHER
    if head[:1] in (b"{", b"["):
        return Form.JSON
    if head.startswith(_FIELDS):
        return Form.EVENTS
    return Form.UNTOLD if any(field.startswith(head) for field in _FIELDS) else Form.OTHER
