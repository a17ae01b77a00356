"""The price of every configured target: the vendor's terms, the price list, and the operator's overrides."""

from collections.abc import Mapping
from pathlib import Path

from serve_app.config.model import ModelConfig
from serve_app.config.pricing import PriceTable, stored_list
from serve_app.config.provider import ProviderConfig
from serve_app.config.provider_types import is_plugin_type
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.price import Price
from serve_app.pricing.price_list import (
    UNLISTED,
    PriceCatalogue,
    bundled_catalogue,
    classic_catalogue,
    target_price,
)
from serve_app.pricing.stored_list import catalogue_at
from serve_app.providers.catalogue.rows import vendor


def prices_of(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, Price | None]:
    """
    Return the price by target name (`provider_id/model_id`); None: the price is unknown.

    Args:
        settings: the configured providers and models.
        environ: locates the state folder with an operator's list; None: only the bundled list counts.

    Raises:
        ConfigError: a stored list cannot be read.
    """
    catalogue = catalogue_of(settings, environ)
    return {
        f"{provider.id}/{model.model_id}": _price_at(provider, model, catalogue)
        for provider in settings.llm_providers
        for model in provider.models
    }


def classic_prices_of(settings: Settings) -> dict[str, Price | None]:
    """Return the prices by the classic list, for the classes of version 1."""
    return {
        f"{provider.id}/{model.model_id}": _price_at(provider, model, classic_catalogue())
        for provider in settings.llm_providers
        for model in provider.models
    }


def catalogue_of(settings: Settings, environ: Mapping[str, str] | None) -> PriceCatalogue:
    """Return the price list that the gateway uses; raise ConfigError if a stored one cannot be read."""
    classic = settings.pricing.table is PriceTable.CLASSIC
    path = None if environ is None else operators_list(settings, environ)
    if path is None:
        return classic_catalogue() if classic else bundled_catalogue()
    try:
        return catalogue_at(path, classic=classic)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the price list {path} cannot be read ({error}): replace it with 'sekha prices update', or "
            "remove it with 'sekha prices reset'"
        ) from error


def operators_list(settings: Settings, environ: Mapping[str, str]) -> Path | None:
    """Return the path of the list that an operator has stored on this machine; None: there is none."""
    try:
        path = stored_list(settings.storage, environ)
    except ConfigError:  # without a home or a state folder nothing is stored
        return None
    return path if path.is_file() else None


def _price_at(provider: ProviderConfig, model: ModelConfig, catalogue: PriceCatalogue) -> Price | None:
    if is_plugin_type(provider.type):
        catalogue = UNLISTED  # a list may contain a model of the same name, but not this provider's price
    is_free = vendor(provider.type).is_free_for(model.task, provider.base_url)
    price = target_price(provider.type, is_free, model, catalogue)
    if price is None or not provider.hourly_rate:
        return price
    return price.with_machine(nano_dollars(provider.hourly_rate))
