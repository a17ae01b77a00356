"""`sekha check`: validate a configuration and show its effect."""

import os
import textwrap
from datetime import UTC, datetime
from importlib.util import find_spec

import typer
from rich.console import Console
from rich.table import Table

from serve_app.cli.configured import CANNOT_START, ConfigOption, configured, fail
from serve_app.cli.prices import note_of_list
from serve_app.cli.stored_keys import note_of_stored_keys
from serve_app.cli.tables import show
from serve_app.config.advice import advice
from serve_app.config.load import Loaded
from serve_app.config.named_plugins import import_plugins
from serve_app.config.settings import Settings
from serve_app.config.upgrading import touching
from serve_app.errors import ConfigError
from serve_app.pricing.money import dollars
from serve_app.pricing.price import Price
from serve_app.pricing.target_prices import prices_of
from serve_app.providers.catalogue.rows import vendor
from serve_app.providers.keys import key_of, missing_key


def check(config: ConfigOption = None) -> None:
    """Load the configuration as the gateway would, and show its providers, models and prices."""
    loaded = configured(config)
    typer.echo(f"Configuration: {loaded.source}")
    try:
        tell_notes(loaded)
        _note_a_missing_extra(loaded.settings)
        import_plugins(loaded.settings)
        prices = prices_of(loaded.settings, os.environ)
    except ConfigError as error:
        fail(str(error), CANNOT_START)
    _tell_changes(loaded)
    show(_providers(loaded.settings))
    show(_models(loaded.settings, prices))


def tell_notes(loaded: Loaded) -> None:
    """Print the notes of loading, the advice, the keys in the store, and the price list."""
    for note in loaded.notes:
        _say(note)
    for note in advice(loaded.settings, os.environ):
        _say(note, typer.colors.YELLOW)
    if stored := note_of_stored_keys(loaded.settings, os.environ):
        _say(stored)
    _say(note_of_list(loaded.settings, os.environ, datetime.now(UTC).date()))


def _say(sentence: str, colour: str | None = None) -> None:
    width = Console().width
    for line in textwrap.wrap(sentence, width, initial_indent="  ", subsequent_indent="    "):
        typer.secho(line, fg=colour)


def _tell_changes(loaded: Loaded) -> None:
    """Print the rows of docs/upgrading.md that affect this configuration."""
    rows = touching(loaded, os.environ)
    named = [row.id for row in rows if not row.is_everywhere]
    others = len(rows) - len(named)
    here = f"{', '.join(named)}; and {others}" if named else str(others)
    _say(f"Changed defaults that touch this configuration (docs/upgrading.md): {here} that touch every one")


def _providers(settings: Settings) -> Table:
    table = Table("provider", "type", "priority", "key", "$/h")
    for provider in settings.llm_providers:
        row = vendor(provider.type)
        found = key_of(provider, row, os.environ)
        missing = missing_key(provider, row, found)
        key = "[red]missing[/red]" if missing else "found" if found else "-"
        hourly = f"{provider.hourly_rate:g}" if provider.hourly_rate else ""
        table.add_row(provider.id, provider.type, str(provider.priority), key, hourly)
    return table


def _models(settings: Settings, prices: dict[str, Price | None]) -> Table:
    table = Table("provider", "model", "task", "input $/1M", "output $/1M")
    for provider in settings.llm_providers:
        for model in provider.models:
            price = prices[f"{provider.id}/{model.model_id}"]
            prices_text = (_per_million(price, output=False), _per_million(price, output=True))
            table.add_row(provider.id, model.model_id, model.task, *prices_text)
    return table


def _note_a_missing_extra(settings: Settings) -> None:
    """Print a note if vLLM is missing here; not an error, because other nodes may host the model."""
    hosts = [provider.id for provider in settings.llm_providers if provider.local is not None]
    if hosts and find_spec("vllm") is None:
        _say(
            "vLLM is not installed on this machine; install it on the nodes that host a model for "
            f"{', '.join(hosts)} (docs/local-models.md)",
            typer.colors.YELLOW,
        )


def _per_million(price: Price | None, output: bool) -> str:
    """Format a price as dollars per million tokens; a Price is nano-dollars per million."""
    if price is None:
        return "unknown"
    return f"{dollars(price.output if output else price.input):g}"
