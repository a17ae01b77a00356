"""A form with files, as an upstream gets it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from serve_app.formats.form import Upload

UNNAMED = "application/octet-stream"

_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}", re.ASCII)


def form_with(fields: Mapping[str, Any], files: Sequence[Upload]) -> aiohttp.FormData:
    """Return a form with these fields, a list as several of one name, and the files as they are."""
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            form.add_field(name, str(one))
    for upload in files:
        given = upload.content_type or ""
        form.add_field(
            upload.field,
            upload.file.open(),
            filename=upload.filename,
            content_type=given if _TYPE.fullmatch(given) else UNNAMED,
        )
    return form
