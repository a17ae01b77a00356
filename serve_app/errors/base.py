"""The roots of the tree of errors."""

from typing import Self


class SekhaError(Exception):
    """The root of everything raised here on purpose."""


class ConfigError(SekhaError, ValueError):
    """The configuration cannot be used; the message names file, path and value."""


class GatewayError(SekhaError):
    """
    Something a caller is told about.

    `status` is the HTTP status, `code` a stable word for programs, `kind` OpenAI's error type. `advice` is a
    sentence about what would help; empty: nothing is known.
    """

    status = 500
    code = "internal_error"
    kind = "server_error"
    param: str | None = None
    retry_after_s: float | None = None
    advice = ""

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def told(self) -> str:
        """The message, and what would help."""
        return f"{self.message}. {self.advice}" if self.advice else self.message

    def advising(self, advice: str) -> Self:
        """Return this error, with that advice; it travels with it across Ray handles."""
        self.advice = advice
        return self

    def __str__(self) -> str:
        return self.told
