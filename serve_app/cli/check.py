"""`sekha check`: is this configuration good, and what does it say?"""

import os
from importlib.util import find_spec

import typer
from rich.table import Table

from serve_app.accounting.money import dollars
from serve_app.accounting.price import Price
from serve_app.cli.configured import ConfigOption, configured, show
from serve_app.config.settings import Settings
from serve_app.prices import prices_of
from serve_app.providers.catalogue import vendor
from serve_app.providers.keys import key_of, missing_key


def check(config: ConfigOption = None) -> None:
    """Load the configuration as the gateway would, and show what it makes of it."""
    loaded = configured(config)
    typer.echo(f"Configuration: {loaded.source}")
    for note in loaded.notes:
        typer.echo(f"  {note}")
    _note_a_missing_extra(loaded.settings)
    prices = prices_of(loaded.settings)
    table = Table("provider", "type", "priority", "key", "model", "task", "input $/1M", "output $/1M", "$/h")
    for provider in loaded.settings.llm_providers:
        row = vendor(provider.type)
        found = key_of(provider, row, os.environ)
        missing = missing_key(provider, row, found)
        key = "[red]missing[/red]" if missing else "found" if found else "-"
        for model in provider.models:
            price = prices[f"{provider.id}/{model.model_id}"]
            table.add_row(
                provider.id,
                provider.type,
                str(provider.priority),
                key,
                model.model_id,
                model.task,
                _shown(price, output=False),
                _shown(price, output=True),
                f"{provider.hourly_rate:g}" if provider.hourly_rate else "",
            )
    show(table)


def _note_a_missing_extra(settings: Settings) -> None:
    """No error: the nodes that are to host the model may well have what this machine has not."""
    hosts = [provider.id for provider in settings.llm_providers if provider.local is not None]
    if hosts and find_spec("vllm") is None:
        typer.secho(
            "  vLLM is not installed on this machine; the nodes need it that host a model for "
            f"{', '.join(hosts)} (docs/local-models.md)",
            fg=typer.colors.YELLOW,
        )


def _shown(price: Price | None, output: bool) -> str:
    """Dollars per million tokens: a Price is nano-dollars per million, so only the unit changes."""
    if price is None:
        return "unknown"
    return f"{dollars(price.output if output else price.input):g}"
