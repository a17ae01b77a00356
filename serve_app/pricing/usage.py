"""The usage of one answer."""

from enum import StrEnum
from typing import NamedTuple

CHARS_PER_TOKEN = 4  # the usual rule of thumb for English text


class Tier(StrEnum):
    """The service of a request, where it changes the price: OpenAI's `service_tier`, Anthropic's words."""

    STANDARD = "standard"
    PRIORITY = "priority"
    FLEX = "flex"
    BATCH = "batch"
    FAST = "speed_fast"  # Anthropic's `speed`
    US = "geo_us"  # Anthropic's `inference_geo`
    FAST_US = "speed_fast_geo_us"


_TIERS = {
    "priority": Tier.PRIORITY, "fast": Tier.PRIORITY, "ultrafast": Tier.PRIORITY, "flex": Tier.FLEX,
    "batch": Tier.BATCH, **{tier.value: tier for tier in (Tier.FAST, Tier.US, Tier.FAST_US)},
}  # fmt: skip
_DISCOUNTS = frozenset({Tier.FLEX, Tier.BATCH})
_ANYWHERE = frozenset({None, "global"})  # where Anthropic runs a model at its usual price


def tier_of(word: object) -> Tier:
    """Return the tier of this name; STANDARD for names that do not change the price."""
    return _TIERS.get(word, Tier.STANDARD) if isinstance(word, str) else Tier.STANDARD


def dearer_tier(word: object) -> Tier:
    """
    Return the tier that a caller requests, without discounts: those count once the vendor has granted them.
    """
    tier = tier_of(word)
    return Tier.STANDARD if tier in _DISCOUNTS else tier


def anthropic_tier(speed: object, inference_geo: object, service_tier: object) -> object:
    """Return the word for how Anthropic is asked to serve a request: the most expensive wish in it."""
    is_bound = not isinstance(inference_geo, str | None) or inference_geo not in _ANYWHERE
    if speed == "fast":
        return (Tier.FAST_US if is_bound else Tier.FAST).value
    return Tier.US.value if is_bound else service_tier


class Usage(NamedTuple):
    """
    The usage of one answer, each token in one field only.

    Attributes:
        input: text tokens neither read from a cache nor written to one.
        output: text tokens written for the caller.
        cached_read: tokens read from the provider's cache.
        cache_write_5m, cache_write_1h: tokens written to the cache, by how long it keeps them.
        reasoning: tokens that the model wrote for itself.
        audio_input, audio_output, image_input, image_output: tokens of sound and pictures.
        images, seconds: pictures, and seconds of sound, where these are charged instead of tokens.
        requests: 1 for an answer.
        machine_ms: the answer's share of a local machine's time (`occupancy.py`).
        searches: searches that the vendor ran and charges by the piece.
        characters: characters of a text to be spoken, where these are charged instead of tokens.
        estimated: the provider reported nothing, so the gateway estimated.
    """

    input: int = 0
    output: int = 0
    cached_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    images: int = 0
    seconds: int = 0
    requests: int = 1
    machine_ms: int = 0
    searches: int = 0
    characters: int = 0
    estimated: bool = False
    tier: Tier = Tier.STANDARD

    @property
    def input_tokens(self) -> int:
        """Return all input tokens, of whatever kind."""
        return (
            self.input
            + self.cached_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.audio_input
            + self.image_input
        )

    @property
    def output_tokens(self) -> int:
        """Return all output tokens, of whatever kind."""
        return self.output + self.reasoning + self.audio_output + self.image_output

    @property
    def total_tokens(self) -> int:
        """Return input and output tokens together."""
        return self.input_tokens + self.output_tokens


NO_PIECES = Usage()  # nothing is charged besides text tokens


def estimate_tokens(text_length: int) -> int:
    """Estimate the tokens of a text of this many characters, at four characters each; at least one."""
    return max(1, text_length // CHARS_PER_TOKEN)
