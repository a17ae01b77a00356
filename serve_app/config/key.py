"""
A key that was made while the gateway runs: everything about it but the key.

    made       `new_key`, whose answer is the only place where the key itself ever stands
    kept       its SHA-256: 256 random bits cannot be guessed from that, so it needs no salt and no slow hash
    revoked    `revoked`: the record stays, for ever, so that neither the key nor its id can come back
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
    One key's rights and limits.

    `digest` is the SHA-256 of the whole key, in hexadecimal. `models`, `tasks` and `data_policy` as a
    tenant's, which bind it as well. `expires_at`, `created_at` and `revoked_at` are seconds since the epoch;
    None: never.
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
        """Everything about it that is for people's eyes, as plain JSON: not what it is looked up by."""
        return self.model_dump(mode="json", exclude={"digest"})


def new_key(now: float, **fields: Any) -> tuple[str, KeyConfig]:
    """
    Make a key.

    Args:
        now: seconds since the epoch.
        fields: those of `KeyConfig` that an operator may choose; without an `id`, one is made.

    Returns:
        The key, to be shown once, and what is kept of it.

    Raises:
        ValidationError: pydantic's, for a value that no key may have.
    """
    id_ = fields.pop("id", None) or secrets.token_hex(6)
    key = f"{PREFIX}{id_}-{secrets.token_urlsafe(32)}"
    return key, KeyConfig(id=id_, digest=digest_of(key), created_at=now, **fields)


def revoked(key: KeyConfig, now: float) -> KeyConfig:
    """The same, good for nothing from now on; who was revoked before stays so from then."""
    return key if key.revoked_at is not None else key.model_copy(update={"revoked_at": now})


def digest_of(key: str) -> str:
    """What a key is looked up by."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
