"""
The size of a request's schemas after their references are expanded.

Translators for vendors without `$ref` replace each one by a copy of its definition, and keep a table of the
definitions for every object on the path. A few kilobytes can become gigabytes, in a thread that cannot be
stopped; such a request is refused before its translation.
"""

from collections.abc import Iterator, Mapping
from typing import Any

MOST_STEPS = 1_000_000  # visited objects, each multiplied by the definitions that it can refer to
LONGEST_CHAIN = 64  # nested references

_SCHEMAS = ("tools", "functions", "response_format")
_DEFINITIONS = ("$defs", "definitions")


def too_large_schema(fields: Mapping[str, Any], most: int = MOST_STEPS) -> str | None:
    """Return the place of the first schema that is too large when expanded; None if all fit."""
    steps = 0.0
    for place, schema in _schemas_in(fields):
        for cost in _costs(schema):
            steps += cost
            if steps > most:
                return place
    return None


def _schemas_in(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _SCHEMAS:
        value = fields.get(name)
        if isinstance(value, list):
            yield from ((f"{name}[{number}]", one) for number, one in enumerate(value))
        elif value is not None:
            yield name, value


def _costs(schema: Any) -> Iterator[float]:
    """Yield the cost of each object; a definition counts again in every place that refers to it."""
    nothing: Mapping[str, Any] = {}
    chain: frozenset[str] = frozenset()
    unseen = [(schema, nothing, chain)]
    while unseen:
        node, known, chain = unseen.pop()
        if isinstance(node, list):
            unseen += [(inner, known, chain) for inner in node if isinstance(inner, dict | list)]
            yield 1
        elif isinstance(node, dict):
            for name in _DEFINITIONS:
                if isinstance(own := node.get(name), dict):
                    known = {**known, **own}
            yield 1 + len(known)
            reference = node.get("$ref")
            if isinstance(reference, str):
                target = reference.rpartition("/")[2]
                if target in known and target not in chain:
                    if len(chain) >= LONGEST_CHAIN:
                        yield float("inf")
                    unseen.append((known[target], known, chain | {target}))
            else:
                unseen += [(inner, known, chain) for inner in node.values() if isinstance(inner, dict | list)]
