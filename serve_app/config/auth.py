"""The keys and tokens of callers."""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from serve_app.caller import NOBODY, Role
from serve_app.config.base import Config
from serve_app.config.secret import Secret
from serve_app.config.tenant import TENANT_ID

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class CallerKey(Config):
    """
    A caller's key by reference, with its owner; may be written as the reference alone.

    Attributes:
        key: may resolve to several keys separated by commas.
        id: its name in logs and in the audit log.
    """

    may_be_a_secret: ClassVar[bool] = True  # so that the reference alone is never expanded, nor shown

    key: Secret
    id: str | None = Field(default=None, pattern=r"^[a-z0-9_-]+$", max_length=64)
    tenant: str = Field(default=NOBODY, pattern=TENANT_ID, max_length=64)
    role: Role = Role.USER

    @model_validator(mode="before")
    @classmethod
    def _the_reference_alone_will_do(cls, value: Any) -> Any:
        return {"key": value} if isinstance(value, str | Secret) else value

    def keys(self, environ: Mapping[str, str]) -> list[str]:
        """Return the keys themselves, looked up now."""
        return _keys_in(self.key, environ)


class JwtConfig(Config):
    """
    The tokens of an identity provider, or of the gateway itself.

    Attributes:
        secret: verifies tokens signed with HS256.
        jwks: a file or a URL; verifies tokens signed with RS256.
        role_claim, tenant_claim: the claims with role and tenant; without them, a user of the tenant
            `default`.
        leeway_s: the tolerated clock difference, in seconds.
        expires_in: the lifetime of the gateway's own tokens, in seconds.
    """

    secret: Secret | None = None
    jwks: str | None = None
    issuer: str | None = None
    audience: str | None = None
    role_claim: str = Field(default="role", min_length=1)
    tenant_claim: str = Field(default="tenant", min_length=1)
    leeway_s: float = Field(default=10.0, ge=0, le=300)
    expires_in: float = Field(default=1800.0, gt=0, le=86_400)

    @field_validator("jwks")
    @classmethod
    def _is_a_file_or_a_safe_address(cls, value: str | None) -> str | None:
        if value is None or "://" not in value:
            return value
        address = urlsplit(value)
        at_home = address.scheme == "http" and address.hostname in _THIS_MACHINE
        if not at_home and (address.scheme != "https" or not address.hostname):
            raise ValueError("must be a path, or a web address that starts with https://")
        return value

    @model_validator(mode="after")
    def _can_check_something(self) -> "JwtConfig":
        if self.secret is None and self.jwks is None:
            raise ValueError("needs a secret (HS256) or jwks (RS256)")
        return self


class AuthConfig(Config):
    """
    Caller keys, by reference; a caller sends one as `Authorization: Bearer …` or `X-API-Key: …`.

    With no keys configured, callers need none, and the gateway serves loopback addresses only.
    `public_metrics` lets Prometheus read `/metrics` without a key. A reference may resolve to several keys
    separated by commas, as `SEKHA_API_KEYS` does.
    """

    api_keys: tuple[CallerKey, ...] = ()
    admin_keys: tuple[Secret, ...] = ()
    jwt: JwtConfig | None = None
    public_metrics: bool = False

    @property
    def is_open(self) -> bool:
        """
        Return whether no key is required. A reference that is not set still requires one: it admits no
        caller.
        """
        return not (self.api_keys or self.admin_keys or self.jwt)

    def keys(self, environ: Mapping[str, str]) -> frozenset[str]:
        """
        Return the keys themselves, looked up now; if `is_open` is False and there are none, no caller is
        admitted.
        """
        found = [key for entry in self.api_keys for key in entry.keys(environ)]
        return frozenset([*found, *self.admins(environ)])

    def admins(self, environ: Mapping[str, str]) -> list[str]:
        """Return the admins' keys themselves, looked up now."""
        return [key for secret in self.admin_keys for key in _keys_in(secret, environ)]


def _keys_in(secret: Secret, environ: Mapping[str, str]) -> list[str]:
    return [key.strip() for key in (secret.reveal(environ) or "").split(",") if key.strip()]
