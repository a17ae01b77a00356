"""The base class of all configuration types."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """
    A frozen model that rejects unknown keys, because they are usually typing mistakes.

    Pydantic's messages about mistakes never quote the input, because it may contain a key.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )
