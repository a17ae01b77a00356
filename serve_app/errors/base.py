"""The roots of the tree of errors."""


class SekhaError(Exception):
    """The root of everything raised here on purpose."""


class ConfigError(SekhaError, ValueError):
    """The configuration cannot be used; the message names file, path and value."""


class GatewayError(SekhaError):
    """
    Something a caller is told about.

    `status` is the HTTP status, `code` a stable word for programs, `kind` OpenAI's error type.
    """

    status = 500
    code = "internal_error"
    kind = "server_error"
    param: str | None = None
    retry_after_s: float | None = None

    @property
    def message(self) -> str:
        return str(self.args[0])

    def __str__(self) -> str:
        return self.message
