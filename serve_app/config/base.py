"""The manners all configuration types share."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Frozen, and closed: an unknown key is a typing mistake until proven otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, protected_namespaces=())
