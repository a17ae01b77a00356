"""`sekha keys`: create, show and revoke keys at run time."""

import re
import time
from typing import Annotated, Any

import typer

from serve_app.caller import Role
from serve_app.cli.admin import DEFAULT_URL, FAILED, Admin, KeyFileOption, UrlOption
from serve_app.cli.configured import fail
from serve_app.cli.limit_options import (
    BudgetsOption,
    DataPolicyOption,
    ModelsOption,
    RateOption,
    TasksOption,
    TokensOption,
    limits_of,
)
from serve_app.cli.rows import Format, FormatOption, show_rows, timestamp

COLUMNS = ("id", "tenant", "role", "state", "budgets", "rates", "models", "tasks", "expires", "note")
SECONDS = {"m": 60, "h": 3600, "d": 86_400}

keys = typer.Typer(name="keys", help="Caller keys, created at run time.", no_args_is_help=True)


@keys.command()
def create(
    tenant: Annotated[str, typer.Option(help="The tenant that pays.")] = "default",
    role: Annotated[Role, typer.Option(help="The role of the key.")] = Role.USER,
    id: Annotated[str | None, typer.Option(help="The id of the key; default: a random one.")] = None,  # noqa: A002
    budget: BudgetsOption = None,
    rpm: RateOption = None,
    tpm: TokensOption = None,
    model: ModelsOption = None,
    task: TasksOption = None,
    data_policy: DataPolicyOption = None,
    expires: Annotated[str | None, typer.Option(help="Expire after this time: 30m, 12h, 90d.")] = None,
    note: Annotated[str, typer.Option(help="A note on its purpose.")] = "",
    url: UrlOption = DEFAULT_URL,
    admin_key_file: KeyFileOption = None,
) -> None:
    """Create a key and print it. It is shown only once."""
    body: dict[str, Any] = {"tenant": tenant, "role": role, "note": note, **limits_of(budget, rpm, tpm)}
    chosen = {"id": id, "models": model or None, "tasks": task or None, "expires_at": _end(expires)}
    chosen["data_policy"] = data_policy
    body |= {name: value for name, value in chosen.items() if value is not None}
    made = Admin(url, admin_key_file).post("keys", body=body)
    typer.echo(made["key"])
    typer.secho(
        f"Key '{made['id']}' of tenant '{made['tenant']}'. It is shown only once; store it now.", err=True
    )


@keys.command("list")
def list_keys(
    form: FormatOption = Format.TABLE, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None
) -> None:
    """List all keys, with the revoked ones."""
    found = Admin(url, admin_key_file).get("keys")["keys"]
    show_rows([_row(key) for key in found], COLUMNS, form)


@keys.command("show")
def show_key(id: str, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None) -> None:  # noqa: A002
    """Show everything about a key except the key itself."""
    show_rows([_row(Admin(url, admin_key_file).get("keys", id))], (), Format.JSON)


@keys.command()
def revoke(id: str, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None) -> None:  # noqa: A002
    """Revoke a key, everywhere and permanently."""
    gone = Admin(url, admin_key_file).delete("keys", id)
    typer.echo(f"Key '{gone['id']}' is revoked.")


def _row(key: dict[str, Any]) -> dict[str, Any]:
    """Return the key with readable times and its state."""
    expires, gone = key.get("expires_at"), key.get("revoked_at")
    state = "revoked" if gone is not None else "expired" if expires and expires <= time.time() else "good"
    return {**key, "state": state, "expires": timestamp(expires), "revoked": timestamp(gone)}


def _end(expires: str | None) -> float | None:
    if expires is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([mhd])", expires)
    if match is None:
        fail(f"'{expires}' is not a duration; write 30m, 12h or 90d", FAILED)
    return time.time() + int(match[1]) * SECONDS[match[2]]
