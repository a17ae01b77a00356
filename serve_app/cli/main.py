"""`sekha`: run the gateway, check a configuration, explain a routing decision."""

import typer

from serve_app import __version__
from serve_app.cli.check import check
from serve_app.cli.explain import explain
from serve_app.cli.serve import serve

app = typer.Typer(name="sekha", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(serve)
app.command()(check)
app.command()(explain)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
