"""
Authentication of callers, by a key or a token in `Authorization: Bearer` or `X-API-Key`.

    user    calls models
    read    reads what was spent and measured
    admin   everything
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from math import inf
from typing import NamedTuple

from fastapi import Request

from serve_app.api.asgi import Scope, header
from serve_app.api.tokens import Claims, tokens_of
from serve_app.api.wrong_keys import WrongKeys
from serve_app.caller import ANYONE, NOBODY, Caller, Role
from serve_app.clock import Clock
from serve_app.config.auth import AuthConfig
from serve_app.config.key import PREFIX, digest_of
from serve_app.config.settings import Settings
from serve_app.control.runtime_config import NO_REVISION, RuntimeConfig, runtime_config_of
from serve_app.errors import Forbidden, GatewayUnavailable, InvalidRequest, Unauthenticated

log = logging.getLogger("sekha.auth")

Authorised = Callable[[Request], Awaitable[Caller]]

_MAY = {
    Role.USER: "call models",
    Role.READ: "read costs and metrics",
    Role.ADMIN: "use this admin endpoint",
}
_HOW = "set auth.admin_keys or SEKHA_ADMIN_KEYS"


class Known(NamedTuple):
    """The caller of a key, valid until `expires_at` (a Unix timestamp)."""

    caller: Caller
    expires_at: float = inf


class _Configured(NamedTuple):
    name: str
    tenant: str
    role: Role


class Keyring:
    """
    The credentials of callers: keys of the configuration, keys of the runtime config, and tokens.

    If none is configured, everyone may call models, and the gateway serves loopback only; the admin API
    requires an admin's key even there. Configured keys whose variable is not set let nobody in.
    """

    def __init__(
        self, config: AuthConfig, environ: Mapping[str, str], clock: Clock, runtime_config: RuntimeConfig
    ) -> None:
        self._is_open = config.is_open
        self._clock = clock
        self._wrong_keys = WrongKeys(clock)
        self._configured = _configured(config, environ)
        self._tokens = tokens_of(config.jwt, environ, clock) if config.jwt else None
        if not (self._configured or self._tokens or self._is_open):
            log.error("caller keys are configured, but none is set: every request is refused")
        self.take(runtime_config)

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str], clock: Clock) -> "Keyring":
        """Return the keyring of a configuration, with its keys resolved now."""
        return cls(settings.auth, environ, clock, runtime_config_of(settings, (), 0))

    def take(self, runtime_config: RuntimeConfig) -> None:
        """Apply the keys, revocations and tenants of a new runtime config."""
        # The time of a look-up by digest reveals nothing: a caller who guesses keys cannot choose their
        # digests.
        known = {
            digest: Known(runtime_config.caller(name, tenant, role))
            for digest, (name, tenant, role) in self._configured.items()
            if digest not in runtime_config.revoked and runtime_config.has_tenant(tenant)
        }
        for digest, key in runtime_config.by_digest.items():
            known[digest] = Known(
                runtime_config.caller_of(key), inf if key.expires_at is None else key.expires_at
            )
        self._runtime_config = runtime_config
        self._known = known
        self._by_name = {entry.caller.name: entry for entry in known.values()}
        nobody = runtime_config.tenants.get(NOBODY)
        self._anyone = replace(ANYONE, vendor_objects=True) if nobody and nobody.vendor_objects else ANYONE
        self._asks = not self._is_open or bool(runtime_config.keys)
        self._has_admins = self._tokens is not None or any(
            entry.caller.role is Role.ADMIN for entry in known.values()
        )

    @property
    def asks(self) -> bool:
        """Return whether callers need a key to call models."""
        return self._asks

    async def caller(self, scope: Scope) -> Caller:
        """
        Return the caller of a request. The key itself is never repeated.

        Raises:
            Unauthenticated: the key is missing or wrong; raised after a wait if many were wrong.
            TooManyWrongKeys: the wait would be too long.
            InvalidRequest: the `Authorization` header is not a Bearer.
            Forbidden: the token has no rights here.
            JwksUnavailable: the token cannot be checked at the moment.
            GatewayUnavailable: the key is unknown, and the keys of the store are not loaded yet.
        """
        if not self._asks:
            return self._anyone
        key = _presented(scope)
        digest = digest_of(key)
        known = self._known.get(digest)
        if known is not None:
            return self._unless_expired(known)
        if self._tokens is not None and key.count(".") == 2:
            try:
                return self._bearer(await self._tokens.claims(key, digest))
            except Unauthenticated:
                await self._wrong_keys.slow_down(_address_of(scope))
                raise
        if self._runtime_config.revision == NO_REVISION and key.startswith(PREFIX):
            raise GatewayUnavailable("Keys created at run time are not loaded yet", 1.0)
        await self._wrong_keys.slow_down(_address_of(scope))
        raise Unauthenticated("Invalid API key")

    async def model_caller(self, scope: Scope) -> Caller:
        """Return the caller of a request like `caller`. Raises Forbidden if it may not call models."""
        caller = await self.caller(scope)
        check_role(caller, Role.USER)
        return caller

    def require(self, role: Role | None = None) -> Authorised:
        """Return a FastAPI dependency that requires this role; None: any key."""

        async def authorised(request: Request) -> Caller:
            caller = await self.caller(request.scope)
            if role in (Role.READ, Role.ADMIN) and not self._asks:
                raise Unauthenticated(f"This endpoint requires an admin key, and none is configured: {_HOW}")
            if role is not None:
                check_role(caller, role, "" if self._has_admins else f"; no admin key is configured: {_HOW}")
            return caller

        return authorised

    def require_view(self) -> Authorised:
        """Return a FastAPI dependency for views of all tenants' data; without keys, anyone may see them."""

        async def authorised(request: Request) -> Caller:
            caller = await self.caller(request.scope)
            if self._asks:
                check_role(caller, Role.READ)
                check_unconfined(caller)
            return caller

        return authorised

    def token_for(self, caller: Caller) -> str:
        """Return a token with the rights of this caller's key. Raises Forbidden if none can be issued."""
        if self._tokens is None or caller.name not in self._by_name:
            raise Forbidden("Tokens are issued only for an API key, and only if auth.jwt.secret is set")
        return self._tokens.issue(caller.name)

    def _bearer(self, claims: Claims) -> Caller:
        if claims.key is not None:
            known = self._by_name.get(claims.key)
            if known is None:
                raise Unauthenticated("The API key that this token was issued for is no longer valid")
            return self._unless_expired(known)
        if not self._runtime_config.has_tenant(claims.tenant):
            raise Forbidden("This token names a tenant that does not exist")
        return self._runtime_config.caller(claims.name, claims.tenant, claims.role)

    def _unless_expired(self, known: Known) -> Caller:
        if self._clock.now() >= known.expires_at:
            raise Unauthenticated("This API key has expired", "expired_api_key")
        return known.caller


def check_role(caller: Caller, role: Role, hint: str = "") -> None:
    """Raise Forbidden for a caller that has neither this role nor the role of an admin."""
    if caller.role is not role and caller.role is not Role.ADMIN:
        raise Forbidden(f"A key of role '{caller.role}' may not {_MAY[role]}{hint}")


def check_unconfined(caller: Caller) -> None:
    """Raise Forbidden for a key of role `read` that is confined to one tenant."""
    if caller.confined_to is not None:
        raise Forbidden(
            f"This key may only read the costs of tenant '{caller.tenant}', at /api/admin/costs, "
            "/api/admin/costs/recent and /api/admin/limits"
        )


def _configured(config: AuthConfig, environ: Mapping[str, str]) -> dict[str, _Configured]:
    """Return the configuration's keys by digest; their names have a colon, which no later key can have."""
    found: dict[str, _Configured] = {}
    for place, entry in enumerate(config.api_keys, start=1):
        for number, key in enumerate(entry.keys(environ), start=1):
            name = f"config:{entry.id or f'api-key-{place}'}{'' if number == 1 else f'-{number}'}"
            found[digest_of(key)] = _Configured(name, entry.tenant, entry.role)
    for number, key in enumerate(config.admins(environ), start=1):
        found[digest_of(key)] = _Configured(f"config:admin-key-{number}", NOBODY, Role.ADMIN)
    return found


def _address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _presented(scope: Scope) -> str:
    """Return the key of a request. Raises Unauthenticated if there is none."""
    if key := header(scope, b"x-api-key"):
        return key
    given = header(scope, b"authorization")
    if given is None:
        raise Unauthenticated("No API key: send 'Authorization: Bearer <key>' or 'X-API-Key: <key>'")
    scheme, _, key = given.partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidRequest(
            "Invalid authorization format: it must be 'Bearer <key>'", code="invalid_authorization"
        )
    if not (key := key.strip(" \t")):
        raise Unauthenticated("No API key: 'Bearer' is not followed by a key")
    return key
