"""
A key that was created at run time: its rights and limits, without the key itself.

    created    by `new_key`; only its result ever contains the key
    stored     as SHA-256: it has 256 random bits, so it needs no salt and no slow hash
    revoked    by `revoked`: the record stays, so that neither the key nor its id can be used again
"""

import hashlib
import secrets
from typing import Any

from pydantic import Field

from serve_app.caller import NOBODY, Role
from serve_app.config.base import Config
from serve_app.config.data_policy import DataPolicy
from serve_app.config.model import ModelTask
from serve_app.config.tenant import TENANT_ID, Budgets, Rates

PREFIX = "sk-sekha-"


class KeyConfig(Config):
    """
    The rights and limits of one key.

    Attributes:
        digest: the SHA-256 of the whole key, in hexadecimal.
        models, tasks, data_policy: as for a tenant; the tenant's apply as well.
        expires_at, created_at, revoked_at: seconds since the epoch; None: never.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+$", max_length=64)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    tenant: str = Field(default=NOBODY, pattern=TENANT_ID, max_length=64)
    role: Role = Role.USER
    models: tuple[str, ...] | None = None
    tasks: tuple[ModelTask, ...] | None = None
    budgets: Budgets = ()
    rates: Rates = ()
    data_policy: DataPolicy | None = None
    expires_at: float | None = None
    created_at: float = 0.0
    revoked_at: float | None = None
    note: str = Field(default="", max_length=500)

    def shown(self) -> dict[str, Any]:
        """Return the fields for display as plain JSON, without the digest."""
        return self.model_dump(mode="json", exclude={"digest"})


def new_key(now: float, **fields: Any) -> tuple[str, KeyConfig]:
    """
    Make a key.

    Args:
        now: seconds since the epoch.
        fields: those of `KeyConfig` that an operator may choose; without an `id`, one is generated.

    Returns:
        The key, to be shown once, and its record.

    Raises:
        ValidationError: pydantic's, for an invalid value.
    """
    id_ = fields.pop("id", None) or secrets.token_hex(6)
    key = f"{PREFIX}{id_}-{secrets.token_urlsafe(32)}"
    return key, KeyConfig(id=id_, digest=digest_of(key), created_at=now, **fields)


def revoked(key: KeyConfig, now: float) -> KeyConfig:
    """Return the key as revoked at `now`; one that was revoked before is unchanged."""
    return key if key.revoked_at is not None else key.model_copy(update={"revoked_at": now})


def digest_of(key: str) -> str:
    """Return the digest by which a key is looked up."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
