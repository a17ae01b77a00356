"""What one answer used."""

from enum import StrEnum
from typing import NamedTuple

CHARS_PER_TOKEN = 4  # the usual rule of thumb for English text


class Tier(StrEnum):
    """How fast a vendor was asked to be, which changes its prices: OpenAI's `service_tier`."""

    STANDARD = "standard"
    PRIORITY = "priority"
    FLEX = "flex"
    BATCH = "batch"


_TIERS = {"priority": Tier.PRIORITY, "fast": Tier.PRIORITY, "flex": Tier.FLEX, "batch": Tier.BATCH}


def tier_of(word: object) -> Tier:
    """The tier a vendor or a caller names; any word that changes no price is the standard one."""
    return _TIERS.get(word, Tier.STANDARD) if isinstance(word, str) else Tier.STANDARD


def dearer_tier(word: object) -> Tier:
    """The tier a caller names, unless that is a discount: such a one counts once the vendor has given it."""
    return Tier.PRIORITY if tier_of(word) is Tier.PRIORITY else Tier.STANDARD


class Usage(NamedTuple):
    """
    What one answer used, each token in one bucket only.

    Tokens: `input` is text read that came from no cache and went into none, `cached_read` what came from the
    provider's cache, `cache_write_5m` and `cache_write_1h` what was put into it for so long; `output` is text
    written for the caller, `reasoning` what the model wrote for itself. Sound and pictures that the vendor
    counts in tokens are in `audio_input`, `audio_output`, `image_input`, `image_output`. Not tokens: `images`
    and `seconds` of sound, where these are what is paid for, and `requests`: an answer is one. `machine_ms`
    are milliseconds of a machine of one's own: the answer's share of them (`occupancy.py`); `searches` are
    those that the vendor ran and charges by the piece.

    `estimated` is True when the provider did not say and we counted.
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
    estimated: bool = False
    tier: Tier = Tier.STANDARD

    @property
    def input_tokens(self) -> int:
        """Everything read, of whatever kind."""
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
        """Everything written, of whatever kind."""
        return self.output + self.reasoning + self.audio_output + self.image_output

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


def estimate_tokens(text_length: int) -> int:
    """Estimate the tokens of a text of this many characters, at four characters each; at least one."""
    return max(1, text_length // CHARS_PER_TOKEN)
