"""The check of the state folder before anything starts that needs it."""

import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from serve_app.config.storage import LEDGER_FILE, OnUnavailable, StorageConfig, state_folder
from serve_app.errors import ConfigError
from serve_app.storage.database import prepare_file
from serve_app.storage.folder import own_folder


def usable_state(
    storage: StorageConfig, environ: Mapping[str, str], gateway: str, say: Callable[[str], None]
) -> Path | None:
    """
    Return the state folder, created and tested; None if it cannot be used and the operator allows that.

    Only an explicit `storage.on_unavailable: allow` allows it; the default is about a store that fails later.

    Raises:
        ConfigError: the folder cannot be used, so spending would not be recorded.
    """
    folder = state_folder(storage, environ, gateway).absolute()
    try:
        own_folder(folder)
        _write_and_remove(folder / f"trial-{os.getpid()}")
        if storage.url is None:
            prepare_file(folder / LEDGER_FILE, storage.timeout_s)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        trouble = f"the state folder {folder} cannot be used: {reason}"
        if "on_unavailable" in storage.model_fields_set and storage.on_unavailable is OnUnavailable.ALLOW:
            say(f"  {trouble}; spending is not recorded (storage.on_unavailable: allow)")
            return None
        raise ConfigError(
            f"{trouble}. Set SEKHA_STATE_DIR or storage.folder to a folder that can be written, or write "
            "storage.on_unavailable: allow to serve without a ledger."
        ) from None
    return folder


def _write_and_remove(file: Path) -> None:
    """Write and remove a file. Raises OSError, also if the disk is full."""
    try:
        with file.open("xb") as writing:
            writing.write(b"sekha")
            writing.flush()
            os.fsync(writing.fileno())
    finally:
        file.unlink(missing_ok=True)
