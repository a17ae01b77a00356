"""Revisions of the runtime config: `ETag` in an answer, `If-Match` with a change."""

from typing import Annotated

from fastapi import Header, Response

from serve_app.control.runtime_config import RuntimeConfig
from serve_app.errors import InvalidRequest

IfMatch = Annotated[
    str | None,
    Header(
        description="The revision from an ETag; a 412 if there is a newer one.",
        json_schema_extra={"type": "string", "pattern": r'^(\*|(W/)?"?[0-9]{1,18}"?)$'},
    ),
]


def tell_revision(response: Response, runtime_config: RuntimeConfig) -> None:
    """Set the `ETag` of an answer to the current revision."""
    response.headers["etag"] = f'"{runtime_config.revision}"'


def revision_in(if_match: str | None) -> int | None:
    """Return the revision that a change is for; None: any. Raises InvalidRequest 400 for an invalid one."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidRequest("If-Match must be a revision from an ETag", "If-Match", "invalid_epoch")
    return int(text)
