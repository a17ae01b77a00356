"""`sekha keys`: make, look at and revoke keys while the gateway runs."""

import re
import time
from typing import Annotated, Any

import typer

from serve_app.caller import Role
from serve_app.cli.admin import DEFAULT_URL, FAILED, Admin, KeyFileOption, UrlOption
from serve_app.cli.configured import fail
from serve_app.cli.rows import Format, FormatOption, show_rows, timestamp
from serve_app.cli.wanted import (
    BudgetsOption,
    DataPolicyOption,
    ModelsOption,
    RateOption,
    TasksOption,
    TokensOption,
    limits_of,
)

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
    """Make a key and print it: once, nobody can show it again."""
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
    """All keys that were made, the revoked ones too."""
    found = Admin(url, admin_key_file).get("keys")["keys"]
    show_rows([_row(key) for key in found], COLUMNS, form)


@keys.command("show")
def show_key(id: str, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None) -> None:  # noqa: A002
    """Everything about one key but the key."""
    show_rows([_row(Admin(url, admin_key_file).get("keys", id))], (), Format.JSON)


@keys.command()
def revoke(id: str, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None) -> None:  # noqa: A002
    """Refuse a key from now on, everywhere and for ever."""
    gone = Admin(url, admin_key_file).delete("keys", id)
    typer.echo(f"Key '{gone['id']}' is revoked.")


def _row(key: dict[str, Any]) -> dict[str, Any]:
    """The key as the gateway tells it, its times readable, and whether it is good."""
    expires, gone = key.get("expires_at"), key.get("revoked_at")
    state = "revoked" if gone is not None else "expired" if expires and expires <= time.time() else "good"
    return {**key, "state": state, "expires": timestamp(expires), "revoked": timestamp(gone)}


def _end(expires: str | None) -> float | None:
    if expires is None:
        return None
    told = re.fullmatch(r"(\d{1,6})([mhd])", expires)
    if told is None:
        fail(f"'{expires}' is not a duration; write 30m, 12h or 90d", FAILED)
    return time.time() + int(told[1]) * SECONDS[told[2]]
