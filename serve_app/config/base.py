"""The manners all configuration types share."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """
    Frozen, and closed: an unknown key is a typing mistake until proven otherwise.

    What pydantic says about a mistake never quotes the input: it may hold a key.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )
