"""
Ids and names that one format allows and another does not.

Every function here is pure: a caller sends back the ids that it was given, and gets the same ones again.
"""

import hashlib
import re

# What all formats take as the id of a tool call and as the name of a tool.
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def digest(text: str) -> str:
    """Return 32 hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def safe_call_id(call_id: str) -> str:
    """Return the id of a tool call as every format takes it; a safe one stays as it is."""
    return call_id if _SAFE.fullmatch(call_id) else f"call_{digest(call_id)}"


def made_call_id(answer_id: str, number: int) -> str:
    """Return an id for the call with this number in an answer, where the upstream gave none."""
    return f"call_{digest(f'{answer_id} {number}')}"


def answer_id(prefix: str, upstream_id: object, data: bytes) -> str:
    """
    Return the id of an answer in the caller's format.

    Args:
        prefix: what ids of that format begin with.
        upstream_id: the id that the upstream gave, without its own prefix in the result.
        data: the JSON of the answer or its first chunk; it stands in for an id that is missing or not safe.
    """
    if isinstance(upstream_id, str):
        bare = upstream_id.removeprefix("chatcmpl-").removeprefix("msg_")
        if _SAFE.fullmatch(bare):
            return prefix + bare
        if bare:
            return prefix + digest(bare)
    return prefix + hashlib.sha256(data).hexdigest()[:32]


class ToolNames:
    """The tools' names of one request: as the upstream takes them, and back."""

    def __init__(self) -> None:
        self._originals: dict[str, str] = {}

    def safe(self, name: str) -> str:
        """Return the name as every format takes it: a longer one is cut and ends with a hash."""
        if _SAFE.fullmatch(name):
            return name
        short = f"{_UNSAFE.sub('_', name)[:31]}_{digest(name)}"
        self._originals[short] = name
        return short

    def original(self, name: str) -> str:
        """Return the caller's name for a tool that the upstream calls."""
        return self._originals.get(name, name)
