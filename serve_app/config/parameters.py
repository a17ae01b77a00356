"""What an operator says about the parameters that an upstream takes, where the built-in table is wrong."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from serve_app.config.base import Config
from serve_app.providers.catalogue.dialect import OUTPUT_LIMITS

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
Dotted = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$", max_length=128)
]

# Without these a request is none, or it is no longer ours.
_NEVER = frozenset({"model", "messages", "input", "stream"})


class Parameters(Config):
    """
    Changes to the row of a provider or a model in the table of dialects.

    rename: The vendor's name for a parameter of OpenAI's.
    roles: The vendor's name for a role of a message, such as `developer: system`.
    drop: Parameters the vendor does not take; the caller is told. `response_format.json_schema` is one value.
    take: Parameters the vendor takes as they are, whatever the table says.
    include_usage: Whether `stream_options.include_usage` may be sent; null: as the table says.
    """

    rename: dict[Name, Name] = Field(default={}, max_length=32)
    roles: dict[Name, Name] = Field(default={}, max_length=8)
    drop: tuple[Dotted, ...] = Field(default=(), max_length=64)
    take: tuple[Dotted, ...] = Field(default=(), max_length=64)
    include_usage: bool | None = None

    @model_validator(mode="after")
    def _leaves_a_request(self) -> "Parameters":
        for section in ("rename", "drop"):
            if lost := _NEVER.intersection(getattr(self, section)):
                raise ValueError(f"{section}: '{min(lost)}' cannot be changed; every request needs it")
        if both := set(self.take).intersection((*self.drop, *self.rename)):
            raise ValueError(f"'{min(both)}' cannot be in 'take' and in 'drop' or 'rename'; keep one")
        targets = list(self.rename.values())
        if clash := next((name for name in targets if targets.count(name) > 1 or name in self.rename), None):
            raise ValueError(f"rename: '{clash}' is the new name of two parameters; keep one")
        return self

    @property
    def output_limit(self) -> str | None:
        """The name that a rename gives to the limit of the output; None: it says nothing about it."""
        return next((self.rename[name] for name in OUTPUT_LIMITS if name in self.rename), None)

    @property
    def other_renames(self) -> Mapping[str, str]:
        """The renames that are not about the limit of the output."""
        return {name: new for name, new in self.rename.items() if name not in OUTPUT_LIMITS}
