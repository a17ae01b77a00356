"""`sekha costs`: what was spent, by day, provider, model, tenant or key."""

from typing import Annotated

import typer

from serve_app.cli.admin import DEFAULT_URL, Admin, KeyFileOption, UrlOption
from serve_app.cli.rows import Format, FormatOption, show_rows

FIGURES = ("attempts", "failed", "input_tokens", "output_tokens", "cost_usd")


def costs(
    since: Annotated[str | None, typer.Option(help="The first day, 2026-11-01 (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="The last day, itself included.")] = None,
    by: Annotated[
        str, typer.Option(help="Of day, provider, model, tenant, caller; commas between them.")
    ] = "day,provider,model,tenant",
    form: FormatOption = Format.TABLE,
    url: UrlOption = DEFAULT_URL,
    admin_key_file: KeyFileOption = None,
) -> None:
    """What was spent, in US dollars."""
    columns = [name for name in (part.strip() for part in by.split(",")) if name]
    told = Admin(url, admin_key_file).get("spends", since=since, until=until, by=",".join(columns))
    show_rows(told["spends"], [*columns, *FIGURES], form)
    if form is Format.TABLE:
        typer.echo(f"Together ${told['total_usd']:.6f}")
