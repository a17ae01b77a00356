"""Providers as a caller of chat completions reaches them, whatever their upstreams speak."""

from collections.abc import Mapping

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.providers.base import Provider
from serve_app.providers.catalogue.wire_format import WireFormat
from serve_app.providers.factory import build_provider
from serve_app.providers.translating import speaking


def chat_provider(config: ProviderConfig, environ: Mapping[str, str], clock: Clock) -> Provider:
    """Return the provider that this configuration describes, behind a translation where it takes one."""
    built = build_provider(config, environ, clock)
    translating = speaking(WireFormat.OPENAI_CHAT, built, config.id, config.spoken_formats, clock)
    assert translating is not None
    return translating
