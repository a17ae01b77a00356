"""Schemas whose references are written out: which of them become too large."""

from typing import Any

import pytest

from serve_app.providers.litellm.schema_size import LONGEST_CHAIN, too_large_schema


def parameters(defs: dict[str, Any], root: str = "d0") -> dict[str, Any]:
    return {"type": "object", "$defs": defs, "properties": {"a": {"$ref": f"#/$defs/{root}"}}}


def twice(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {way: {"$ref": f"#/$defs/{name}"} for way in ("a", "b")}}


DOUBLING = parameters({f"d{n}": twice(f"d{n + 1}") for n in range(26)} | {"d26": {"type": "string"}})
ENTANGLED = parameters(
    {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{m}"} for m in range(12)]} for n in range(12)}
)
CHAINED = parameters({f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(LONGEST_CHAIN + 2)})
WIDE = {"$defs": {f"d{n}": {} for n in range(3000)}, "properties": {f"p{n}": {} for n in range(3000)}}


@pytest.mark.parametrize(
    "schema", [DOUBLING, ENTANGLED, CHAINED, WIDE], ids=["doubling", "entangled", "chained", "wide"]
)
def test_a_small_schema_that_would_become_a_large_one_is_named(schema: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": part}} for part in ({}, schema)]

    assert too_large_schema({"tools": tools}) == "tools[1]"
    assert too_large_schema({"response_format": {"json_schema": {"schema": schema}}}) == "response_format"


TREE = parameters({"d0": {"type": "object", "properties": {"kids": {"items": {"$ref": "#/$defs/d0"}}}}})
LARGE = {"properties": {f"p{n}": {"type": "string", "enum": ["a", "b"]} for n in range(20_000)}}


@pytest.mark.parametrize(
    "schema",
    [TREE, LARGE, {"$ref": "#"}, {"$ref": 5}, {"$defs": 7, "properties": [1]}, parameters({}, "gone")],
)
def test_a_schema_that_stays_what_it_is_passes(schema: dict[str, Any]) -> None:
    assert too_large_schema({"functions": [{"name": "f", "parameters": schema}], "tools": None}) is None


def test_all_the_schemas_of_a_request_count_together() -> None:
    schema = parameters({f"d{n}": twice(f"d{n + 1}") for n in range(12)} | {"d12": {"type": "string"}})

    assert too_large_schema({"tools": [schema]}) is None
    assert too_large_schema({"tools": [schema] * 100}) is not None
