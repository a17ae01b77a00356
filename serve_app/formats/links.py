"""
The links in a request that whoever runs the model fetches: pictures, documents, sound, films.

Links in a text, in the arguments of a tool or in a citation are read by the model and fetched by nobody.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from serve_app.config.web_hosts import origin_of

# Members of a part that hold a link, and nothing else but data.
_LINKS = frozenset({"image_url", "video_url", "audio_url", "document_url", "file_url"})
# Members that hold an object with a link in it, or data; and those that may be a link themselves.
_HOLDERS = frozenset({"source", "file", "document"})
_MEDIA = frozenset({"image", "video", "audio", "file_data", "file_id"})
_WITHIN = frozenset({"url", "uri", "file_data", "file_url", "file_id"})
# What the model reads, or has written; there may be links in it, but they are no one's to fetch.
_READ = frozenset({"text", "input", "arguments", "annotations", "citations", "cache_control", "function"})

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,30}):|//", re.IGNORECASE)
_BLANKS = "".join(map(chr, range(33)))


def links_in(contents: Iterable[Any]) -> frozenset[str]:
    """
    Return where the links in these contents lead, each as an origin: `https://example.org`.

    One that is no plain web address is shown by its scheme, such as `ftp:…`, which no list of hosts has.

    Args:
        contents: texts, which hold none, and lists of parts.
    """
    found: set[str] = set()
    waiting: list[Any] = [content for content in contents if isinstance(content, list)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += [inner for inner in value if isinstance(inner, dict | list)]
            continue
        if value.get("type") == "text" and len(value) == 2:
            continue
        for name, inner in value.items():
            plain = name.casefold()
            if plain in _LINKS:
                found.update(_where(text) for text in _texts(inner) if not _is_data(text))
            elif plain in _HOLDERS or plain in _MEDIA:
                texts = _texts(inner) if plain in _MEDIA else _held(inner)
                found.update(_where(text) for text in texts if _looks_like_a_link(text))
            if isinstance(inner, dict | list) and plain not in _READ:
                waiting.append(inner)
    return frozenset(found)


def _texts(value: Any) -> Iterator[str]:
    """Yield what a member that holds links has: one, a list of them, or an object with one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (text for text in value if isinstance(text, str))
    else:
        yield from _held(value)


def _held(value: Any) -> Iterator[str]:
    """Yield the texts in an object that may be links."""
    if isinstance(value, Mapping):
        for name, text in value.items():
            if name.casefold() in _WITHIN and isinstance(text, str):
                yield text


def _is_data(text: str) -> bool:
    return not text or text[:64].lstrip(_BLANKS)[:5].casefold() == "data:"


def _looks_like_a_link(text: str) -> bool:
    return not _is_data(text) and _SCHEME.match(text[:64].lstrip(_BLANKS)) is not None


def _where(url: str) -> str:
    origin = origin_of(url)
    if origin is not None:
        return origin
    scheme = _SCHEME.match(url[:64].lstrip(_BLANKS))
    return f"{(scheme[1] or '') if scheme else ''}:…"
