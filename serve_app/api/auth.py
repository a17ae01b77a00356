"""Who is calling: a key from `Authorization: Bearer` or `X-API-Key`, compared by digest (contract 1.7)."""

import hashlib
import hmac
import logging
from collections.abc import Iterable, Mapping

from serve_app.api.asgi import Scope, header
from serve_app.config.auth import AuthConfig
from serve_app.errors import Unauthenticated

log = logging.getLogger("sekha.auth")


class Keyring:
    """
    The callers' keys, kept as SHA-256 digests.

    Empty when no key is configured: then everyone is let in, and the gateway serves loopback only. Keys that
    are configured but cannot be found let nobody in.
    """

    def __init__(self, keys: Iterable[str], required: bool) -> None:
        self._digests = [_digest(key) for key in keys]
        self._required = required

    @classmethod
    def of(cls, config: AuthConfig, environ: Mapping[str, str]) -> "Keyring":
        """The keys a configuration refers to, looked up now."""
        keys = config.keys(environ)
        if not keys and not config.is_open:
            log.error("caller keys are configured, but none was found: nobody is let in")
        return cls(keys, required=not config.is_open)

    def check(self, scope: Scope) -> None:
        """Let the request pass, or raise Unauthenticated; the key itself is never repeated."""
        if not self._required:
            return
        key = _presented(scope)
        if key is None:
            raise Unauthenticated("No API key: send 'Authorization: Bearer <key>' or 'X-API-Key: <key>'")
        digest = _digest(key)
        if not any(hmac.compare_digest(digest, known) for known in self._digests):
            raise Unauthenticated("Invalid API key")


def _presented(scope: Scope) -> str | None:
    if key := header(scope, b"x-api-key"):
        return key
    scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
