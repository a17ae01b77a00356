"""One model of one provider, for one task."""

from enum import StrEnum

from pydantic import Field, ValidationInfo, field_validator

from serve_app.config.amounts import PricePer1k, PricePerUse
from serve_app.config.base import Config
from serve_app.config.parameters import Parameters
from serve_app.config.prompt_cache import PromptCacheChoice


class ModelTask(StrEnum):
    """The task that a model is for."""

    EMBEDDING = "embedding"
    CHAT_SMALL = "chat_small"
    CHAT_LARGE = "chat_large"
    CHAT_SMART = "chat_smart"
    VISION = "vision"
    AUDIO = "audio"
    RERANK = "rerank"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"
    MODERATION = "moderation"
    IMAGE_GENERATION = "image_generation"


# The tasks whose models can stand in for each other. Every other task has an endpoint of its own.
CHAT_TASKS = frozenset(
    {ModelTask.CHAT_SMALL, ModelTask.CHAT_LARGE, ModelTask.CHAT_SMART, ModelTask.VISION, ModelTask.AUDIO}
)
SOUND_TASKS = frozenset({ModelTask.SPEECH, ModelTask.TRANSCRIPTION})
# Those that `GET /api/v1/tasks` names: its callers know these.
CLASSIC_TASKS = (
    ModelTask.EMBEDDING,
    ModelTask.CHAT_SMALL,
    ModelTask.CHAT_LARGE,
    ModelTask.CHAT_SMART,
    ModelTask.VISION,
    ModelTask.AUDIO,
)


class VisionCapabilities(Config):
    """The limits of a vision model."""

    max_images: int = Field(default=10, ge=1)
    max_image_size_mb: float = Field(default=20, gt=0)
    supported_formats: tuple[str, ...] = ("jpg", "jpeg", "png", "gif", "webp")


class ModelConfig(Config):
    """
    A model for one task; the same model may be listed for several.

    Attributes:
        cost_per_1k_input, cost_per_1k_output, cost_per_1k_tokens, cost_per_1k_cached,
            cost_per_1k_cache_write: US dollars per 1,000 tokens, which override the price list.
        cost_per_search: US dollars for one search that the vendor runs, or one search unit of a reranking.
        cost_per_image: US dollars for one picture that the model makes.
        cost_per_minute: US dollars for a minute of sound, read or written.
        cost_per_1k_characters: US dollars for 1,000 characters of text that is spoken.
        prompt_cache: as of its provider, for this model; None: as its provider.
        parameters: which parameters the model takes, if it differs from its provider; one of its entries is
            enough.
    """

    model_id: str = Field(min_length=1)
    task: ModelTask
    context_window: int = Field(default=8192, ge=128, le=2_000_000)
    dimension: int | None = Field(default=None, ge=1, le=65_536)
    supports_vision: bool = False
    supports_audio: bool = False
    supports_function_calling: bool = False
    vision_capabilities: VisionCapabilities | None = Field(default=None, validate_default=True)
    cost_per_1k_input: PricePer1k | None = None
    cost_per_1k_output: PricePer1k | None = None
    cost_per_1k_tokens: PricePer1k | None = None
    cost_per_1k_cached: PricePer1k | None = None
    cost_per_1k_cache_write: PricePer1k | None = None
    cost_per_search: PricePerUse | None = None
    cost_per_minute: PricePerUse | None = None
    cost_per_1k_characters: PricePer1k | None = None
    cost_per_image: PricePerUse | None = None
    prompt_cache: PromptCacheChoice | None = None
    parameters: Parameters | None = None

    @field_validator("vision_capabilities")
    @classmethod
    def _seeing_models_have_limits(
        cls, value: VisionCapabilities | None, info: ValidationInfo
    ) -> VisionCapabilities | None:
        if value is None and info.data.get("supports_vision"):
            return VisionCapabilities()
        return value
