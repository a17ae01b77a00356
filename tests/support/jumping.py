"""
An event loop in which waiting takes no time: where nothing is to do, its clock jumps to the next timer.

Everything that a test waits for must run in this loop. Bytes on their way over loopback are given a moment to
arrive before the clock jumps.
"""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any

EPOCH = 1_000_000.0
ARRIVES_WITHIN_S = 0.002


class _Patient(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Waits for what may be on its way, and skips the rest of the wait."""

    skip: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= ARRIVES_WITHIN_S:
            return super().select(timeout)
        found = super().select(ARRIVES_WITHIN_S)
        if not found:
            self.skip(timeout - ARRIVES_WITHIN_S)
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    """Tells a time that is ahead of the machine's by what was skipped."""

    _skipped_s = 0.0

    def __init__(self) -> None:
        selector = _Patient()
        selector.skip = self._skip
        super().__init__(selector)

    def time(self) -> float:
        return super().time() + self._skipped_s

    def _skip(self, seconds: float) -> None:
        self._skipped_s += seconds


class LoopClock:
    """The clock of the running loop."""

    def now(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


JUMPING: tuple[str, Mapping[str, Any]] = ("asyncio", {"loop_factory": JumpingLoop})
