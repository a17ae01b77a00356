"""Rows of facts, printed for people or for programs."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table
from rich.text import Text

from serve_app.cli.tables import show

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How to print it.")]


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], form: Format) -> None:
    """Print these columns of the rows; JSON has all that is known."""
    match form:
        case Format.JSON:
            typer.echo(orjson.dumps(list(rows), option=orjson.OPT_INDENT_2).decode())
        case Format.CSV:
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
            typer.echo(out.getvalue(), nl=False)
        case Format.TABLE:
            table = Table(*(column.replace("_", " ") for column in columns))
            for row in rows:
                table.add_row(*(Text(_word(row.get(column))) for column in columns))
            show(table)


def timestamp(seconds: float | None) -> str | None:
    """A moment as people read it, in UTC; from seconds since the epoch."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _cell(value: Any) -> str:
    """A word that no spreadsheet takes for a formula: some of them are what a caller calls itself."""
    word = _word(value)
    return f"'{word}" if isinstance(value, str) and word.startswith(("=", "+", "-", "@")) else word


def _word(value: Any) -> str:
    """A value in one cell; what would move the cursor is not printed, for names come from callers."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:.6f}".rstrip("0").rstrip(".")
        case list() | tuple():
            text = ("; " if value and isinstance(value[0], dict) else ", ").join(map(_word, value))
        case dict():
            text = ", ".join(f"{name}: {word}" for name, inner in value.items() if (word := _word(inner)))
        case _:
            text = str(value)
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
