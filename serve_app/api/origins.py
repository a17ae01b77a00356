"""
The host names and web origins that may reach the gateway.

A gateway without keys is open to everything on its machine, including web pages in a browser: a page can
send requests to loopback, and with a host name of its own that resolves to it (DNS rebinding) it can read the
answers. So a gateway without keys serves requests for loopback names only, and none from other origins.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from serve_app.api.asgi import Headers, Scope, header, is_plain, printable
from serve_app.config.settings import RouterConfig
from serve_app.errors import Forbidden

ANY = "*"

# Health checks of orchestrators, by the address of a pod or container; they reveal nothing.
PROBED = frozenset({"/health", "/healthz", "/livez", "/readyz"})

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})  # the usual spellings

_METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
_EXPOSED = b", ".join((
    b"etag", b"request-id", b"retry-after", b"x-request-id", b"x-sekha-cost-usd", b"x-sekha-dropped-params",
    b"x-sekha-model", b"x-sekha-provider", b"x-sekha-token-count",
))  # fmt: skip
_FOR_ANY_PAGE: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED),
]
_VARY: tuple[bytes, bytes] = (b"vary", b"origin")


class Origins:
    """
    The rules of one gateway, from its configuration.

    Both settings default to any if callers need a key, and to loopback if they need none; `*` is any.

    Fields:
        allowed_hosts: the host names of the gateway.
        cors_origins: the origins of web pages that may read answers.
    """

    def __init__(self, config: RouterConfig) -> None:
        self._hosts = None if config.allowed_hosts is None else _lowered(config.allowed_hosts)
        self._outbox = None if config.cors_origins is None else _lowered(config.cors_origins)

    def check(self, scope: Scope, path: str, needs_key: bool) -> None:
        """Raise Forbidden for a host that is not allowed, or a foreign origin where no key is required."""
        if needs_key and self._hosts is None:
            return
        if path not in PROBED and not self._is_ours(header(scope, b"host"), needs_key):
            raise Forbidden(
                f"The host '{printable(header(scope, b'host') or '')}' is not allowed here. Use localhost or "
                "127.0.0.1, or have the operator add it to router.allowed_hosts or configure auth.api_keys",
                code="host_not_allowed",
            )
        if needs_key:
            return
        origin = header(scope, b"origin")
        if origin is not None and not self._may_read(origin, needs_key):
            raise Forbidden(
                f"Pages from '{printable(origin)}' may not use a gateway without keys. The operator can add "
                "the origin to router.cors_origins, or configure auth.api_keys",
                code="origin_not_allowed",
            )

    def answer_headers(self, scope: Scope, needs_key: bool) -> Headers:
        """Return the CORS headers that let a page read the answer; none if it may not."""
        if self._outbox is None and needs_key:
            return _FOR_ANY_PAGE
        origin = header(scope, b"origin")
        if origin is None or not self._may_read(origin, needs_key):
            return [_VARY]
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED),
            _VARY,
        ]

    def preflight_headers(self, scope: Scope, needs_key: bool) -> Headers:
        """Return the CORS headers with the requests that a page may send; its origin is in every answer."""
        origin = header(scope, b"origin")
        if origin is None or not self._may_read(origin, needs_key):
            return []
        asked = header(scope, b"access-control-request-headers") or ""
        if not is_plain(asked):
            return []
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", asked.encode("latin-1")),
            (b"access-control-max-age", b"600"),
        ]

    def _is_ours(self, host: str | None, needs_key: bool) -> bool:
        if host is None:
            return True  # HTTP/1.0, which no browser uses
        name = _name_in(host)
        if self._hosts is not None and (ANY in self._hosts or name in self._hosts):
            return True
        return not needs_key and is_loopback(name)

    def _may_read(self, origin: str, needs_key: bool) -> bool:
        if not is_plain(origin):
            return False  # not from a browser, and it would be echoed in a header
        if self._outbox is not None:
            return ANY in self._outbox or origin.lower() in self._outbox
        if needs_key:
            return True
        try:
            page = urlsplit(origin)
            return page.scheme in ("http", "https") and is_loopback(page.hostname or "")
        except ValueError:
            return False


def is_loopback(name: str) -> bool:
    """Return whether a host name or address can only be this machine."""
    if name in _LOOPBACK:
        return True
    name = name.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_preflight(scope: Scope) -> bool:
    """Return whether a browser asks what a page may send, before it sends it."""
    return (
        scope["method"] == "OPTIONS"
        and header(scope, b"origin") is not None
        and header(scope, b"access-control-request-method") is not None
    )


def _name_in(host: str) -> str:
    """Return the name in a Host header, without its port and brackets; an invalid one matches no name."""
    host = host.strip(" \t").lower()
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        return name if bracket and (not port or _is_port(port)) else ""
    name, colon, port = host.partition(":")
    return name if not colon or _is_port(colon + port) else ""


def _is_port(text: str) -> bool:
    return text[0] == ":" and text[1:].isascii() and (text[1:].isdigit() or not text[1:])


def _lowered(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower().rstrip("/") for name in names)
