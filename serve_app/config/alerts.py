"""Who is told when a budget runs out."""

from serve_app.config.base import Config
from serve_app.config.secret import Secret


class AlertsConfig(Config):
    """
    Where alerts go besides the log.

    `webhook` is a web address that gets each as a POST with a JSON body. It usually holds a token, so it is a
    secret.
    """

    webhook: Secret | None = None
