"""Who may call."""

from serve_app.config.base import Config
from serve_app.config.secret import Secret


class AuthConfig(Config):
    """
    Caller keys, by reference; a caller sends one as `Authorization: Bearer …` or `X-API-Key: …`.

    Empty means that nobody has to show a key, and that the gateway serves loopback only (architecture D11).
    """

    api_keys: tuple[Secret, ...] = ()
