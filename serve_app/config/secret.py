"""
A secret by reference.

A configuration names its keys as `${OPENAI_API_KEY}` or `${file:/run/secrets/openai}`. The reference travels
(to Serve's controller, into checkpoints, across nodes); the secret is looked up only where it is used, in the
provider's own replica (architecture D11). A literal key works too, for a first try; it travels as it is.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_REFERENCE = re.compile(r"^\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}$|^\$\{file:(?P<path>[^}]+)\}$")


class Secret:
    """A key, or where to find it. Never shows itself: not in `repr`, `str`, JSON or a traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def is_literal(self) -> bool:
        """True when the configuration holds the secret itself instead of its place."""
        return _REFERENCE.match(self._text) is None

    def reveal(self, environ: Mapping[str, str]) -> str | None:
        """
        The secret itself; None when the variable is unset or empty, or the file is not there.

        Raises nothing: a provider without its key is reported unhealthy, it does not stop the gateway.
        """
        match = _REFERENCE.match(self._text)
        if match is None:
            return self._text or None
        if name := match["name"]:
            return environ.get(name) or None
        try:
            return Path(match["path"]).read_text(encoding="utf-8").strip() or None
        except OSError:
            return None

    def __repr__(self) -> str:
        return "Secret('***')" if self.is_literal else f"Secret('{self._text}')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from_text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.plain_serializer_function_ser_schema(repr, when_used="json"),
        )
