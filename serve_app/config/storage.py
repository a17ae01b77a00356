"""The settings of persistent storage."""

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
    """The handling of requests while the store does not answer: allow or deny."""

    ALLOW = "allow"
    DENY = "deny"


class StorageConfig(Config):
    """
    The ledger's database, and the folder for files of this machine.

    Attributes:
        url: a secret, because it may contain a password; None: an SQLite file in the folder.
        retention_days: for how long single entries are kept; their sums stay.
        timeout_s: the limit of every call of the store, in seconds.
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
    Return the folder of a gateway's journals and SQLite file, named after its application.

    It is in the configured folder, else in `$SEKHA_STATE_DIR`, else where XDG has it. Raises ConfigError if
    the environment has no home directory either.
    """
    return state_parent(storage, environ) / quote(gateway, safe="")


def state_parent(storage: StorageConfig, environ: Mapping[str, str]) -> Path:
    """Return the parent folder of all gateways on this machine. Raises ConfigError as `state_folder`."""
    if storage.folder:
        return _from_home(storage.folder, environ)
    if named := environ.get("SEKHA_STATE_DIR", "").strip():
        return _from_home(named, environ)
    if xdg := environ.get("XDG_STATE_HOME", "").strip():
        return Path(xdg) / "sekha"
    return _from_home("~/.local/state/sekha", environ)


def is_kept(storage: StorageConfig, environ: Mapping[str, str]) -> bool:
    """
    Return whether a place for storage is configured; a running gateway has one by default.

    A gateway embedded in another program writes to the disk only if a place is configured.
    """
    return bool(storage.url or storage.folder or environ.get("SEKHA_STATE_DIR", "").strip())


def store_url(storage: StorageConfig, environ: Mapping[str, str], gateway: str) -> str:
    """
    Return the URL of the ledger's database, with its password: never to be shown.

    Raises:
        ConfigError: the reference is not set; a ledger must not silently start anew somewhere else.
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
