"""Who may call."""

from collections.abc import Mapping

from serve_app.config.base import Config
from serve_app.config.secret import Secret


class AuthConfig(Config):
    """
    Caller keys, by reference; a caller sends one as `Authorization: Bearer …` or `X-API-Key: …`.

    No keys at all means that nobody has to show one, and that the gateway serves loopback only (architecture
    D11). `public_metrics` lets Prometheus read `/metrics` without a key.
    What a reference leads to may be several keys with commas between them: `SEKHA_API_KEYS` is such a list.
    """

    api_keys: tuple[Secret, ...] = ()
    public_metrics: bool = False

    @property
    def is_open(self) -> bool:
        """True when no key is asked for. A reference that leads nowhere still asks: it lets nobody in."""
        return not self.api_keys

    def keys(self, environ: Mapping[str, str]) -> frozenset[str]:
        """The keys themselves, looked up now; where `is_open` is False and this is empty, nobody may call."""
        revealed = (secret.reveal(environ) or "" for secret in self.api_keys)
        return frozenset(key.strip() for text in revealed for key in text.split(",") if key.strip())
