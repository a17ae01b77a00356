"""An operator's corrections of the table of parameters that an upstream takes."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from serve_app.config.base import Config
from serve_app.providers.catalogue.dialect import OUTPUT_LIMITS

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
Dotted = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$", max_length=128)
]

# Parameters that every request needs, or that the gateway sets itself.
_NEVER = frozenset({"model", "messages", "input", "stream"})


class Parameters(Config):
    """
    Changes to a provider's or a model's row in the table of dialects.

    Attributes:
        rename: the vendor's name for a parameter of OpenAI's.
        roles: the vendor's name for a role of a message, such as `developer: system`.
        drop: parameters that the vendor does not take; dropped ones are reported to the caller.
            `response_format.json_schema` is a single value.
        take: parameters that the vendor takes as they are, whatever the table says.
        include_usage: whether `stream_options.include_usage` may be sent; null: as in the table.
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
        """Return the new name of the output limit; None: it is not renamed."""
        return next((self.rename[name] for name in OUTPUT_LIMITS if name in self.rename), None)

    @property
    def other_renames(self) -> Mapping[str, str]:
        """Return the renames of other parameters than the output limit."""
        return {name: new for name, new in self.rename.items() if name not in OUTPUT_LIMITS}
