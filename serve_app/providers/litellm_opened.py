"""A stream of LiteLLM's that has begun."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Opened:
    """
    A stream of which the first token has arrived, with the chunks that came before it.

    `finished` are the choices that have told why they ended; `is_over`: no more is waited for.
    """

    stream: Any
    exchange: Any
    first: list[dict[str, Any]]
    choices: int
    dropped: tuple[str, ...]
    finished: set[int] = field(default_factory=set)
    is_over: bool = False

    @property
    def is_whole(self) -> bool:
        # LiteLLM keeps an end back that came with text, until the stream closes; it knows of one choice.
        heard = self.exchange.heard
        really = heard.finishes if heard and heard.tells_finish else self.stream.received_finish_reason
        return (self.choices == 1 and bool(really)) or len(self.finished) >= self.choices


class Ended:
    """A stream of LiteLLM's that has no more to say."""

    received_finish_reason = "stop"

    async def __anext__(self) -> Any:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """There is nothing to close."""
