"""`sekha costs`: spending by day, provider, model, tenant or key."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from serve_app.cli.admin import DEFAULT_URL, Admin, KeyFileOption, UrlOption
from serve_app.cli.rows import Format, FormatOption, show_rows

FIGURES = ("attempts", "failed", "input_tokens", "output_tokens", "cost")
EVER = "1970-01-01"


def costs(
    since: Annotated[str, typer.Option(help="The first day (UTC), as in 2026-11-01.")] = EVER,
    until: Annotated[str | None, typer.Option(help="The day after the last one (UTC).")] = None,
    by: Annotated[
        str, typer.Option(help="Any of day, provider, model, tenant, caller, separated by commas.")
    ] = "day,provider,model,tenant",
    form: FormatOption = Format.TABLE,
    url: UrlOption = DEFAULT_URL,
    admin_key_file: KeyFileOption = None,
) -> None:
    """Show what was spent, in US dollars."""
    columns = [name for name in (part.strip() for part in by.split(",")) if name]
    report = Admin(url, admin_key_file).get("costs", since=since, until=until, by=",".join(columns))
    show_rows(report["breakdown"], [*columns, *FIGURES], form)
    if form is Format.TABLE:
        typer.echo(total_of(report))


def total_of(report: Mapping[str, Any]) -> str:
    """Return the line below the table; a gateway of an older version does not report what caches saved."""
    hours = f", ${report['vllm_hours']:.6f} of it for vLLM's hours" if report["vllm_hours"] else ""
    saved = report.get("cache_saving", 0)
    word = "saved" if saved > 0 else "cost"
    caches = f"; prompt caches {word} ${abs(saved):.6f}" if saved else ""
    return f"Total ${report['total']:.6f}{hours}{caches}"
