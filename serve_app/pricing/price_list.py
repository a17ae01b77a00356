"""
The price list of models.

The current list, which is the default:

    the price file, by `<type>/<id>`     the price of this provider
    the free rows of the classic table
    the price file, by id
    the classic table                    models that vendors no longer list
    all of these again, for the id without its date

The classic list, which the Python functions of version 1 and `pricing.table: classic` use, is the same with
the classic table first. The price file is LiteLLM's, or a newer one from an operator.

An unlisted id has no price, which is never treated as free.
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

from serve_app.config.model import CHAT_TASKS, SOUND_TASKS, ModelConfig, ModelTask
from serve_app.config.override import PriceOverride
from serve_app.pricing.litellm_prices import max_input_of, max_output_of, per_million, price_of
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.price import FREE, Price
from serve_app.providers.catalogue.rows import vendor

PRICE_FILE = "model_prices_and_context_window_backup.json"
ROWS = "models"  # the key of a stored list's rows; not the name of a model

_DATED = re.compile(r"[-:@](\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4}|latest)")


class Entry(NamedTuple):
    """
    An entry of the price list.

    Attributes:
        embedding: the model makes embeddings.
        max_output: the most tokens that it writes in one answer; None: not listed.
        max_input: the most tokens that it reads; None: not listed.
    """

    price: Price
    embedding: bool = False
    max_output: int | None = None
    max_input: int | None = None


def per_1k(input_dollars: float | str | Decimal, output_dollars: float | str | Decimal = 0) -> Price:
    """Return a price given in US dollars per 1,000 tokens."""
    return Price(per_million(input_dollars, 1000), per_million(output_dollars, 1000))


def _chat(input_dollars: str, output_dollars: str, cached: str | None = None) -> Entry:
    read = None if cached is None else per_million(cached, 1000)
    return Entry(per_1k(input_dollars, output_dollars).with_cache(read, None))


def _claude(input_dollars: str, output_dollars: str) -> Entry:
    """Return an entry with Anthropic's cache prices: reads 0.1x, writes 1.25x, and 2x for one hour."""
    price = per_1k(input_dollars, output_dollars)
    return Entry(
        replace(
            price,
            cached_read=price.input // 10,
            cache_write_5m=price.input * 5 // 4,
            cache_write_1h=price.input * 2,
            search=10_000_000,  # ten dollars for a thousand
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
# date. Prices of cached input are in the vendor's proportion to them.
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
    A list of prices.

    Args:
        path: the price file, read on first use; None: only the classic table.
        classic: the table takes precedence over the file.
    """

    def __init__(self, path: Path | None = None, *, classic: bool = False) -> None:
        self._path = path
        self._classic = classic

    def price(self, model_id: str | None, provider_type: str | None = None) -> Price | None:
        """Return the price of a model; None: not listed. Ids are case-sensitive."""
        entry = self.entry(model_id, provider_type)
        return entry.price if entry else None

    def entry(self, model_id: str | None, provider_type: str | None = None) -> Entry | None:
        """Return the list's entry of a model; None: not listed."""
        names = _names(model_id)
        for name in names[:2] if self._classic else ():
            if (own := TABLE.get(name)) and not own.price.is_free:
                return own
        for name in names:
            if found := self._listed(name, provider_type):
                return found
        return None

    def max_output(self, model_id: str | None, provider_type: str | None = None) -> int | None:
        """Return the most tokens that the model writes in one answer; None: not in the price file."""
        for name in _names(model_id):
            listed = self._filed(name, provider_type)
            if listed and listed.max_output:
                return listed.max_output
        return None

    def max_input(self, model_id: str | None, provider_type: str | None = None) -> int | None:
        """Return the most tokens that the model reads; None: not in the price file."""
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
    """A list without prices."""

    def entry(self, model_id: str | None, provider_type: str | None = None) -> None:
        """Return None."""


UNLISTED: PriceCatalogue = _Unlisted()


def rows_of(data: Any) -> Mapping[str, Any]:
    """Return the rows of a price file: LiteLLM's, or one that `stored_list.py` has wrapped."""
    rows = data.get(ROWS, data) if isinstance(data, Mapping) else None
    if not isinstance(rows, Mapping):
        raise ValueError("it is not a mapping of model ids to prices")
    return rows


def entries_of(rows: Mapping[str, Any]) -> Mapping[str, Entry]:
    """Return the entries of the rows that have a price."""
    return {
        name: Entry(price, row["mode"] == "embedding", max_output_of(row), max_input_of(row))
        for name, row in rows.items()
        if isinstance(row, Mapping) and (price := price_of(row))
    }


def _names(model_id: str | None) -> list[str]:
    """Return the names to look up: as written and without a leading provider, then each without its date."""
    if not model_id:
        return []
    names = [model_id, model_id.partition("/")[2]]
    return [*names, *(undated for name in names for undated in _without_date(name))]


def _without_date(name: str) -> Iterator[str]:
    """Yield `gpt-4o-mini` for `gpt-4o-mini-2024-07-18`; the longest prefix first."""
    for cut in range(len(name) - 1, 0, -1):
        if _DATED.fullmatch(name, cut):
            yield name[:cut]


def litellm_price_file() -> Path | None:
    """Return the price file of the installed LiteLLM, without importing it; None: it is not installed."""
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
    Return the price of a configured model at its provider; None: unknown.

    The configuration's own prices take precedence, then a vendor that charges nothing, then the catalogue. A
    direction that the configuration leaves out is filled in from the next of these.
    """
    price = _without_cache_overrides(provider_type, is_free, model, catalogue or bundled_catalogue())
    return None if price is None else _overridden(price, model)


def operators_price(override: PriceOverride) -> Price:
    """Return the price that an operator has set for a target."""
    per_input, per_output = override.cost_per_1k_input, override.cost_per_1k_output
    return _overridden(_of_sound(override, per_input, per_output) or per_1k(per_input, per_output), override)


def _overridden(price: Price, by: ModelConfig | PriceOverride) -> Price:
    """Return the price with the configured prices of the cache, of searches and of pictures."""
    read, write, search, image = (
        by.cost_per_1k_cached, by.cost_per_1k_cache_write, by.cost_per_search, by.cost_per_image,
    )  # fmt: skip
    priced = price.with_cache(
        None if read is None else per_million(read, 1000), None if write is None else per_million(write, 1000)
    )
    priced = priced.with_search(None if search is None else nano_dollars(search))
    return priced.with_image(None if image is None else nano_dollars(image))


def _is_priced_by_the_piece(model: ModelConfig) -> bool:
    """Return whether the configuration has the price of what the task of the model is charged by."""
    if model.task is ModelTask.IMAGE_GENERATION:
        return model.cost_per_image is not None
    return model.task is ModelTask.RERANK and model.cost_per_search is not None


def _applies(listed: Price, task: ModelTask) -> bool:
    """Return whether a listed price says what the task costs."""
    if task is ModelTask.IMAGE_GENERATION:
        return bool(listed.image or listed.image_output or listed.output)
    if listed.input or listed.output or listed.request:
        return True
    if task in SOUND_TASKS:
        return bool(listed.second or listed.character or listed.audio_input or listed.audio_output)
    return task is ModelTask.RERANK and bool(listed.search)


def _of_sound(by: ModelConfig | PriceOverride, per_input: float, per_output: float) -> Price | None:
    """Return the price of a model that is paid by the minute or the character; None: it is not."""
    if by.cost_per_minute is None and by.cost_per_1k_characters is None:
        return None
    return replace(
        per_1k(per_input, per_output),
        second=nano_dollars(Decimal(str(by.cost_per_minute or 0)) / 60),
        character=nano_dollars(Decimal(str(by.cost_per_1k_characters or 0)) / 1000),
    )


def _without_cache_overrides(
    provider_type: str, is_free: bool, model: ModelConfig, catalogue: PriceCatalogue
) -> Price | None:
    both = model.cost_per_1k_tokens
    per_input = both if model.cost_per_1k_input is None else model.cost_per_1k_input
    per_output = both if model.cost_per_1k_output is None else model.cost_per_1k_output
    if (of_sound := _of_sound(model, per_input or 0.0, per_output or 0.0)) is not None:
        return of_sound
    if model.task not in CHAT_TASKS and per_output is None:
        if per_input is None and _is_priced_by_the_piece(model):
            per_input = 0.0
        # The price of a prompt says nothing about the pictures that are made of it.
        if model.task is not ModelTask.IMAGE_GENERATION or _is_priced_by_the_piece(model):
            per_output = None if per_input is None else 0.0
    if per_input is not None and per_output is not None:
        configured = per_1k(per_input, per_output)
        listed = None if is_free else catalogue.price(model.model_id, provider_type)
        return configured if listed is None else configured.with_search(listed.search)
    listed = FREE if is_free else catalogue.price(model.model_id, provider_type)
    if listed is not None and not is_free and not _applies(listed, model.task):
        # A model that is free on local machines may cost something at a vendor, and a price for sound or
        # pictures says nothing about text.
        listed = None
    if listed is None or (per_input is None and per_output is None):
        return listed
    makes_images = model.task is ModelTask.IMAGE_GENERATION
    return Price(
        listed.input if per_input is None else per_million(per_input, 1000),
        listed.output if per_output is None else per_million(per_output, 1000),
        image=listed.image if makes_images else 0,
        image_input=listed.image_input if makes_images else None,
        image_output=listed.image_output if makes_images else None,
        search=listed.search,
    )
