"""
The estimated usage of an answer whose provider reports none: by its text or its time, within its bounds.
"""

from math import ceil
from typing import NamedTuple

from serve_app.pricing.usage import NO_PIECES, Tier, Usage, estimate_tokens

LEAST_TIMED = 8  # the fewest tokens from which a speed is measured


class UsageEstimate(NamedTuple):
    """
    The bounds of an attempt's usage, known before it is made.

    Attributes:
        input_tokens: text and pictures that the target reads.
        sound: tokens of sound among the input.
        tier: the most expensive tier that may be charged.
        writes: the model writes text; only in a chat.
        most_output: the output tokens that were reserved.
        longest: the most output tokens that are possible; None: unknown.
        pieces: what is charged besides text tokens.
        of_sound: what speech or a transcript uses, however much of it was seen; None: it is neither.
    """

    input_tokens: int
    sound: int
    tier: Tier
    writes: bool
    most_output: int
    longest: int | None
    pieces: Usage = NO_PIECES
    of_sound: Usage | None = None

    def by_text(self, chars: int) -> Usage:
        """Return the usage of a complete answer of so many characters."""
        return self._with(estimate_tokens(chars) if self.writes else 0)

    def so_far(self, frames: int, chars: int) -> Usage:
        """
        Return the usage of an answer that broke off: at least one token for each frame.

        Some upstreams send a token in a frame, others a sentence, others repeat the whole text so far.
        """
        return self._with(max(frames, min(estimate_tokens(chars), self.most_output)))

    def by_time(self, elapsed_s: float | None, tokens_per_s: float) -> Usage:
        """
        Return the usage of an attempt that reported nothing.

        That is its input, and what the target writes in that time at its 95th percentile, up to `longest`.

        Args:
            elapsed_s: how long the attempt was at its target; None: it never got there.
            tokens_per_s: the target's 95th percentile.
        """
        if elapsed_s is None or not self.writes:
            return self._with(0)
        written = ceil(max(0.0, elapsed_s) * tokens_per_s)
        return self._with(written if self.longest is None else min(written, self.longest))

    def _with(self, written: int) -> Usage:
        if self.of_sound is not None:
            return self.of_sound
        return self.pieces._replace(
            input=self.input_tokens,
            output=written,
            audio_input=self.sound,
            estimated=True,
            tier=self.tier,
        )


def tokens_per_s(usage: Usage, elapsed_s: float) -> float | None:
    """Return the output speed of an answer; None if it was estimated or is too short to tell."""
    if usage.estimated or usage.output_tokens < LEAST_TIMED or elapsed_s <= 0:
        return None
    return usage.output_tokens / elapsed_s
