"""The `sekha` command: run the gateway, inspect a configuration, and operate a running gateway."""

from typing import Annotated

import typer

from serve_app import __version__
from serve_app.cli.audit import audit
from serve_app.cli.breakers import breakers
from serve_app.cli.check import check
from serve_app.cli.costs import costs
from serve_app.cli.explain import explain
from serve_app.cli.keys import keys
from serve_app.cli.limits import limits
from serve_app.cli.prices import prices
from serve_app.cli.serve import serve
from serve_app.cli.tenants import tenants

app = typer.Typer(
    name="sekha",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_given: bool) -> None:
    if is_given:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Run the gateway, inspect a configuration, and operate a running gateway."""


app.command()(serve)
app.command()(check)
app.command()(explain)
app.add_typer(keys)
app.add_typer(tenants)
app.add_typer(breakers)
app.add_typer(prices)
app.command()(costs)
app.command()(limits)
app.command()(audit)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
