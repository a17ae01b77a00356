"""
The public keys of an identity provider, from a file or a URL that the operator configured.

URLs in a token (`jku`, `x5u`) are never followed. While the server of the keys is down, tokens that are
signed with a known key stay valid.
"""

import asyncio
import logging
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import jwt
import orjson

from serve_app.clock import Clock
from serve_app.errors import JwksUnavailable, Unauthenticated

FETCH_AT_MOST_EVERY_S = 30.0  # so that unknown key ids cannot cause a flood of fetches
FRESH_FOR_S = 600.0  # how long a removed key may still be accepted
WITHIN_S = 5.0
LARGEST = 1_000_000  # bytes

log = logging.getLogger("sekha.auth")


class KeySet:
    """RS256 keys by their id; `read` returns the source's bytes, in a thread, and may raise OSError."""

    def __init__(self, source: str, clock: Clock, read: Callable[[str], bytes] | None = None) -> None:
        self._source = source
        self._clock = clock
        self._read = read or read_source
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._contents: bytes | None = None
        self._tried_at: float | None = None
        self._is_down = False
        self._fetching: asyncio.Task[None] | None = None
        self.version = 0

    async def key(self, kid: str | None) -> jwt.PyJWK:
        """Return the key of this id, or the only one. Raises Unauthenticated or JwksUnavailable."""
        found = self._found(kid)
        if found is None and (self._fetching or self._is_older_than(FETCH_AT_MOST_EVERY_S)):
            await asyncio.shield(self._fetch())
            found = self._found(kid)
        if found is not None:
            return found
        if self._is_down:
            raise JwksUnavailable("The server with the keys for this token (auth.jwt.jwks) does not answer")
        raise Unauthenticated("Invalid token: the key that signed it is unknown")

    def keep_fresh(self) -> None:
        """Refresh the keys now and then in the background."""
        if self._keys and self._is_older_than(FRESH_FOR_S):
            self._fetch()

    def _found(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def _is_older_than(self, seconds: float) -> bool:
        return self._tried_at is None or self._clock.monotonic() - self._tried_at >= seconds

    def _fetch(self) -> asyncio.Task[None]:
        """Return the fetch in progress, or start one."""
        if self._fetching is None:
            self._tried_at = self._clock.monotonic()
            self._fetching = asyncio.create_task(self._fetched())
        return self._fetching

    async def _fetched(self) -> None:
        try:
            async with asyncio.timeout(WITHIN_S + 1.0):  # the thread has its own limit, for each of its reads
                contents = await asyncio.to_thread(self._read, self._source)
            if contents != self._contents:
                self._keys = keys_in(contents)
                self._contents = contents
                self.version += 1
            self._is_down = False
        except (OSError, ValueError) as error:  # the known keys stay valid
            self._is_down = True
            log.error("auth.jwt.jwks: the keys cannot be read: %s", type(error).__name__)
        finally:
            self._fetching = None


def keys_in(contents: bytes) -> dict[str | None, jwt.PyJWK]:
    """Return the RS256 keys of a JWKS by id. Raises ValueError if it is not a JWKS."""
    document = orjson.loads(contents)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JSON Web Key Set")
    found: dict[str | None, jwt.PyJWK] = {}
    for fields in listed:
        if isinstance(fields, dict) and _checks_signatures(fields):
            try:
                found[fields.get("kid")] = jwt.PyJWK(fields, algorithm="RS256")
            except (jwt.PyJWTError, ValueError, TypeError):
                log.warning("auth.jwt.jwks: a key that is not valid is skipped")
    return found


def _checks_signatures(fields: dict[str, Any]) -> bool:
    return (
        fields.get("kty") == "RSA"
        and fields.get("use", "sig") == "sig"
        and fields.get("alg", "RS256") == "RS256"
        and isinstance(fields.get("kid"), str | None)
    )


class _NoDetours(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirects: only the configured URL is read."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def read_source(source: str) -> bytes:
    """Return the bytes of a file or URL; blocks for a few seconds at most. Raises OSError."""
    if "://" not in source:
        return Path(source).read_bytes()
    opener = urllib.request.build_opener(_NoDetours)
    try:
        with opener.open(source, timeout=WITHIN_S) as answer:  # its scheme was checked by the configuration
            contents: bytes = answer.read(LARGEST + 1)
    except HTTPException as error:
        raise OSError(f"not an HTTP answer: {type(error).__name__}") from error
    if len(contents) > LARGEST:
        raise OSError("the key set is too large")
    return contents
