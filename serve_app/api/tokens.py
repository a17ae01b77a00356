"""
JSON Web Tokens: their claims, after the signature was verified.

    HS256   with the gateway's secret        RS256   with a key of the JWKS

The algorithm is fixed per kind of key: a token with HS256 is never verified with a public key, and one with
`none` is never accepted.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from serve_app.api.jwks import KeySet
from serve_app.caller import NOBODY, Role
from serve_app.clock import Clock
from serve_app.config.auth import JwtConfig
from serve_app.errors import Forbidden, Unauthenticated

LONGEST = 8_192  # characters
LONGEST_NAME = 128
LEAST_SECRET = 32  # bytes: a shorter one can be recovered from a single token
MOST_KEPT = 10_000

OURS = "sekha+jwt"  # the `typ` of the tokens that are issued here; it is signed with the rest
KEY_CLAIM = "sekha_key"

log = logging.getLogger("sekha.auth")


@dataclass(frozen=True, slots=True)
class Claims:
    """
    The claims of a token about its bearer, valid until `expires_at` (a Unix timestamp).

    `key` is the name of the key for which the token was issued: it then has the rights and the lifetime of
    that key.
    """

    name: str
    tenant: str
    role: Role
    expires_at: float
    key: str | None = None


class Tokens:
    """Verifies and issues tokens; `secret` is for HS256, `keys` for RS256."""

    def __init__(self, config: JwtConfig, secret: str | None, keys: KeySet | None, clock: Clock) -> None:
        self._config = config
        self._secret = secret
        self._keys = keys
        self._clock = clock
        self._known: OrderedDict[str, Claims] = OrderedDict()
        self._version = 0

    async def claims(self, token: str, digest: str) -> Claims:
        """
        Verify a token and return its claims; `digest` is that of the whole token.

        Raises:
            Unauthenticated: it is invalid or expired.
            Forbidden: it has no rights here.
            JwksUnavailable: the key for its signature cannot be fetched.
        """
        known = self._remembered(digest)
        if known is None:
            known = await self._checked(token)
            self._known[digest] = known
            if len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        if self._clock.now() >= known.expires_at + self._config.leeway_s:
            self._known.pop(digest, None)
            raise Unauthenticated("This token has expired", "token_expired")
        return known

    def issue(self, key: str) -> str:
        """Return a new token for the key with this name. Raises Forbidden if there is no secret."""
        if self._secret is None:
            raise Forbidden("This gateway issues no tokens: set auth.jwt.secret")
        now = self._clock.now()
        payload: dict[str, Any] = {
            "sub": key,
            KEY_CLAIM: key,
            "iat": now,
            "exp": now + self._config.expires_in,
        }
        if self._config.issuer is not None:
            payload["iss"] = self._config.issuer
        if self._config.audience is not None:
            payload["aud"] = self._config.audience
        return jwt.encode(payload, self._secret, algorithm="HS256", headers={"typ": OURS})

    def _remembered(self, digest: str) -> Claims | None:
        if self._keys is not None:
            self._keys.keep_fresh()
            if self._keys.version != self._version:  # a key may have been removed
                self._version = self._keys.version
                self._known.clear()
        known = self._known.get(digest)
        if known is not None:
            self._known.move_to_end(digest)
        return known

    async def _checked(self, token: str) -> Claims:
        if len(token) > LONGEST:
            raise Unauthenticated("Invalid token: it is too long")
        try:
            header = jwt.get_unverified_header(token)
            algorithm, key = await self._key_for(header)
            payload = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._config.issuer,
                audience=self._config.audience,
                options={
                    "require": ["exp"],
                    "verify_exp": False,  # checked below, by the gateway's clock
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": self._config.audience is not None,
                    "verify_iss": self._config.issuer is not None,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            # The reason is not returned: it would help to forge tokens.
            raise Unauthenticated("Invalid token") from None
        return self._read(header, payload)

    async def _key_for(self, header: Mapping[str, Any]) -> tuple[str, Any]:
        match header.get("alg"):
            case "HS256" if self._secret is not None:
                return "HS256", self._secret
            case "RS256" if self._keys is not None:
                return "RS256", await self._keys.key(header.get("kid"))
        raise Unauthenticated("Invalid token: its signature algorithm is not accepted")

    def _read(self, header: Mapping[str, Any], payload: Mapping[str, Any]) -> Claims:
        now = self._clock.now()
        expires_at, not_before = payload["exp"], payload.get("nbf", 0)
        if not (_is_time(expires_at) and _is_time(not_before)):
            raise Unauthenticated("Invalid token: exp and nbf must be numbers of seconds")
        if now < not_before - self._config.leeway_s:
            raise Unauthenticated("This token is not valid yet")
        is_ours = header.get("typ") == OURS and header.get("alg") == "HS256"
        tenant = payload.get(self._config.tenant_claim, NOBODY)
        if not isinstance(tenant, str):
            raise Forbidden("This token's tenant must be a string")
        return Claims(
            name=_name(payload.get("sub")),
            tenant=tenant,
            role=_role(payload.get(self._config.role_claim, Role.USER)),
            expires_at=expires_at,
            key=str(payload.get(KEY_CLAIM)) if is_ours else None,
        )


def _role(role: Any) -> Role:
    """Return the role of a claim. Raises Forbidden for an unknown one."""
    try:
        return Role(role)
    except (ValueError, TypeError):
        raise Forbidden(f"This token's role must be one of {', '.join(Role)}") from None


def _name(subject: Any) -> str:
    """Return `jwt:` and the subject: no key has such an id, so a token cannot take a key's name."""
    known = isinstance(subject, str) and subject.isprintable()
    return f"jwt:{subject[:LONGEST_NAME]}" if known else "jwt:"


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def tokens_of(config: JwtConfig, environ: Mapping[str, str], clock: Clock) -> Tokens:
    """Return the configured tokens, with the secret resolved now; a missing or short one verifies none."""
    secret = config.secret.reveal(environ) if config.secret else None
    if config.secret is not None and len((secret or "").encode()) < LEAST_SECRET:
        log.error(
            "auth.jwt.secret is missing or shorter than %d bytes: HS256 tokens are refused", LEAST_SECRET
        )
        secret = None
    return Tokens(config, secret, KeySet(config.jwks, clock) if config.jwks else None, clock)
