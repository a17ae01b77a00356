"""The settings of stored responses."""

from pydantic import Field

from serve_app.config.base import Config


class ResponsesConfig(Config):
    """
    The storage of responses of `POST /v1/responses`.

    Attributes:
        retention_days: for how long a response is kept; 0: none is.
    """

    retention_days: int = Field(default=30, ge=0, le=3650)
