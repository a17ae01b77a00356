"""Where the gateway keeps what has to outlive it."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from pydantic import AliasChoices, Field

from serve_app.config.base import Config
from serve_app.config.secret import Secret
from serve_app.errors import ConfigError

LEDGER_FILE = "ledger.sqlite3"


class OnUnavailable(StrEnum):
    """What becomes of requests while the store does not answer."""

    ALLOW = "allow"
    DENY = "deny"


class StorageConfig(Config):
    """
    The ledger's database, and the folder for what stays on this machine.

    `url` may hold a password, so it is a secret; without one, the ledger is an SQLite file in the folder. No
    call of the store takes longer than `timeout_s`. Single entries are kept for `retention_days`, their sums
    stay.
    """

    url: Secret | None = None
    folder: str | None = None
    retention_days: int = Field(default=90, ge=1)
    on_unavailable: OnUnavailable = Field(
        default=OnUnavailable.ALLOW,
        validation_alias=AliasChoices("on_unavailable", "on_store_unavailable"),
    )
    timeout_s: float = Field(default=5.0, gt=0, le=60)


def state_folder(storage: StorageConfig, environ: Mapping[str, str], gateway: str) -> Path:
    """
    Where a gateway's journals and SQLite file are: a folder of its own, by the name it runs under.

    It lies where it is configured, else in `$SEKHA_STATE_DIR`, else where XDG has it. Raises ConfigError when
    the environment does not even say where home is.
    """
    return state_parent(storage, environ) / quote(gateway, safe="")


def state_parent(storage: StorageConfig, environ: Mapping[str, str]) -> Path:
    """Return the folder that holds those of all gateways on this machine; ConfigError likewise."""
    if storage.folder:
        return _from_home(storage.folder, environ)
    if named := environ.get("SEKHA_STATE_DIR", "").strip():
        return _from_home(named, environ)
    if xdg := environ.get("XDG_STATE_HOME", "").strip():
        return Path(xdg) / "sekha"
    return _from_home("~/.local/state/sekha", environ)


def is_kept(storage: StorageConfig, environ: Mapping[str, str]) -> bool:
    """
    Whether somebody has said where to keep things; a running gateway keeps them anyway.

    A gateway within another program writes nothing to a disk that it was not told to write to.
    """
    return bool(storage.url or storage.folder or environ.get("SEKHA_STATE_DIR", "").strip())


def store_url(storage: StorageConfig, environ: Mapping[str, str], gateway: str) -> str:
    """
    The address of the ledger's database, password and all: never to be shown.

    Raises ConfigError when the reference leads nowhere: a ledger must not quietly begin anew somewhere else.
    """
    if storage.url is None:
        return f"sqlite:///{state_folder(storage, environ, gateway).absolute() / LEDGER_FILE}"
    url = storage.url.reveal(environ)
    if url is None:
        raise ConfigError(f"storage.url: {storage.url.shown} is not set")
    return url


def _from_home(folder: str, environ: Mapping[str, str]) -> Path:
    if folder != "~" and not folder.startswith("~/"):
        return Path(folder)
    home = environ.get("HOME", "").strip()
    if not home:
        raise ConfigError("storage.folder: HOME is not set; set SEKHA_STATE_DIR or storage.folder")
    return Path(home) / folder[2:]
