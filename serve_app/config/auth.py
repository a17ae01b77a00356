"""Who may call."""

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
    A caller's key by reference, and whose it is; the reference alone will do.

    What it leads to may be several keys with commas between them. `id` is what logs and the audit call it.
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
        """The keys themselves, looked up now."""
        return _keys_in(self.key, environ)


class JwtConfig(Config):
    """
    Tokens of an identity provider, or of our own.

    `secret` checks those signed with HS256, `jwks` (a file, or a URL) those with RS256. `role_claim` and
    `tenant_claim` are where a token says who somebody is; without them it is a user of the tenant `default`.
    `leeway_s` is how far clocks may differ, `expires_in` how long a token of our own lasts, in seconds.
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
        """True when no key is asked for. A reference that leads nowhere still asks: it lets nobody in."""
        return not (self.api_keys or self.admin_keys or self.jwt)

    def keys(self, environ: Mapping[str, str]) -> frozenset[str]:
        """The keys themselves, looked up now; where `is_open` is False and this is empty, nobody may call."""
        found = [key for entry in self.api_keys for key in entry.keys(environ)]
        return frozenset([*found, *self.admins(environ)])

    def admins(self, environ: Mapping[str, str]) -> list[str]:
        """The admins' keys themselves, looked up now."""
        return [key for secret in self.admin_keys for key in _keys_in(secret, environ)]


def _keys_in(secret: Secret, environ: Mapping[str, str]) -> list[str]:
    return [key.strip() for key in (secret.reveal(environ) or "").split(",") if key.strip()]
