"""A target: one model at one provider."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil

from serve_app.config.model import ModelTask, VisionCapabilities
from serve_app.config.override import ProviderOverride
from serve_app.config.settings import DefaultModels, Settings
from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.catalogue.rows import vendor
from serve_app.providers.catalogue.vendor import ANY_LINK
from serve_app.providers.catalogue.wire_format import OPENAI, WireFormat
from serve_app.providers.dialects import dialect_for


@dataclass(frozen=True, slots=True)
class Target:
    """
    One model at one provider for one task, as configured.

    Attributes:
        name: `provider_id/model_id`.
        position: the place in the configuration, counted over all entries.
        is_enabled: False while an operator has disabled the provider.
        machine_ms: for how long an answer may occupy a machine that is paid by the hour; 0: there is none.
        image_links: the accepted schemes of image addresses, besides `data:` URIs.
        media_domains: the hosts of links that a request may have; None: any.
        is_local: data that is sent there stays on local machines.
        is_window_told: False: `context_window` is a default, not configured.
        formats: the wire formats that its upstream speaks.
        counts_tokens: its vendor counts the tokens of a prompt without a charge.
        caches_prompts: the gateway marks what its vendor may cache.
        dialect: which parameters the model takes.
    """

    provider_id: str
    provider_type: str
    model_id: str
    name: str
    task: ModelTask
    priority: int
    position: int
    context_window: int
    dimension: int | None = None
    supports_vision: bool = False
    supports_audio: bool = False
    vision: VisionCapabilities | None = None
    is_enabled: bool = True
    machine_ms: int = 0
    image_links: frozenset[str] = ANY_LINK
    media_domains: tuple[str, ...] | None = None
    is_local: bool = False
    is_window_told: bool = True
    formats: frozenset[WireFormat] = OPENAI
    counts_tokens: bool = False
    caches_prompts: bool = False
    dialect: Dialect = field(default=Dialect(), compare=False, repr=False)


def targets_of(settings: Settings) -> tuple[Target, ...]:
    """Return one target for each (provider, model, task) entry, in the order of the configuration."""
    entries = ((provider, model) for provider in settings.llm_providers for model in provider.models)
    return tuple(
        Target(
            provider_id=provider.id,
            provider_type=provider.type,
            model_id=model.model_id,
            name=f"{provider.id}/{model.model_id}",
            task=model.task,
            priority=provider.priority,
            position=position,
            context_window=model.context_window,
            dimension=model.dimension,
            supports_vision=model.supports_vision,
            supports_audio=model.supports_audio,
            vision=model.vision_capabilities,
            machine_ms=ceil(1000 * provider.timeout) if provider.hourly_rate else 0,
            image_links=vendor(provider.type).image_links,
            media_domains=provider.media_domains,
            is_local=provider.keeps_data_local(),
            dialect=dialect_for(provider, model.model_id),
            formats=provider.spoken_formats,
            caches_prompts=provider.caches_prompts(model.model_id),
            counts_tokens=vendor(provider.type).counts_tokens,
            is_window_told="context_window" in model.model_fields_set,
        )
        for position, (provider, model) in enumerate(entries)
    )


def overridden(targets: Iterable[Target], overrides: Mapping[str, ProviderOverride]) -> tuple[Target, ...]:
    """Return the targets with the operators' overrides, which are by provider id."""
    return tuple(
        replace(
            target,
            priority=target.priority if override.priority is None else override.priority,
            is_enabled=override.enabled is not False,
        )
        if (override := overrides.get(target.provider_id))
        else target
        for target in targets
    )


def defaults_by_task(defaults: DefaultModels | None) -> dict[ModelTask, str]:
    """Return the configured default model of each task."""
    if defaults is None:
        return {}
    pairs: Iterable[tuple[ModelTask, str | None]] = (
        (ModelTask.EMBEDDING, defaults.embedding),
        (ModelTask.CHAT_SMALL, defaults.chat_fast),
        (ModelTask.CHAT_SMART, defaults.chat_smart),
        (ModelTask.CHAT_LARGE, defaults.chat_smart),
        (ModelTask.VISION, defaults.chat_vision),
    )
    return {task: name for task, name in pairs if name is not None}
