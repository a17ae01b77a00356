"""`sekha limits`: the status of every budget and rate."""

from serve_app.cli.admin import DEFAULT_URL, Admin, KeyFileOption, UrlOption
from serve_app.cli.rows import Format, FormatOption, show_rows, timestamp

COLUMNS = ("id", "unit", "window", "amount", "used", "on_loan", "left", "begins_anew")


def limits(
    form: FormatOption = Format.TABLE, url: UrlOption = DEFAULT_URL, admin_key_file: KeyFileOption = None
) -> None:
    """List every budget and rate: used, on loan to routers, left."""
    found = Admin(url, admin_key_file).get("limits")["limits"]
    show_rows([{**limit, "begins_anew": timestamp(limit["resets_at"])} for limit in found], COLUMNS, form)
