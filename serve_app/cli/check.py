"""`sekha check`: is this configuration good, and what does it say?"""

import os

import typer
from rich.console import Console
from rich.table import Table

from serve_app.accounting.money import dollars
from serve_app.accounting.price import Price
from serve_app.cli.configured import ConfigOption, configured
from serve_app.prices import prices_of
from serve_app.providers.catalogue import vendor


def check(config: ConfigOption = None) -> None:
    """Load the configuration as the gateway would, and show what it makes of it."""
    loaded = configured(config)
    typer.echo(f"Configuration: {loaded.source}")
    for note in loaded.notes:
        typer.echo(f"  {note}")
    prices = prices_of(loaded.settings)
    table = Table("provider", "type", "priority", "key", "model", "task", "input $/1M", "output $/1M")
    for provider in loaded.settings.llm_providers:
        key = _key_state(provider.api_key.reveal(os.environ) is not None) if provider.api_key else "-"
        if provider.api_key is None and vendor(provider.type).key_variable and not provider.base_url:
            key = "[red]missing[/red]"
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
            )
    Console().print(table)


def _key_state(found: bool) -> str:
    return "found" if found else "[red]not set[/red]"


def _shown(price: Price | None, output: bool) -> str:
    """Dollars per million tokens: a Price is nano-dollars per million, so only the unit changes."""
    if price is None:
        return "unknown"
    return f"{dollars(price.output if output else price.input):g}"
