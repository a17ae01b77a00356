"""Delays for wrong keys, so that keys cannot be guessed; valid keys are never delayed."""

from collections import OrderedDict

from serve_app.clock import Clock
from serve_app.errors import TooManyWrongKeys

AT_ONCE = 10  # wrong keys of one address that are answered at once, as after a typing mistake
PER_S = 1.0  # and this many more every second
LONGEST_WAIT_S = 10.0
MOST_WAITING = 100  # of one router: each holds a connection
MOST_ADDRESSES = 10_000  # remembered at once; the least recent is forgotten first


class WrongKeys:
    """
    The wrong keys that each address has sent to this router.

    Behind a proxy all callers have the proxy's address: they share the delay for wrong keys, nothing else.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()
        self._waiting = 0

    async def slow_down(self, address: str) -> None:
        """
        Wait before the refusal of a wrong key from this address.

        Raises:
            TooManyWrongKeys: the wait would be too long, or too many are waiting.
        """
        now = self._clock.monotonic()
        free_at = max(now, self._free_at.pop(address, 0.0)) + 1 / PER_S
        wait_s = free_at - now - AT_ONCE / PER_S
        if wait_s > LONGEST_WAIT_S or (wait_s > 0 and self._waiting >= MOST_WAITING):
            self._remember(address, free_at - 1 / PER_S)
            raise TooManyWrongKeys(max(1.0, wait_s))
        self._remember(address, free_at)
        if wait_s <= 0:
            return
        self._waiting += 1
        try:
            await self._clock.sleep(wait_s)
        finally:
            self._waiting -= 1

    def _remember(self, address: str, free_at: float) -> None:
        self._free_at[address] = free_at
        if len(self._free_at) > MOST_ADDRESSES:
            self._free_at.popitem(last=False)
