"""The configuration a command works on, or a message and an exit."""

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
    """Load, or say what is wrong and exit with 2."""
    try:
        return load(config, os.environ)
    except ConfigError as error:
        fail(str(error), CANNOT_START)


def fail(message: str, code: int) -> NoReturn:
    """Say what is wrong and exit."""
    typer.secho(f"sekha: {message}", err=True, fg=typer.colors.RED)
    raise typer.Exit(code)
