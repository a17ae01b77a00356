"""The choice of the price list."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from serve_app.config.base import Config
from serve_app.config.storage import StorageConfig, state_parent

LIST_FILE = "prices.json"


class PriceTable(StrEnum):
    """
    The list that takes precedence.

    Attributes:
        CURRENT: the dated list that comes with LiteLLM, or a newer one from `sekha prices update`.
        CLASSIC: the short table of version 1; the other list for models that it does not contain.
    """

    CURRENT = "current"
    CLASSIC = "classic"


class PricingConfig(Config):
    """The price list that routing, budgets and the ledger use."""

    table: PriceTable = PriceTable.CURRENT


def stored_list(storage: StorageConfig, environ: Mapping[str, str]) -> Path:
    """Return the path of the list from `sekha prices update`, shared by all gateways of the state folder."""
    return state_parent(storage, environ) / LIST_FILE
