"""
Tables that fit the screen: the width of `COLUMNS` or the terminal, else 80 columns.

Names are never truncated. If a table of few columns does not fit, its cells wrap; if one of many does not,
each row becomes a block of lines.
"""

import textwrap

from rich.console import Console
from rich.table import Table
from rich.text import Text

FEW = 6  # the most columns that stay readable when their cells wrap
_INDENT = "  "


def show(table: Table) -> None:
    """Print a table within the width of the screen."""
    console = Console(highlight=False)
    if Console(width=10_000).measure(table).maximum <= console.width:
        console.print(table)
    elif len(table.columns) <= FEW:
        for column in table.columns:
            column.overflow = "fold"
        console.print(table)
    else:
        for line in _blocks(table, console.width):
            console.print(Text(line), soft_wrap=True)


def _blocks(table: Table, width: int) -> list[str]:
    """
    Format each row as lines of `name: value`, with the first cell as a heading; empty cells are left out.
    """
    names = [str(column.header) for column in table.columns]
    cells = [[_plain(cell) for cell in column.cells] for column in table.columns]
    if not table.row_count:
        return _folded(", ".join(names) + ": none", width, "")
    lines: list[str] = []
    for number in range(table.row_count):
        first, *others = [column[number] for column in cells]
        lines += _folded(f"{names[0]}: {first}" if names[0] else first, width, "")
        for name, value in zip(names[1:], others, strict=True):
            lines += _folded(f"{name}: {value}", width, _INDENT) if value else []
    return lines


def _folded(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent + _INDENT)


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain
