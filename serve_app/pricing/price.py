"""The price of a model, and the cost of an answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from serve_app.pricing.usage import Tier, Usage

MILLION = 1_000_000
HOUR_MS = 3_600_000

# The fields of a usage other than plain text.
_REST = slice(Usage._fields.index("cached_read"), Usage._fields.index("estimated"))
_NOTHING_ELSE = Usage()[_REST]
_TOKENS = (
    "input", "output", "cached_read", "cache_write_5m", "cache_write_1h", "reasoning", "audio_input",
    "audio_output", "image_input", "image_output",
)  # fmt: skip
_BOTH = 18 * MILLION  # the least common multiple of a million and an hour's milliseconds


@dataclass(frozen=True, slots=True)
class Price:
    """
    The prices of a model, in nano-dollars per million tokens unless noted.

    The unit keeps a millionth of a cent per token a whole number. A kind of token with the price None costs
    as much as `input` or `output`; one hour in the cache then costs as much as five minutes.

    Attributes:
        image, second, request, character: nano-dollars for each one.
        machine_hour: nano-dollars for an hour of a local machine.
        search: nano-dollars for a search that the vendor runs; None: unknown.
        above: higher prices for long prompts: with more input tokens than the number beside a price, the
            whole request is charged by it.
        tiers: the prices of other service tiers, each with its own `above`; a missing tier costs the same.
    """

    input: int
    output: int = 0
    cached_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    image: int = 0
    second: int = 0
    request: int = 0
    machine_hour: int = 0
    search: int | None = None
    character: int = 0
    above: tuple[tuple[int, "Price"], ...] = ()
    tiers: tuple[tuple[Tier, "Price"], ...] = ()

    @property
    def is_free(self) -> bool:
        """Return whether every kind is free, at any length and in any tier."""
        return not any(price._charges for price in self._all())

    def cost(self, usage: Usage) -> int:
        """Return the nano-dollars for this usage, rounded half up once, at the end."""
        price = self.applying(usage.tier, usage.input_tokens) if self.above or self.tiers else self
        per_input, per_output = price.input, price.output
        tokens = usage.input * per_input + usage.output * per_output
        if usage[_REST] == _NOTHING_ELSE:  # the usual case
            return price.request + (tokens + MILLION // 2) // MILLION
        if usage.cached_read:
            tokens += usage.cached_read * _or(price.cached_read, per_input)
        if usage.cache_write_5m or usage.cache_write_1h:
            per_written = _or(price.cache_write_5m, per_input)
            tokens += usage.cache_write_5m * per_written
            tokens += usage.cache_write_1h * _or(price.cache_write_1h, per_written)
        if usage.reasoning:
            tokens += usage.reasoning * _or(price.reasoning, per_output)
        if usage.audio_input or usage.audio_output:
            tokens += usage.audio_input * _or(price.audio_input, per_input)
            tokens += usage.audio_output * _or(price.audio_output, per_output)
        if usage.image_input or usage.image_output:
            tokens += usage.image_input * _or(price.image_input, per_input)
            tokens += usage.image_output * _or(price.image_output, per_output)
        whole = usage.searches * (self.search or 0)
        whole += usage.images * price.image + usage.seconds * price.second + usage.requests * price.request
        whole += usage.characters * price.character
        if usage.machine_ms:
            together = tokens * (_BOTH // MILLION) + usage.machine_ms * price.machine_hour * (
                _BOTH // HOUR_MS
            )
            return whole + (together + _BOTH // 2) // _BOTH
        return whole + (tokens + MILLION // 2) // MILLION

    def cache_saving(self, usage: Usage) -> int:
        """
        Return the nano-dollars that the vendor's cache saved: its reads are cheaper than other input, and its
        writes dearer. Below 0 where it cost more than it saved.
        """
        if not (usage.cached_read or usage.cache_write_5m or usage.cache_write_1h):
            return 0
        price = self.applying(usage.tier, usage.input_tokens)
        per_written = _or(price.cache_write_5m, price.input)
        tokens = usage.cached_read * (price.input - _or(price.cached_read, price.input))
        tokens += usage.cache_write_5m * (price.input - per_written)
        tokens += usage.cache_write_1h * (price.input - _or(price.cache_write_1h, per_written))
        return (tokens + MILLION // 2) // MILLION

    def cost_of_text(self, read: int, written: int) -> int:
        """Return the nano-dollars for so many input and output tokens of plain text."""
        price = self.applying(Tier.STANDARD, read) if self.above or self.tiers else self
        return price.request + (read * price.input + written * price.output + MILLION // 2) // MILLION

    def with_machine(self, hour: int) -> "Price":
        """
        Return the price with this cost of a machine's hour in nano-dollars, at any length and in any tier.
        """
        return replace(
            self,
            machine_hour=hour,
            above=tuple((least, price.with_machine(hour)) for least, price in self.above),
            tiers=tuple((tier, price.with_machine(hour)) for tier, price in self.tiers),
        )

    def with_cache(self, read: int | None, write: int | None) -> "Price":
        """Return the price with these prices of the cache, unless None, at any length and in any tier."""
        return replace(
            self,
            cached_read=self.cached_read if read is None else read,
            cache_write_5m=self.cache_write_5m if write is None else write,
            cache_write_1h=self.cache_write_1h if write is None else write,
            above=tuple((least, price.with_cache(read, write)) for least, price in self.above),
            tiers=tuple((tier, price.with_cache(read, write)) for tier, price in self.tiers),
        )

    def times(self, factor: Decimal) -> "Price":
        """Return the price with every token so many times as expensive, at any length."""
        kinds = {kind: getattr(self, kind) for kind in _TOKENS}
        return replace(
            self,
            **{kind: round(price * factor) for kind, price in kinds.items() if price is not None},
            above=tuple((least, price.times(factor)) for least, price in self.above),
            tiers=(),
        )

    def with_search(self, search: int | None) -> "Price":
        """Return the price with this price of a search, unless None."""
        return self if search is None else replace(self, search=search)

    def with_image(self, image: int | None) -> "Price":
        """Return the price with this price of a picture, unless None, at any length and in any tier."""
        if image is None:
            return self
        return replace(
            self,
            image=image,
            above=tuple((least, price.with_image(image)) for least, price in self.above),
            tiers=tuple((tier, price.with_image(image)) for tier, price in self.tiers),
        )

    @property
    def charges_for_output(self) -> bool:
        """Return whether any output costs something, at any length, in any tier."""
        return any(
            price.output or price.reasoning or price.audio_output or price.image_output
            for price in self._all()
        )

    def applying(self, tier: Tier, input_tokens: int) -> "Price":
        """Return the prices for a prompt of this length in this tier."""
        price = self
        if tier is not Tier.STANDARD and self.tiers:
            tiers = dict(self.tiers)
            price = next((tiers[name] for name in (tier, *_NEXT_BEST.get(tier, ())) if name in tiers), self)
        if not price.above:
            return price
        crossed = [least for least, _ in price.above if input_tokens > least]
        return dict(price.above)[max(crossed)] if crossed else price

    @property
    def _charges(self) -> bool:
        return any((
            self.input, self.output, self.cached_read, self.cache_write_5m, self.cache_write_1h,
            self.reasoning, self.audio_input, self.audio_output, self.image_input, self.image_output,
            self.image, self.second, self.request, self.machine_hour, self.search,
            self.character,
        ))  # fmt: skip

    def _all(self) -> Iterator["Price"]:
        yield self
        for _, price in (*self.above, *self.tiers):
            yield from price._all()


# Whose price counts where a tier has none of its own.
_NEXT_BEST: Mapping[Tier, tuple[Tier, ...]] = {
    Tier.FAST: (Tier.PRIORITY,),
    Tier.FAST_US: (Tier.FAST, Tier.PRIORITY, Tier.US),
}


def _or(price: int | None, otherwise: int) -> int:
    return otherwise if price is None else price


FREE = Price(0, 0)
