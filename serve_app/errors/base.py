"""The base classes of all errors."""

from typing import Self


class SekhaError(Exception):
    """The base class of every error that the gateway raises on purpose."""


class ConfigError(SekhaError, ValueError):
    """The configuration cannot be used; the message names file, path and value."""


class GatewayError(SekhaError):
    """
    An error that reaches the caller.

    Attributes:
        status: the HTTP status.
        code: a stable identifier for programs.
        kind: OpenAI's error type.
        param: the field of the request that is at fault; None: no single field.
        retry_after_s: seconds until a retry makes sense; None: unknown.
        advice: a sentence that says what would help; empty: none.
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
        """Return the message and the advice."""
        return f"{self.message}. {self.advice}" if self.advice else self.message

    def advising(self, advice: str) -> Self:
        """Return this error with the advice, which crosses Ray handles with it."""
        self.advice = advice
        return self

    def __str__(self) -> str:
        return self.told
