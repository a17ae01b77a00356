"""Which price list the gateway goes by."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from serve_app.config.base import Config
from serve_app.config.storage import StorageConfig, state_parent

LIST_FILE = "prices.json"


class PriceTable(StrEnum):
    """
    Which list wins where two of them name a model.

    `current`: the dated list that LiteLLM brings, or a newer one from `sekha prices update`. `classic`: the
    short table of version 1, and that list only for what the table does not name.
    """

    CURRENT = "current"
    CLASSIC = "classic"


class PricingConfig(Config):
    """The price list that routing, budgets and the ledger use."""

    table: PriceTable = PriceTable.CURRENT


def stored_list(storage: StorageConfig, environ: Mapping[str, str]) -> Path:
    """Return where `sekha prices update` keeps its list: in the state folder, for every gateway there."""
    return state_parent(storage, environ) / LIST_FILE
