"""The few words of ASGI the hot endpoints need: read a head, send an answer."""

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


# Whoever reads the first of these and whoever reads the last must read the same: a proxy, Serve, we.
_SAID_ONCE = frozenset({
    b"authorization", b"x-api-key", b"host", b"origin", b"x-request-id", b"x-sekha-timeout",
    b"x-sekha-on-stream-failure", b"content-encoding", b"content-length", b"expect", b"if-match",
})  # fmt: skip


def header(scope: Scope, name: bytes) -> str | None:
    """A request header by its lower-case name; the first if it came twice."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def check_said_once(scope: Scope) -> None:
    """Raise InvalidRequest where a header that can have one value only came with two."""
    said: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _SAID_ONCE and said.setdefault(name, value) != value:
            shown = name.decode()
            raise InvalidRequest(
                f"{shown}: came twice, with two values; send it once", param=shown, code="duplicate_header"
            )


def path_within(scope: Scope) -> str:
    """The path within this application, whatever prefix it is mounted under."""
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    return path[len(root) :] if root and path.startswith(root + "/") else path


def is_plain(text: str) -> bool:
    """Whether a header's value is printable ASCII, so that it can be logged, and sent back as it came."""
    return text.isascii() and text.isprintable()


def printable(text: str, most: int = 100) -> str:
    """What a caller sent, fit for a message or a line of the log: short, ASCII, on one line."""
    return ascii(text[:most])[1:-1]


def announced_length(scope: Scope) -> int | None:
    """The length of the body as its head tells it; None where it does not, or not in a number."""
    given = header(scope, b"content-length")
    if given is None or not (given.isascii() and given.isdecimal()):
        return None
    return int(given[:18]) if len(given) <= 18 else 10**18


async def send_answer(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """A whole answer at once, JSON unless `headers` say otherwise."""
    given = list(headers)
    if not any(name == b"content-type" for name, _ in given):
        given.append(JSON)
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*given, length]})
    await send({"type": "http.response.body", "body": body})


def too_large(most: int) -> InvalidRequest:
    """The refusal of a body of more than `most` bytes."""
    return InvalidRequest(
        f"The body is over the limit of {most / 1_000_000:g} MB", code="request_too_large", status=413
    )
