"""Open streams of LiteLLM."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Opened:
    """
    A stream of which the first token has arrived, with the chunks that came before it.

    `finished` are the choices with a finish reason; `is_over`: no more chunks are awaited.
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
        # LiteLLM holds back a finish reason that came with text until the stream closes, for one choice only.
        heard = self.exchange.heard
        really = heard.finishes if heard and heard.tells_finish else self.stream.received_finish_reason
        return (self.choices == 1 and bool(really)) or len(self.finished) >= self.choices


class Ended:
    """A stream of LiteLLM that has ended."""

    received_finish_reason = "stop"

    async def __anext__(self) -> Any:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
