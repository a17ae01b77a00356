"""API keys of providers, and the message for a missing one."""

from collections.abc import Mapping

from serve_app.config.provider import ProviderConfig
from serve_app.providers.catalogue.vendor import Vendor


def key_of(config: ProviderConfig, vendor: Vendor, environ: Mapping[str, str]) -> str | None:
    """
    Return the key for this provider; None: there is none.

    Without a configured key, the vendor's usual variable is read, but only for the vendor's own address: a
    key for one host is never sent to another.
    """
    if config.api_key is not None:
        return config.api_key.reveal(environ)
    if vendor.key_variable is not None and _is_own_address(config, vendor):
        return environ.get(vendor.key_variable, "").strip() or None
    return None


def missing_key(config: ProviderConfig, vendor: Vendor, api_key: str | None) -> str | None:
    """Return the message for a required key that is missing; None if the provider can be called."""
    if api_key is not None or vendor.is_own:
        return None
    if config.api_key is not None:
        return _sentence(config, config.api_key.shown)
    if vendor.key_variable is not None and _is_own_address(config, vendor):
        return _sentence(config, vendor.key_variable)
    return None


def _is_own_address(config: ProviderConfig, vendor: Vendor) -> bool:
    return config.base_url is None or config.base_url.rstrip("/") == vendor.base_url


def _sentence(config: ProviderConfig, place: str) -> str:
    return f"Provider '{config.id}' has no API key: {place} is not set"
