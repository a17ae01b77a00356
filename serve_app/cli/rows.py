"""The output of rows, for people or for programs."""

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
    """The formats of rows."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How to print it.")]


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], form: Format) -> None:
    """Print these columns of the rows; JSON contains all fields."""
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
                table.add_row(*(Text(_text(row.get(column))) for column in columns))
            show(table)


def timestamp(seconds: float | None) -> str | None:
    """Format seconds since the epoch as a time in UTC; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _cell(value: Any) -> str:
    """
    Format a value for CSV; text that a spreadsheet would take for a formula is quoted, as callers choose
    names.
    """
    text = _text(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(("=", "+", "-", "@")) else text


def _text(value: Any) -> str:
    """Format a value for one cell; control characters are replaced, because callers choose names."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:.6f}".rstrip("0").rstrip(".")
        case list() | tuple():
            text = ("; " if value and isinstance(value[0], dict) else ", ").join(map(_text, value))
        case dict():
            text = ", ".join(f"{name}: {part}" for name, inner in value.items() if (part := _text(inner)))
        case _:
            text = str(value)
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
