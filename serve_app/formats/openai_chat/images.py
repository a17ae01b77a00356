"""Images in chat messages: find them, and refuse those that no model could look at."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serve_app.errors import InvalidRequest

MAX_IMAGE_MB = 20
FORMATS = ("jpg", "jpeg", "png", "gif", "webp")

# A link ends at a blank, at what may stand around it, and where the next one begins: one pass over a text.
_LINKS = re.compile(r"https?://[^\s\"'<>)\]]+", re.IGNORECASE)
_BEGIN = re.compile(r"https?://", re.IGNORECASE)
_PICTURE = re.compile(r"\.(?:jpe?g|png|gif|bmp|webp|svg)[.,;:!]*$", re.IGNORECASE)
_DATA = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]+")
_DATA_TYPE = re.compile(r"^data:(?P<type>[\w.+-]+/[\w.+-]+);base64,", re.IGNORECASE)


def image_parts(messages: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    """Every part of type `image_url` in the content lists of the messages."""
    for message in messages:
        # A look-up of the plain type first: every request comes by here, and nearly all are dictionaries.
        is_message = type(message) is dict or isinstance(message, Mapping)
        content = message.get("content") if is_message else None
        if isinstance(content, list):
            for part in content:
                if isinstance(part, Mapping) and part.get("type") == "image_url":
                    yield part


def count_images(messages: Sequence[Any]) -> int:
    """Return the number of images over all messages: parts, and those written into plain text."""
    return images_in_text(messages) + sum(1 for _ in image_parts(messages))


def images_in_text(messages: Sequence[Any]) -> int:
    """
    Return the number of links to images and of image data URIs in contents that are plain text.

    The word "image" and links to pages do not count.
    """
    return sum(
        _written(content)
        for message in messages
        if isinstance(message, Mapping) and isinstance(content := message.get("content"), str)
    )


def _written(content: str) -> int:
    runs = _LINKS.findall(content) if "://" in content else ()
    links = sum(_shows_picture(link) for run in runs for link in _BEGIN.split(run) if link)
    return links + (len(_DATA.findall(content)) if "data:image/" in content else 0)


def _shows_picture(link: str) -> bool:
    path = link.partition("?")[0].partition("#")[0]
    return _PICTURE.search(path[-10:]) is not None


def link_schemes(messages: Sequence[Any]) -> frozenset[str]:
    """Return the schemes of the images that are web addresses, and not the data itself."""
    schemes = set()
    for part in image_parts(messages):
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else image
        if isinstance(url, str):
            schemes.add(url[:8].partition(":")[0])
    return frozenset(schemes - {"data"})


def check_images(messages: Sequence[Any], max_image_mb: float = MAX_IMAGE_MB, param: str = "messages") -> int:
    """
    Count the image parts and refuse those that no model could look at: InvalidRequest 400 says which.

    Nothing is fetched. Links of the web pass; data URIs must be images in a known format, decodable, and of
    at most `max_image_mb` megabytes. `param` is the field that holds the messages.
    """
    count = 0
    for count, part in enumerate(image_parts(messages), start=1):  # noqa: B007
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else image
        if not isinstance(url, str) or not url:
            raise InvalidRequest("An image_url part needs image_url.url", param=param, code="invalid_image")
        _check_url(url, max_image_mb, param)
    return count


def _check_url(url: str, max_image_mb: float, param: str) -> None:
    if url.startswith(("https://", "http://")):
        if url.split("?", 1)[0].lower().endswith((".pdf", ".txt")):
            raise _refused(f"'{url[:100]}' is not an image", param)
        return
    if not url.startswith("data:"):
        raise _refused(f"'{url[:100]}' is neither an http(s) link nor a data: URI", param)
    match = _DATA_TYPE.match(url)
    kind = match["type"].lower() if match else ""
    if match is None or kind.partition("/")[0] != "image" or kind.partition("/")[2] not in FORMATS:
        raise _refused(f"a data: URI must be a base64 image in one of: {', '.join(FORMATS)}", param)
    check_base64(url[match.end() :], max_image_mb, param)


def check_base64(text: str, max_image_mb: float = MAX_IMAGE_MB, param: str = "messages") -> None:
    """Refuse the data of an image that is too large or does not decode: InvalidRequest 400."""
    if len(text) * 3 / 4 > max_image_mb * 1_000_000:
        size = len(text) * 3 / 4e6
        raise _refused(f"an image of {size:.1f} MB is over the limit of {max_image_mb:g} MB", param)
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _refused("its base64 does not decode", param) from None


def _refused(why: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"Unsupported image: {why}", param=param, code="invalid_image")
