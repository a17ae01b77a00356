"""`sekha tenants`: the tenants, which pay, and their limits."""

from typing import Annotated, Any

import typer

from serve_app.cli.admin import DEFAULT_URL, Admin, KeyFileOption, UrlOption
from serve_app.cli.limit_options import (
    BudgetsOption,
    ClearOption,
    DataPolicyOption,
    ModelsOption,
    RateOption,
    TasksOption,
    TokensOption,
    changed,
    cleared,
    limits_of,
)
from serve_app.cli.rows import Format, FormatOption, show_rows

COLUMNS = ("id", "source", "budgets", "rates", "models", "tasks", "vendor_objects", "keys")

NEW: dict[str, Any] = {
    "budgets": [],
    "rates": [],
    "models": None,
    "tasks": None,
    "data_policy": None,
    "vendor_objects": False,
}

VendorObjectsOption = Annotated[
    bool | None,
    typer.Option(
        "--vendor-objects/--no-vendor-objects",
        help="Whether requests may name files and other objects of your accounts at vendors.",
        show_default=False,
    ),
]

tenants = typer.Typer(name="tenants", help="Tenants, their limits and their rights.", no_args_is_help=True)


@tenants.command("list")
def list_tenants(
    form: FormatOption = Format.TABLE, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None
) -> None:
    """List all tenants, with those of the configuration."""
    show_rows(Admin(url, admin_key_file).get("tenants")["tenants"], COLUMNS, form)


@tenants.command("set")
def set_tenant(
    id: str,  # noqa: A002
    budget: BudgetsOption = None,
    rpm: RateOption = None,
    tpm: TokensOption = None,
    model: ModelsOption = None,
    task: TasksOption = None,
    data_policy: DataPolicyOption = None,
    vendor_objects: VendorObjectsOption = None,
    clear: ClearOption = None,
    url: UrlOption = DEFAULT_URL,
    admin_key_file: KeyFileOption = None,
) -> None:
    """Create a tenant, or change the given settings of one; others stay, --clear removes."""
    rights = {"models": model, "tasks": task, "data_policy": data_policy, "vendor_objects": vendor_objects}
    given = {**rights, **limits_of(budget, rpm, tpm)}
    admin = Admin(url, admin_key_file)
    present, etag = admin.found("tenants", id)
    known = {name: (present or NEW).get(name, empty) for name, empty in NEW.items()}
    target = changed(cleared(known, clear or ()), given)
    differs = {name: value for name, value in target.items() if value != known[name]}
    if present is None:
        admin.put("tenants", id, body=target, if_match=etag)
    elif differs:
        admin.patch("tenants", id, body=differs, if_match=etag)
    else:
        typer.echo(f"Tenant '{id}' is unchanged.")
        return
    typer.echo(f"Tenant '{id}' is set.")


@tenants.command()
def delete(id: str, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None) -> None:  # noqa: A002
    """Remove a tenant, unless it still has keys."""
    Admin(url, admin_key_file).delete("tenants", id)
    typer.echo(f"Tenant '{id}' is removed, or reset to its configuration.")
