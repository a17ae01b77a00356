"""The count of keys in the store, which were created at run time, before the gateway starts."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from serve_app.config.settings import Settings
from serve_app.config.storage import store_url
from serve_app.control.runtime_config import runtime_config_of
from serve_app.ledger.store import StoreUnavailable
from serve_app.storage.database import database_url
from serve_app.storage.sql import SqlStore

APP_NAME = "sekha"


def note_of_stored_keys(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """
    Return a sentence with the number of keys in the store, or that it does not answer; None: there are none.

    Raises ConfigError if the URL of `storage` is not set.
    """
    url = database_url(store_url(settings.storage, environ, APP_NAME))
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return None
    store = SqlStore(store_url(settings.storage, environ, APP_NAME), settings.storage.timeout_s)
    return asyncio.run(_note(settings, store))


async def _note(settings: Settings, store: SqlStore) -> str | None:
    try:
        records = await store.peek()
    except StoreUnavailable as error:
        return f"the store does not answer, so its keys are not counted: {error}"
    finally:
        await store.close()
    now = time.time()
    keys = runtime_config_of(settings, records, 0).keys.values()
    if not keys:
        return None
    good = sum(k.revoked_at is None and (k.expires_at is None or k.expires_at > now) for k in keys)
    several = "s" if len(keys) != 1 else ""
    held = f"the store holds {len(keys)} key{several} made at run time, {good} of them valid"
    if settings.auth.is_open:
        return f"{held}; every caller needs one, although the configuration has no keys"
    return held
