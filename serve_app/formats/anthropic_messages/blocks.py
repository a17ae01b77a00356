"""
The blocks that messages are made of: found at every depth, and checked as far as the gateway reads them.

Blocks of unknown types and unknown members pass.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from serve_app.formats.exact_json import dumps
from serve_app.formats.openai_chat.images import check_base64
from serve_app.pricing.prompt import parts_within

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
LINK_SCHEMES = ("https", "http")

# What a block of this type must have, and of which kind it is.
_NEEDED: Mapping[str, tuple[tuple[str, type], ...]] = {
    "text": (("text", str),),
    "image": (("source", dict),),
    "document": (("source", dict),),
    "thinking": (("thinking", str),),
    "redacted_thinking": (("data", str),),
    "tool_use": (("id", str), ("name", str), ("input", dict)),
    "server_tool_use": (("id", str), ("name", str), ("input", dict)),
    "tool_result": (("tool_use_id", str),),
}
_WORD: Mapping[type, str] = {str: "a text", dict: "an object"}

# Members that the model does not read as text, or that are counted with the blocks within.
_NOT_TEXT = frozenset({"type", "id", "tool_use_id", "cache_control", "content", "source"})


class Flaw(NamedTuple):
    """
    A mistake in a block.

    Fields:
        owner: the object with the member at fault.
        member: the member's name.
        message: what it should be.
    """

    owner: Mapping[str, Any]
    member: str
    message: str


def blocks_in(contents: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """
    Yield every block of these contents, also those within other blocks.

    A content is a text, which has none, or a list of blocks.
    """
    for content in contents:
        if isinstance(content, list):
            waiting = list(reversed(content))
            while waiting:
                block = waiting.pop()
                yield block
                waiting += reversed(parts_within(block))


def flaw_of(block: Mapping[str, Any]) -> Flaw | None:
    """
    Return what is wrong with a block; None where it can be read.

    Raises:
        InvalidRequest: 400, it is an image that no model could look at.
    """
    kind = block.get("type")
    if not isinstance(kind, str):
        return None  # within a block of a type that is not known here
    for member, needed in _NEEDED.get(kind, ()):
        if not isinstance(block.get(member), needed):
            return Flaw(block, member, f"a block of type {kind} needs {_WORD[needed]} here")
    if kind == "tool_result":
        return _flaw_of_result(block)
    check = _SOURCES.get(kind)
    return None if check is None else check(block["source"])


def image_data(block: Mapping[str, Any]) -> int:
    """Return how many bytes of a checked block are the data of a picture."""
    if block.get("type") == "image" and block["source"]["type"] == "base64":
        return len(block["source"]["data"])
    return 0


def link_scheme(block: Mapping[str, Any]) -> str | None:
    """Return the scheme of the web address that a checked block has in the place of its data."""
    if block.get("type") in ("image", "document") and block["source"]["type"] == "url":
        return str(block["source"]["url"]).partition(":")[0].lower()
    return None


def text_length(block: Mapping[str, Any]) -> int:
    """Return the bytes of what a model reads as text in a block, without the blocks within it."""
    if block.get("type") == "text" and len(block) == 2:
        return byte_length(block["text"])
    length = 0
    for name, value in block.items():
        if name not in _NOT_TEXT:
            length += _length(value)
    content, source = block.get("content"), block.get("source")
    if isinstance(content, str):
        length += byte_length(content)
    if isinstance(source, str):
        return length + byte_length(source)
    if isinstance(source, dict):
        if source.get("type") == "text":
            length += _length(source.get("data"))
        if isinstance(within := source.get("content"), str):
            length += byte_length(within)
    return length


def byte_length(text: str) -> int:
    """Return the length of a text's UTF-8, which is more than its characters where it is not English."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _length(value: Any) -> int:
    if isinstance(value, str):
        return byte_length(value)
    return len(dumps(value)) if value and isinstance(value, dict | list) else 0


def _flaw_of_result(block: Mapping[str, Any]) -> Flaw | None:
    content = block.get("content")
    if not isinstance(content, str | list | None):
        return Flaw(block, "content", "should be a text or a list of blocks")
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                return Flaw(block, "content", "every block should be an object with a type")
    return None


def _flaw_of_image(source: Mapping[str, Any]) -> Flaw | None:
    match source.get("type"):
        case "base64":
            if source.get("media_type") not in IMAGE_TYPES:
                return Flaw(source, "media_type", f"should be one of: {', '.join(IMAGE_TYPES)}")
            if not isinstance(source.get("data"), str):
                return Flaw(source, "data", "should be a text, the image in base64")
            check_base64(source["data"])
            return None
        case _:
            return _flaw_of_source(source)


def _flaw_of_document(source: Mapping[str, Any]) -> Flaw | None:
    match source.get("type"):
        case "base64" | "text":
            return None if isinstance(source.get("data"), str) else Flaw(source, "data", "should be a text")
        case "content":
            if isinstance(source.get("content"), str | list):
                return None
            return Flaw(source, "content", "should be a text or a list of blocks")
        case _:
            return _flaw_of_source(source)


def _flaw_of_source(source: Mapping[str, Any]) -> Flaw | None:
    kind = source.get("type")
    if not isinstance(kind, str):
        return Flaw(source, "type", "a source needs a type")
    if kind == "url":
        url = source.get("url")
        if not isinstance(url, str) or not _is_link(url):
            return Flaw(source, "url", f"should be a web address: {' or '.join(LINK_SCHEMES)}")
    return None


def _is_link(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    return scheme.lower() in LINK_SCHEMES and bool(rest)


_SOURCES: Mapping[str, Callable[[Mapping[str, Any]], Flaw | None]] = {
    "image": _flaw_of_image,
    "document": _flaw_of_document,
}
