"""The limits of the admin API."""

from pydantic import Field

from serve_app.config.base import Config


class AdminConfig(Config):
    """
    Limits of the admin API, each within an hour.

    Attributes:
        requests_per_hour: for each admin.
        changes_per_hour: for all admins together.
        switches_per_hour: switches of the backend, for all admins together.
    """

    requests_per_hour: int = Field(default=1000, ge=1, le=100_000)
    changes_per_hour: int = Field(default=100, ge=1, le=10_000)
    switches_per_hour: int = Field(default=10, ge=1, le=1000)
