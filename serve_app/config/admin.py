"""How much operators may ask of the gateway."""

from pydantic import Field

from serve_app.config.base import Config


class AdminConfig(Config):
    """
    Limits of the admin API, each within any hour.

    `requests_per_hour` is for each admin; changes, and among them switches of the backend, are counted for
    all of them together.
    """

    requests_per_hour: int = Field(default=1000, ge=1, le=100_000)
    changes_per_hour: int = Field(default=100, ge=1, le=10_000)
    switches_per_hour: int = Field(default=10, ge=1, le=1000)
