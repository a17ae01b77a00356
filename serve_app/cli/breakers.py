"""`sekha breakers`: the circuit breakers of providers."""

import typer

from serve_app.cli.admin import DEFAULT_URL, Admin, KeyFileOption, UrlOption
from serve_app.cli.rows import Format, FormatOption, show_rows

COLUMNS = ("provider", "state", "failure_count", "success_count", "last_failure", "last_state_change")

breakers = typer.Typer(
    name="breakers", help="Circuit breakers, as all routers see them.", no_args_is_help=True
)


@breakers.command("list")
def list_breakers(
    form: FormatOption = Format.TABLE, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None
) -> None:
    """List every provider's breaker."""
    found = Admin(url, admin_key_file).get("breakers")["breakers"]
    show_rows([{"provider": name, **breaker} for name, breaker in found.items()], COLUMNS, form)


@breakers.command()
def reset(provider: str, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None) -> None:
    """Close a breaker and forget its failures."""
    Admin(url, admin_key_file).post("breakers", provider, "reset")
    typer.echo(f"The breaker of '{provider}' is closed.")
