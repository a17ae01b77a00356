"""`sekha audit`: the audit log."""

from typing import Annotated

import typer

from serve_app.cli.admin import DEFAULT_URL, Admin, KeyFileOption, UrlOption
from serve_app.cli.rows import Format, FormatOption, show_rows

COLUMNS = ("timestamp", "user_id", "action", "subject", "details")


def audit(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many lines, the newest first.")] = 50,
    form: FormatOption = Format.TABLE,
    url: UrlOption = DEFAULT_URL,
    admin_key_file: KeyFileOption = None,
) -> None:
    """Show who changed what, and when; the newest first."""
    show_rows(Admin(url, admin_key_file).get("audit", limit=limit)["changes"], COLUMNS, form)
