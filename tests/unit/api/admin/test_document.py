"""docs/admin.md speaks of every endpoint there is."""

from pathlib import Path

from tests.support.keyrings import keyring
from tests.unit.api.test_security import app_for, routes_of

DOCUMENT = (Path(__file__).parents[4] / "docs" / "admin.md").read_text(encoding="utf-8")
PREFIX = "/api/admin"


def told_as(path: str) -> str:
    """The path as the document has it."""
    return path.removeprefix(PREFIX).replace(":path}", "}")


ALL = routes_of(app_for(keyring("right")))
ENDPOINTS = sorted({(method, told_as(path)) for method, path in ALL if path.startswith(PREFIX)})


def test_there_are_endpoints_for_operators() -> None:
    assert len(ENDPOINTS) > 20


def test_every_endpoint_is_in_the_document() -> None:
    missing = [
        f"{method} {path}"
        for method, path in ENDPOINTS
        if f"{method} {path}" not in DOCUMENT and f"{path}`" not in DOCUMENT
    ]

    assert missing == []
