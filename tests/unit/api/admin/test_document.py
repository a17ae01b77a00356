"""docs/admin.md speaks of every endpoint there is."""

from pathlib import Path

import pytest

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


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_every_endpoint_is_in_the_document(method: str, path: str) -> None:
    assert f"{method} {path}" in DOCUMENT or f"{path}`" in DOCUMENT
