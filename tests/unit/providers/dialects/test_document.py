"""The document about vendors shows the table as it is."""

from pathlib import Path

from serve_app.providers.dialects.dialect import Dialect
from serve_app.providers.dialects.table import ROWS, Row

DOCUMENT = Path(__file__).parents[4] / "docs" / "vendors.md"


def names(of: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(of))


def left_out(dialect: Dialect) -> str:
    parts = [names(dialect.drops | {f"messages.{name}" for name in dialect.message_drops})]
    if dialect.while_reasoning:
        parts.append(f"with a `reasoning_effort` other than `none`: {names(dialect.while_reasoning)}")
    parts += [f"`{name}` other than {value:g}" for name, value in dialect.only.items()]
    parts += [f"`{name}` beside `{other}`" for name, other in dialect.not_with.items()]
    return "; ".join(part for part in parts if part) or "–"


def changed(dialect: Dialect) -> str:
    limit = {"the output limit": dialect.output_limit} if dialect.output_limit else {}
    renamed = [f"`{name}` → `{new}`" for name, new in {**dialect.renames, **dialect.roles}.items()]
    parts = [f"{name} → `{new}`" for name, new in limit.items()] + renamed
    parts += [f"`{name}` at most {most:g} (told)" for name, most in dialect.at_most.items()]
    return "; ".join(parts) or "–"


def line(row: Row) -> str:
    types = ", ".join(f"`{type_}`" for type_ in row.types)
    usage = "yes" if row.dialect.include_usage else "no"
    cells = (types, row.title, left_out(row.dialect), changed(row.dialect), usage, row.source)
    return f"| {' | '.join(cells)} |"


def test_the_document_has_every_row_of_the_table() -> None:
    table = "\n".join(map(line, ROWS))

    assert table in DOCUMENT.read_text(encoding="utf-8"), f"docs/vendors.md should have:\n{table}"
