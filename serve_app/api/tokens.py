"""
JSON Web Tokens: who their bearer is, once the signature was found good.

    HS256   with our own secret        RS256   with a key of the JWKS

Which of the two a token may use is our choice, made per kind of key: a token that says HS256 is never checked
with a public key, and one that says `none` with nothing at all.
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
LEAST_SECRET = 32  # bytes: a shorter one can be guessed from a single token
MOST_KEPT = 10_000

OURS = "sekha+jwt"  # the `typ` of the tokens that we give out; it is signed with the rest
KEY_CLAIM = "sekha_key"

log = logging.getLogger("sekha.auth")


@dataclass(frozen=True, slots=True)
class Claims:
    """
    What a token says about its bearer, until `expires_at` (seconds since the epoch).

    `key` names the key it was given out for: then it is good for what that key is good for, as long as it is.
    """

    name: str
    tenant: str
    role: Role
    expires_at: float
    key: str | None = None


class Tokens:
    """Checks tokens and gives them out; `secret` is for HS256, `keys` for RS256."""

    def __init__(self, config: JwtConfig, secret: str | None, keys: KeySet | None, clock: Clock) -> None:
        self._config = config
        self._secret = secret
        self._keys = keys
        self._clock = clock
        self._known: OrderedDict[str, Claims] = OrderedDict()
        self._version = 0

    async def claims(self, token: str, digest: str) -> Claims:
        """
        What the token says; `digest` is that of all of it.

        Raises Unauthenticated, Forbidden, and JwksUnavailable when the key to check it with is out of reach.
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
        """A token for the bearer of the key with this name; raises Forbidden where there is no secret."""
        if self._secret is None:
            raise Forbidden("This gateway issues no tokens: set auth.jwt.secret")
        now = self._clock.now()
        said: dict[str, Any] = {"sub": key, KEY_CLAIM: key, "iat": now, "exp": now + self._config.expires_in}
        if self._config.issuer is not None:
            said["iss"] = self._config.issuer
        if self._config.audience is not None:
            said["aud"] = self._config.audience
        return jwt.encode(said, self._secret, algorithm="HS256", headers={"typ": OURS})

    def _remembered(self, digest: str) -> Claims | None:
        if self._keys is not None:
            self._keys.keep_fresh()
            if self._keys.version != self._version:  # a key may have been taken away
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
            said = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._config.issuer,
                audience=self._config.audience,
                options={
                    "require": ["exp"],
                    "verify_exp": False,  # by our clock, below
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": self._config.audience is not None,
                    "verify_iss": self._config.issuer is not None,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            # Why is for the log of whoever made the token; here it would help those who make them up.
            raise Unauthenticated("Invalid token") from None
        return self._read(header, said)

    async def _key_for(self, header: Mapping[str, Any]) -> tuple[str, Any]:
        match header.get("alg"):
            case "HS256" if self._secret is not None:
                return "HS256", self._secret
            case "RS256" if self._keys is not None:
                return "RS256", await self._keys.key(header.get("kid"))
        raise Unauthenticated("Invalid token: its signature algorithm is not accepted")

    def _read(self, header: Mapping[str, Any], said: Mapping[str, Any]) -> Claims:
        now = self._clock.now()
        expires_at, not_before = said["exp"], said.get("nbf", 0)
        if not (_is_time(expires_at) and _is_time(not_before)):
            raise Unauthenticated("Invalid token: exp and nbf must be numbers of seconds")
        if now < not_before - self._config.leeway_s:
            raise Unauthenticated("This token is not valid yet")
        is_ours = header.get("typ") == OURS and header.get("alg") == "HS256"
        tenant = said.get(self._config.tenant_claim, NOBODY)
        if not isinstance(tenant, str):
            raise Forbidden("This token's tenant must be a string")
        return Claims(
            name=_name(said.get("sub")),
            tenant=tenant,
            role=_role(said.get(self._config.role_claim, Role.USER)),
            expires_at=expires_at,
            key=str(said.get(KEY_CLAIM)) if is_ours else None,
        )


def _role(said: Any) -> Role:
    """Whoever has a role that we do not know has none here."""
    try:
        return Role(said)
    except (ValueError, TypeError):
        raise Forbidden(f"This token's role must be one of {', '.join(Role)}") from None


def _name(subject: Any) -> str:
    """`jwt:` and the subject: no key has such an id, so nobody takes a key's name for himself."""
    known = isinstance(subject, str) and subject.isprintable()
    return f"jwt:{subject[:LONGEST_NAME]}" if known else "jwt:"


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def tokens_of(config: JwtConfig, environ: Mapping[str, str], clock: Clock) -> Tokens:
    """As configured, with the secret looked up now; one that is missing or too short checks nothing."""
    secret = config.secret.reveal(environ) if config.secret else None
    if config.secret is not None and len((secret or "").encode()) < LEAST_SECRET:
        log.error(
            "auth.jwt.secret is missing or shorter than %d bytes: HS256 tokens are refused", LEAST_SECRET
        )
        secret = None
    return Tokens(config, secret, KeySet(config.jwks, clock) if config.jwks else None, clock)
