"""The destination of budget alerts."""

from serve_app.config.base import Config
from serve_app.config.secret import Secret


class AlertsConfig(Config):
    """
    The destination of alerts, besides the log.

    Attributes:
        webhook: a URL that gets each alert as a POST with a JSON body. It usually contains a token, so it is
            a secret.
    """

    webhook: Secret | None = None
