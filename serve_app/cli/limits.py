"""`sekha limits`: every budget and rate, and how it stands."""

from serve_app.cli.admin import DEFAULT_URL, Admin, KeyFileOption, UrlOption
from serve_app.cli.rows import Format, FormatOption, show_rows, timestamp

COLUMNS = ("id", "unit", "window", "amount", "used", "on_loan", "left", "begins_anew")


def limits(
    form: FormatOption = Format.TABLE, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None
) -> None:
    """Every budget and rate, and how it stands: used, on loan to routers, left."""
    told = Admin(url, admin_key_file).get("limits")["limits"]
    show_rows([{**limit, "begins_anew": timestamp(limit["resets_at"])} for limit in told], COLUMNS, form)
