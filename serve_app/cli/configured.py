"""The configuration of a command, or an error message and an exit."""

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from serve_app.config.load import Loaded, load
from serve_app.errors import ConfigError

CANNOT_START = 2

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A YAML file; default: the first of the usual places."),
]


def configured(config: Path | None) -> Loaded:
    """Load the configuration; print the error and exit with 2 if it is invalid."""
    try:
        return load(config, os.environ)
    except ConfigError as error:
        fail(str(error), CANNOT_START)


def fail(message: str, code: int) -> NoReturn:
    """Print an error message and exit."""
    typer.secho(f"sekha: {message}", err=True, fg=typer.colors.RED)
    raise typer.Exit(code)
