"""What a model costs, and what an answer did."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from serve_app.pricing.usage import Tier, Usage

MILLION = 1_000_000
HOUR_MS = 3_600_000

# Of a usage: whatever is counted and is not plain text, in and out.
_REST = slice(Usage._fields.index("cached_read"), Usage._fields.index("estimated"))
_NOTHING_ELSE = Usage()[_REST]
_BOTH = 18 * MILLION  # the least that a million and an hour's milliseconds go into


@dataclass(frozen=True, slots=True)
class Price:
    """
    Nano-dollars per million tokens: a millionth of a cent per token is still a whole number here.

    A kind of token without a price of its own (None) costs what `input` or `output` do; an hour in the cache
    what five minutes do. `image`, `second` and `request` are nano-dollars for one of each, `machine_hour` for
    an hour of a machine of one's own, `search` for a search that the vendor runs; None: nobody says.

    `above` holds dearer prices for long prompts: a request that reads more tokens than the number beside one
    is charged by it as a whole. `tiers` holds the prices of other service tiers, each with an `above` of its
    own; a tier that is not there costs the same.
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
    above: tuple[tuple[int, "Price"], ...] = ()
    tiers: tuple[tuple[Tier, "Price"], ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether nothing costs anything, at any length, in any tier."""
        return not any(price._charges for price in self._all())

    def cost(self, usage: Usage) -> int:
        """Nano-dollars for this usage, rounded half up once, at the end."""
        price = self.applying(usage.tier, usage.input_tokens) if self.above or self.tiers else self
        per_input, per_output = price.input, price.output
        tokens = usage.input * per_input + usage.output * per_output
        if usage[_REST] == _NOTHING_ELSE:  # nearly always
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
        if usage.machine_ms:
            together = tokens * (_BOTH // MILLION) + usage.machine_ms * price.machine_hour * (
                _BOTH // HOUR_MS
            )
            return whole + (together + _BOTH // 2) // _BOTH
        return whole + (tokens + MILLION // 2) // MILLION

    def cost_of_text(self, read: int, written: int) -> int:
        """What `cost` says of so many tokens of plain text, read and written."""
        price = self.applying(Tier.STANDARD, read) if self.above or self.tiers else self
        return price.request + (read * price.input + written * price.output + MILLION // 2) // MILLION

    def with_machine(self, hour: int) -> "Price":
        """The same with an hour of the machine at so many nano-dollars, at any length and in any tier."""
        return replace(
            self,
            machine_hour=hour,
            above=tuple((least, price.with_machine(hour)) for least, price in self.above),
            tiers=tuple((tier, price.with_machine(hour)) for tier, price in self.tiers),
        )

    def with_cache(self, read: int | None, write: int | None) -> "Price":
        """The same with other prices for the cache, where given, at any length and in any tier."""
        return replace(
            self,
            cached_read=self.cached_read if read is None else read,
            cache_write_5m=self.cache_write_5m if write is None else write,
            cache_write_1h=self.cache_write_1h if write is None else write,
            above=tuple((least, price.with_cache(read, write)) for least, price in self.above),
            tiers=tuple((tier, price.with_cache(read, write)) for tier, price in self.tiers),
        )

    def with_search(self, search: int | None) -> "Price":
        """The same with another price for a search, where given."""
        return self if search is None else replace(self, search=search)

    @property
    def charges_for_output(self) -> bool:
        """Whether what is written costs anything, at any length, in any tier."""
        return any(
            price.output or price.reasoning or price.audio_output or price.image_output
            for price in self._all()
        )

    def applying(self, tier: Tier, input_tokens: int) -> "Price":
        """The prices that a prompt of this length is charged by, in this tier."""
        price = self
        if tier is not Tier.STANDARD:
            price = next((other for name, other in self.tiers if name == tier), self)
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
        ))  # fmt: skip

    def _all(self) -> Iterator["Price"]:
        yield self
        for _, price in (*self.above, *self.tiers):
            yield from price._all()


def _or(price: int | None, otherwise: int) -> int:
    return otherwise if price is None else price


FREE = Price(0, 0)
