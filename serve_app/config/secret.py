"""
A secret by reference.

A configuration contains keys as `${OPENAI_API_KEY}` or `${file:/run/secrets/openai}`. The reference is passed
on (to Serve's controller, into checkpoints, across nodes); the secret is looked up only where it is used, in
the provider's own replica. A literal key works too, for a first try; it is passed on as it is.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_REFERENCE = re.compile(
    r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{file:(?P<path>[^}]+)\}"
)


class Secret:
    """A key, or a reference to one, which never appears in `repr`, `str`, JSON or a traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def is_literal(self) -> bool:
        """Return whether the configuration contains the secret itself instead of a reference."""
        match = _REFERENCE.fullmatch(self._text)
        return match is None or bool(match["default"])

    @property
    def shown(self) -> str:
        """Return the reference as it is written, or `***` for a literal, for display."""
        return "***" if self.is_literal else self._text

    def reveal(self, environ: Mapping[str, str]) -> str | None:
        """
        Return the secret itself; None: the variable is unset or empty, or the file is missing.

        Raises nothing: a provider without its key is reported as unhealthy, and does not stop the gateway.
        """
        match = _REFERENCE.fullmatch(self._text)
        if match is None:
            return self._text or None
        if name := match["name"]:
            return (environ.get(name) or match["default"] or "").strip() or None
        try:
            return Path(match["path"]).read_text(encoding="utf-8").strip() or None
        except (OSError, ValueError):  # ValueError: not text, or not a valid path
            return None

    def __repr__(self) -> str:
        return f"Secret('{self.shown}')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def _read(cls, value: Any) -> "Secret":
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError("must be text: a reference such as ${OPENAI_API_KEY}, or the key in quotes")
        if "${" in value and _REFERENCE.fullmatch(value) is None:
            raise ValueError("must be one whole reference: ${NAME}, ${NAME:-default} or ${file:/path}")
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        serialization = core_schema.plain_serializer_function_ser_schema(
            lambda secret: secret.shown, when_used="json"
        )
        return core_schema.no_info_plain_validator_function(cls._read, serialization=serialization)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "description": "a reference to a secret: ${NAME} or ${file:/path}"}
