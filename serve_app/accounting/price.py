"""What a model's tokens cost, and what an answer did."""

from dataclasses import dataclass

from serve_app.accounting.usage import Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """
    Nano-dollars per million tokens: a millionth of a cent per token is still a whole number here.

    `cached` is what an input token from the provider's cache costs; None means as much as any other.
    """

    input: int
    output: int = 0
    cached: int | None = None

    @property
    def is_free(self) -> bool:
        return self.input == 0 and self.output == 0

    def cost(self, usage: Usage) -> int:
        """Nano-dollars for this usage, rounded half up once, at the end."""
        cached = min(usage.cached_tokens, usage.input_tokens) if self.cached is not None else 0
        parts = (
            (usage.input_tokens - cached) * self.input
            + cached * (self.cached or 0)
            + usage.output_tokens * self.output
        )
        return (parts + MILLION // 2) // MILLION


FREE = Price(0, 0)
