"""Predicates that tell whether a change between releases affects a configuration, one per kind of setting."""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from serve_app.caller import NOBODY, Role
from serve_app.config.endpoint_addresses import is_literal
from serve_app.config.load import Loaded
from serve_app.config.model import CHAT_TASKS
from serve_app.config.pricing import PriceTable
from serve_app.config.provider import ProviderConfig
from serve_app.config.provider_types import is_plugin_type
from serve_app.config.storage import OnUnavailable
from serve_app.providers.catalogue.rows import ANTHROPIC, VLLM, vendor
from serve_app.providers.catalogue.vendor import Adapter

Environ = Mapping[str, str]
Touches = Callable[[Loaded, Environ], bool]

# Models whose prices in the classic table and in the bundled list differ; a test compares them.
REPRICED = frozenset(
    {"gpt-4o", "moonshot-v1-8k", "moonshot-v1-32k", "moonshot-v1-128k", "deepseek-v3", "deepseek-chat"}
)


def every(loaded: Loaded, environ: Environ) -> bool:
    return True


def any_provider(leaves: Callable[[ProviderConfig], bool]) -> Touches:
    return lambda loaded, environ: any(leaves(provider) for provider in loaded.settings.llm_providers)


def writes_no_waits(provider: ProviderConfig) -> bool:
    return not provider.retry.model_fields_set & {"max_retries", "first_delay_s", "factor", "max_delay_s"}


def writes_no_retry_after(provider: ProviderConfig) -> bool:
    return "retry_after_max_s" not in provider.retry.model_fields_set


def writes_no_first_token(provider: ProviderConfig) -> bool:
    return "first_token_timeout_s" not in provider.model_fields_set


def takes_no_links(provider: ProviderConfig) -> bool:
    return not vendor(provider.type).image_links


def lists_no_media_domain(provider: ProviderConfig) -> bool:
    return provider.media_domains == () and bool(vendor(provider.type).image_links)


def writes_no_breaker(loaded: Loaded, environ: Environ) -> bool:
    return "circuit_breaker" not in loaded.settings.model_fields_set


def writes_a_breaker_without_reset(loaded: Loaded, environ: Environ) -> bool:
    written = loaded.settings.circuit_breaker.model_fields_set
    return not writes_no_breaker(loaded, environ) and "reset_timeout" not in written


def writes_no_failure_rate(loaded: Loaded, environ: Environ) -> bool:
    return "failure_rate" not in loaded.settings.circuit_breaker.model_fields_set


def switches_rays_token_off(loaded: Loaded, environ: Environ) -> bool:
    return environ.get("RAY_AUTH_MODE", "").strip().lower() == "disabled"


def leaves_unusable_state_to_us(loaded: Loaded, environ: Environ) -> bool:
    storage = loaded.settings.storage
    return "on_unavailable" not in storage.model_fields_set and storage.on_unavailable is OnUnavailable.ALLOW


def names_an_upstream(loaded: Loaded, environ: Environ) -> bool:
    addresses = [urlsplit(p.base_url).hostname for p in loaded.settings.llm_providers if p.base_url]
    return any(host and not is_literal(host) and host != "localhost" for host in addresses)


def has_no_vllm(loaded: Loaded, environ: Environ) -> bool:
    return not any(provider.type == VLLM.type for provider in loaded.settings.llm_providers)


def has_no_keys(loaded: Loaded, environ: Environ) -> bool:
    return loaded.settings.auth.is_open


def is_found(loaded: Loaded, environ: Environ) -> bool:
    return loaded.source == "discovery" and any(p.api_key for p in loaded.settings.llm_providers)


def goes_by_a_changed_price(loaded: Loaded, environ: Environ) -> bool:
    settings = loaded.settings
    return settings.pricing.table is PriceTable.CURRENT and any(
        model.cost_per_1k_input is None
        and model.cost_per_1k_tokens is None
        and model.model_id.rpartition("/")[2] in REPRICED
        for provider in settings.llm_providers
        for model in provider.models
    )


def chose_default_models(loaded: Loaded, environ: Environ) -> bool:
    return any(note.startswith("default_models is not set") for note in loaded.notes)


def has_several_chat_models(loaded: Loaded, environ: Environ) -> bool:
    chats = {
        (provider.id, model.model_id)
        for provider in loaded.settings.llm_providers
        for model in provider.models
        if model.task in CHAT_TASKS
    }
    return len(chats) > 1


def pins_named_models(loaded: Loaded, environ: Environ) -> bool:
    return not loaded.settings.routing.auto_fallback


def limits_cost(loaded: Loaded, environ: Environ) -> bool:
    settings = loaded.settings
    return settings.routing.max_cost_per_request is not None or bool(settings.budgets)


def leaves_body_limit_to_us(loaded: Loaded, environ: Environ) -> bool:
    return "max_body_mb" not in loaded.settings.router.model_fields_set


def has_vllm(loaded: Loaded, environ: Environ) -> bool:
    settings = loaded.settings
    return settings.backends.vllm_endpoint is not None or any(
        p.type == VLLM.type for p in settings.llm_providers
    )


def endpoint_alone(loaded: Loaded, environ: Environ) -> bool:
    return loaded.source == "discovery" and loaded.settings.backends.vllm_endpoint is not None


def has_tenants_or_admins(loaded: Loaded, environ: Environ) -> bool:
    return bool(loaded.settings.auth.admin_keys or loaded.settings.tenants)


def limits_tokens_or_money(loaded: Loaded, environ: Environ) -> bool:
    """Return whether a budget, or a rate of tokens, is configured."""
    settings = loaded.settings
    if settings.budgets or any(tenant.budgets for tenant in settings.tenants):
        return True
    rates = (*settings.rates, *(rate for tenant in settings.tenants for rate in tenant.rates))
    return any(rate.tokens_per_minute is not None for rate in rates)


def spoke_by_litellm(loaded: Loaded, environ: Environ) -> bool:
    """Return whether a provider was reached through LiteLLM before 2.1.0."""
    return asks_anthropic(loaded, environ) or any(
        vendor(p.type).adapter is Adapter.LITELLM and not is_plugin_type(p.type)
        for p in loaded.settings.llm_providers
    )


def asks_anthropic(loaded: Loaded, environ: Environ) -> bool:
    """Return whether a provider is Anthropic's own API."""
    return any(provider.type == ANTHROPIC.type for provider in loaded.settings.llm_providers)


def has_keys(loaded: Loaded, environ: Environ) -> bool:
    return not has_no_keys(loaded, environ)


def has_tenants_readers(loaded: Loaded, environ: Environ) -> bool:
    """Return whether a key with the role `read` belongs to a tenant."""
    return any(key.role is Role.READ and key.tenant != NOBODY for key in loaded.settings.auth.api_keys)
