"""
What models cost, where anyone has said so.

The current list, which the gateway goes by:

    the price file, by `<type>/<id>`     what this very provider charges
    the classic table's free rows
    the price file, by id
    the classic table                    models that vendors no longer list
    all of these again, for the id without its date

The classic list, which the Python functions of version 1 and `pricing.table: classic` go by, is the same with
the classic table first. The price file is LiteLLM's, or a newer one that an operator has given.

An id nobody lists has no price. That is not the same as free, and nothing here confuses the two.
"""

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from serve_app.config.model import ModelConfig, ModelTask
from serve_app.config.override import PriceOverride
from serve_app.pricing.litellm_prices import max_input_of, max_output_of, per_million, price_of
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.price import FREE, Price
from serve_app.providers.catalogue.rows import vendor

PRICE_FILE = "model_prices_and_context_window_backup.json"
ROWS = "models"  # where a stored list keeps its rows; no model is called that

_DATED = re.compile(r"[-:@](\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4}|latest)")


class Entry(NamedTuple):
    """
    One line of the price list; `embedding` is True for a model that makes vectors.

    `max_output` is how many tokens it writes at most in one answer, `max_input` how many it reads; None where
    the list does not say.
    """

    price: Price
    embedding: bool = False
    max_output: int | None = None
    max_input: int | None = None


def per_1k(input_dollars: float | str | Decimal, output_dollars: float | str | Decimal = 0) -> Price:
    """A price told in US dollars per 1,000 tokens."""
    return Price(per_million(input_dollars, 1000), per_million(output_dollars, 1000))


def _chat(input_dollars: str, output_dollars: str, cached: str | None = None) -> Entry:
    read = None if cached is None else per_million(cached, 1000)
    return Entry(per_1k(input_dollars, output_dollars).with_cache(read, None))


def _claude(input_dollars: str, output_dollars: str) -> Entry:
    """Anthropic's cache costs a tenth of the input to read, a quarter more to write, double for an hour."""
    price = per_1k(input_dollars, output_dollars)
    return Entry(
        replace(
            price,
            cached_read=price.input // 10,
            cache_write_5m=price.input * 5 // 4,
            cache_write_1h=price.input * 2,
            search=10_000_000,  # ten dollars a thousand
        )
    )


def _embedding(dollars: str) -> Entry:
    return Entry(per_1k(dollars), embedding=True)


_FREE_CHAT = Entry(FREE)
_FREE_EMBEDDING = Entry(FREE, embedding=True)
_OPUS = _claude("0.015", "0.075")
_SONNET = _claude("0.003", "0.015")
_HAIKU = _claude("0.00025", "0.00125")
_HAIKU_3_5 = _claude("0.001", "0.005")

# The classic table: US dollars per 1,000 tokens, input and output, as version 1 had them; several are out of
# date. What is read from a cache, where that has a price of its own, is in the vendor's proportion to it.
TABLE: Mapping[str, Entry] = {
    "gpt-4o": _chat("0.005", "0.015", "0.0025"),
    "gpt-4o-mini": _chat("0.00015", "0.0006", "0.000075"),
    "gpt-4-turbo": _chat("0.01", "0.03"),
    "gpt-4": _chat("0.03", "0.06"),
    "gpt-3.5-turbo": _chat("0.0005", "0.0015"),
    "text-embedding-3-large": _embedding("0.00013"),
    "text-embedding-3-small": _embedding("0.00002"),
    "text-embedding-ada-002": _embedding("0.0001"),
    "claude-3-opus": _OPUS,
    "claude-3-opus-20240229": _OPUS,
    "claude-3-sonnet": _SONNET,
    "claude-3-sonnet-20240229": _SONNET,
    "claude-3-haiku": _HAIKU,
    "claude-3-haiku-20240307": _HAIKU,
    "claude-3-5-sonnet": _SONNET,
    "claude-3-5-sonnet-20241022": _SONNET,
    "claude-3.5-sonnet": _SONNET,
    "claude-3-5-haiku": _HAIKU_3_5,
    "claude-3-5-haiku-20241022": _HAIKU_3_5,
    "claude-3.5-haiku": _HAIKU_3_5,
    "kimi-2.5": _chat("0.0001", "0.0002"),
    "moonshot-v1-8k": _chat("0.00012", "0.00012"),
    "moonshot-v1-32k": _chat("0.00024", "0.00024"),
    "moonshot-v1-128k": _chat("0.0006", "0.0006"),
    "deepseek-v3": _chat("0.00014", "0.00028", "0.000014"),
    "deepseek-chat": _chat("0.00014", "0.00028", "0.000014"),
    "llama3.1:8b": _FREE_CHAT,
    "llama3.1:70b": _FREE_CHAT,
    "llama3.1:405b": _FREE_CHAT,
    "llama3.2:1b": _FREE_CHAT,
    "llama3.2:3b": _FREE_CHAT,
    "llama3.3": _FREE_CHAT,
    "mistral:7b": _FREE_CHAT,
    "mixtral:8x7b": _FREE_CHAT,
    "mixtral:8x22b": _FREE_CHAT,
    "nomic-embed-text": _FREE_EMBEDDING,
    "mxbai-embed-large": _FREE_EMBEDDING,
    "llava:7b": _FREE_CHAT,
    "llava:13b": _FREE_CHAT,
    "llava:34b": _FREE_CHAT,
    "Qwen/Qwen2.5-7B-Instruct": _FREE_CHAT,
}


class PriceCatalogue:
    """
    Look prices up.

    `path` is the price file, read at the first question that needs it; without it there is just the table.
    `classic`: the table wins over the file.
    """

    def __init__(self, path: Path | None = None, *, classic: bool = False) -> None:
        self._path = path
        self._classic = classic

    def price(self, model_id: str | None, provider_type: str | None = None) -> Price | None:
        """What the model costs, or None where nobody says; ids are compared as they are written."""
        entry = self.entry(model_id, provider_type)
        return entry.price if entry else None

    def entry(self, model_id: str | None, provider_type: str | None = None) -> Entry | None:
        """The line of the price list behind `price`."""
        names = _names(model_id)
        for name in names[:2] if self._classic else ():
            if (own := TABLE.get(name)) and not own.price.is_free:
                return own
        for name in names:
            if found := self._listed(name, provider_type):
                return found
        return None

    def max_output(self, model_id: str | None, provider_type: str | None = None) -> int | None:
        """How many tokens the model writes at most in one answer; None where the price file does not say."""
        for name in _names(model_id):
            listed = self._filed(name, provider_type)
            if listed and listed.max_output:
                return listed.max_output
        return None

    def max_input(self, model_id: str | None, provider_type: str | None = None) -> int | None:
        """How many tokens the model reads at most; None where the price file does not say."""
        for name in _names(model_id):
            listed = self._filed(name, provider_type)
            if listed and listed.max_input:
                return listed.max_input
        return None

    def _listed(self, name: str, provider_type: str | None) -> Entry | None:
        own = TABLE.get(name)
        if self._classic and own and not own.price.is_free:
            return own
        free = own if own and own.price.is_free else None
        return self._filed_under(provider_type, name) or free or self._listing.get(name) or own

    def _filed(self, name: str, provider_type: str | None) -> Entry | None:
        return self._filed_under(provider_type, name) or self._listing.get(name)

    def _filed_under(self, provider_type: str | None, name: str) -> Entry | None:
        prefix = vendor(provider_type).price_prefix if provider_type else None
        return self._listing.get(f"{prefix}/{name}")

    @cached_property
    def _listing(self) -> Mapping[str, Entry]:
        if self._path is None:
            return {}
        return entries_of(rows_of(orjson.loads(self._path.read_bytes())))


class _Unlisted(PriceCatalogue):
    """A list without a price."""

    def entry(self, model_id: str | None, provider_type: str | None = None) -> None:
        """Nothing is listed."""


UNLISTED: PriceCatalogue = _Unlisted()


def rows_of(data: Any) -> Mapping[str, Any]:
    """Return the rows of a price file: LiteLLM's, or one that `stored_list.py` has wrapped."""
    rows = data.get(ROWS, data) if isinstance(data, Mapping) else None
    if not isinstance(rows, Mapping):
        raise ValueError("it is not a mapping of model ids to prices")
    return rows


def entries_of(rows: Mapping[str, Any]) -> Mapping[str, Entry]:
    """Return the rows that tell a price."""
    return {
        name: Entry(price, row["mode"] == "embedding", max_output_of(row), max_input_of(row))
        for name, row in rows.items()
        if isinstance(row, Mapping) and (price := price_of(row))
    }


def _names(model_id: str | None) -> list[str]:
    """What a model may be listed as: as it is written, without a leading provider, each without its date."""
    if not model_id:
        return []
    names = [model_id, model_id.partition("/")[2]]
    return [*names, *(undated for name in names for undated in _without_date(name))]


def _without_date(name: str) -> Iterator[str]:
    """`gpt-4o-mini` for `gpt-4o-mini-2024-07-18`: the longest beginning first."""
    for cut in range(len(name) - 1, 0, -1):
        if _DATED.fullmatch(name, cut):
            yield name[:cut]


def litellm_price_file() -> Path | None:
    """Where the installed LiteLLM keeps its price list; None without LiteLLM. Does not import it."""
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder) / PRICE_FILE
        if path.is_file():
            return path
    return None


@cache
def bundled_catalogue() -> PriceCatalogue:
    """Return the current list of this installation, one for the process."""
    return PriceCatalogue(litellm_price_file())


@cache
def classic_catalogue() -> PriceCatalogue:
    """Return the classic list, one for the process: for the functions of version 1."""
    return PriceCatalogue(litellm_price_file(), classic=True)


def target_price(
    provider_type: str, is_free: bool, model: ModelConfig, catalogue: PriceCatalogue | None = None
) -> Price | None:
    """
    What a configured model costs at its provider; None where nobody says.

    The configuration's own prices come first, then a vendor that charges nothing, then the catalogue. A side
    that the configuration leaves out is filled from what would have held without it.
    """
    price = _without_cache_overrides(provider_type, is_free, model, catalogue or bundled_catalogue())
    return None if price is None else _overridden(price, model)


def operators_price(override: PriceOverride) -> Price:
    """What a target costs because an operator says so."""
    return _overridden(per_1k(override.cost_per_1k_input, override.cost_per_1k_output), override)


def _overridden(price: Price, by: ModelConfig | PriceOverride) -> Price:
    """The price with those of the cache and of searches that somebody has set."""
    read, write, search = by.cost_per_1k_cached, by.cost_per_1k_cache_write, by.cost_per_search
    return price.with_cache(
        None if read is None else per_million(read, 1000), None if write is None else per_million(write, 1000)
    ).with_search(None if search is None else nano_dollars(search))


def _without_cache_overrides(
    provider_type: str, is_free: bool, model: ModelConfig, catalogue: PriceCatalogue
) -> Price | None:
    both = model.cost_per_1k_tokens
    per_input = both if model.cost_per_1k_input is None else model.cost_per_1k_input
    per_output = both if model.cost_per_1k_output is None else model.cost_per_1k_output
    if model.task is ModelTask.EMBEDDING and per_output is None and per_input is not None:
        per_output = 0.0
    if per_input is not None and per_output is not None:
        unlisted = per_1k(per_input, per_output)
        told = None if is_free else catalogue.price(model.model_id, provider_type)
        return unlisted if told is None else unlisted.with_search(told.search)
    listed = FREE if is_free else catalogue.price(model.model_id, provider_type)
    if listed is not None and not is_free and not (listed.input or listed.output or listed.request):
        # Free on one's own machines says nothing about what a rented one costs, and a price for a second of
        # sound or a picture says nothing about words.
        listed = None
    if listed is None or (per_input is None and per_output is None):
        return listed
    return Price(
        listed.input if per_input is None else per_million(per_input, 1000),
        listed.output if per_output is None else per_million(per_output, 1000),
        search=listed.search,
    )
