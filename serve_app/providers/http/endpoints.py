"""What an upstream is asked over HTTP: one endpoint for each format that it speaks."""

from collections.abc import Callable, Mapping

from serve_app.config.provider import ProviderConfig
from serve_app.providers.anthropic.count_tokens_endpoint import CountTokensEndpoint
from serve_app.providers.anthropic.messages_endpoint import MessagesEndpoint
from serve_app.providers.bodies import dialects_of
from serve_app.providers.catalogue.vendor import Vendor
from serve_app.providers.catalogue.wire_format import WireFormat
from serve_app.providers.http.endpoint import Endpoint
from serve_app.providers.openai_compatible.chat_endpoint import ChatEndpoint
from serve_app.providers.openai_compatible.completions_endpoint import CompletionsEndpoint
from serve_app.providers.openai_compatible.embeddings_endpoint import EmbeddingsEndpoint
from serve_app.providers.openai_compatible.image_edits_endpoint import ImageEditsEndpoint
from serve_app.providers.openai_compatible.images_endpoint import ImagesEndpoint
from serve_app.providers.openai_compatible.moderations_endpoint import ModerationsEndpoint
from serve_app.providers.openai_compatible.rerank_endpoint import RerankEndpoint
from serve_app.providers.openai_compatible.responses_endpoint import ResponsesEndpoint
from serve_app.providers.openai_compatible.speech_endpoint import SpeechEndpoint
from serve_app.providers.openai_compatible.transcription_endpoint import TranscriptionEndpoint

_Build = Callable[[ProviderConfig, Vendor, str | None], Endpoint]


def _chat(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    dialects, keeps = dialects_of(config), vendor.reads_provider_preferences
    if not vendor.takes_cache_marks:
        return ChatEndpoint(config.id, dialects, key, keeps)
    return ChatEndpoint(config.id, dialects, key, keeps, config.caches_prompts)


def _completions(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return CompletionsEndpoint(config.id, dialects_of(config), key, vendor.reads_provider_preferences)


def _embeddings(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return EmbeddingsEndpoint(config.id, dialects_of(config), key, vendor.reads_provider_preferences)


def _images(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return ImagesEndpoint(config.id, key, vendor.reads_provider_preferences)


def _image_edits(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return ImageEditsEndpoint(config.id, key, keeps_provider=False)  # an object has no place in a form


def _moderations(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return ModerationsEndpoint(config.id, key, vendor.reads_provider_preferences)


def _rerank(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return RerankEndpoint(config.id, key, vendor.reads_provider_preferences)


def _speech(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return SpeechEndpoint(config.id, dialects_of(config), key)


def _transcription(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return TranscriptionEndpoint("/audio/transcriptions", config.id, dialects_of(config), key)


def _translation(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return TranscriptionEndpoint("/audio/translations", config.id, dialects_of(config), key)


def _responses(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint:
    return ResponsesEndpoint(config.id, dialects_of(config), key)


def _messages(config: ProviderConfig, vendor: Vendor, key: str | None) -> MessagesEndpoint:
    is_token = bool(key and vendor.token_prefix and key.startswith(vendor.token_prefix))
    return MessagesEndpoint(config.id, dialects_of(config), key, is_token, config.caches_prompts)


_BUILD: Mapping[WireFormat, _Build] = {
    WireFormat.OPENAI_CHAT: _chat,
    WireFormat.OPENAI_COMPLETIONS: _completions,
    WireFormat.OPENAI_EMBEDDINGS: _embeddings,
    WireFormat.OPENAI_IMAGES: _images,
    WireFormat.OPENAI_IMAGE_EDITS: _image_edits,
    WireFormat.OPENAI_MODERATIONS: _moderations,
    WireFormat.OPENAI_RESPONSES: _responses,
    WireFormat.ANTHROPIC_MESSAGES: _messages,
    WireFormat.RERANK: _rerank,
    WireFormat.OPENAI_SPEECH: _speech,
    WireFormat.OPENAI_TRANSCRIPTION: _transcription,
    WireFormat.OPENAI_TRANSLATION: _translation,
}


def endpoints_of(config: ProviderConfig, vendor: Vendor, key: str | None) -> dict[WireFormat, Endpoint]:
    """Return the endpoints of a provider, by format."""
    return {format_: _BUILD[format_](config, vendor, key) for format_ in config.spoken_formats}


def counting_endpoint(config: ProviderConfig, vendor: Vendor, key: str | None) -> Endpoint | None:
    """Return the endpoint that counts the tokens of a prompt; None: the upstream has none."""
    if not vendor.counts_tokens or WireFormat.ANTHROPIC_MESSAGES not in config.spoken_formats:
        return None
    return CountTokensEndpoint(config.id, dialects_of(config), key, _messages(config, vendor, key))
