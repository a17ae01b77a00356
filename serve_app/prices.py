"""The price of every configured target: the vendor's terms, the price list, and the operator's overrides."""

from serve_app.accounting.catalogue import target_price
from serve_app.accounting.money import nano_dollars
from serve_app.accounting.price import Price
from serve_app.config.model import ModelConfig
from serve_app.config.provider import ProviderConfig
from serve_app.config.settings import Settings
from serve_app.providers.catalogue import vendor


def prices_of(settings: Settings) -> dict[str, Price | None]:
    """Target name (`provider_id/model_id`) to price; None when nobody knows it."""
    return {
        f"{provider.id}/{model.model_id}": _price_at(provider, model)
        for provider in settings.llm_providers
        for model in provider.models
    }


def _price_at(provider: ProviderConfig, model: ModelConfig) -> Price | None:
    price = target_price(provider.type, vendor(provider.type).is_free, model)
    if price is None or not provider.hourly_rate:
        return price
    return price.with_machine(nano_dollars(provider.hourly_rate))
