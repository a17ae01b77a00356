"""ASGI functions for the hot endpoints: read a request's head, send an answer."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from serve_app.errors import InvalidRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")


class CallerGone(Exception):
    """The caller closed the connection before the request was read."""


class AnswerCutShort(Exception):
    """An answer that has begun cannot be finished, and has no place for an error: break the connection."""


# A proxy, Serve and the gateway must all read the same value, whether they read the first or the last.
_SAID_ONCE = frozenset({
    b"authorization", b"x-api-key", b"host", b"origin", b"x-request-id", b"x-sekha-timeout",
    b"x-sekha-on-stream-failure", b"content-encoding", b"content-length", b"expect", b"if-match",
})  # fmt: skip


def header(scope: Scope, name: bytes) -> str | None:
    """Return a request header by its lower-case name; the first one if it is repeated."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def check_said_once(scope: Scope) -> None:
    """Raise InvalidRequest if a header that may have one value only is repeated with another."""
    said: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _SAID_ONCE and said.setdefault(name, value) != value:
            shown = name.decode()
            raise InvalidRequest(
                f"{shown}: came twice, with two values; send it once", param=shown, code="duplicate_header"
            )


def path_within(scope: Scope) -> str:
    """Return the path within this application, without the prefix of its mount."""
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    return path[len(root) :] if root and path.startswith(root + "/") else path


def is_plain(text: str) -> bool:
    """Return whether a header's value is printable ASCII, so that it can be logged and echoed."""
    return text.isascii() and text.isprintable()


def printable(text: str, most: int = 100) -> str:
    """Return a caller's text for use in a message or a log line: short, ASCII, on one line."""
    return ascii(text[:most])[1:-1]


def announced_length(scope: Scope) -> int | None:
    """Return the `Content-Length` of the body; None if it is missing or not a number."""
    given = header(scope, b"content-length")
    if given is None or not (given.isascii() and given.isdecimal()):
        return None
    return int(given[:18]) if len(given) <= 18 else 10**18


async def send_answer(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole answer at once, JSON unless `headers` have another content type."""
    given = list(headers)
    if not any(name == b"content-type" for name, _ in given):
        given.append(JSON)
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*given, length]})
    await send({"type": "http.response.body", "body": body})


def too_large(most: int) -> InvalidRequest:
    """Return the refusal of a body of more than `most` bytes."""
    return InvalidRequest(
        f"The body is over the limit of {most / 1_000_000:g} MB", code="request_too_large", status=413
    )
