"""The bytes of request bodies that a router holds, in total and by key."""

from collections import Counter
from collections.abc import Hashable

from serve_app.errors import GatewayError

ASK_AGAIN_S = 1.0


class TooMuchInFlight(GatewayError):
    """The bodies in flight leave no room for another; `is_share`: those of the caller's key do."""

    code = "bodies_in_flight"
    retry_after_s = ASK_AGAIN_S

    def __init__(self, most: int, is_share: bool) -> None:
        super().__init__(most, is_share)
        self.most = most
        self.is_share = is_share
        self.status = 429 if is_share else 503
        self.kind = "rate_limit_error" if is_share else "server_error"

    @property
    def message(self) -> str:
        whose = "this key" if self.is_share else "all callers"
        return (
            f"Requests of {whose} with {self.most / 1_000_000:g} MB of bodies are being served, which is the "
            "limit; send fewer at once"
        )


class InFlight:
    """A counter of bytes; at most `most` may be held in total, and `most_per_key` for one key."""

    def __init__(self, most: int, most_per_key: int) -> None:
        self._most = most
        self._most_per_key = most_per_key
        self._held: Counter[Hashable] = Counter()
        self.total = 0

    def check(self, key: Hashable | None, size: int) -> None:
        """Raise TooMuchInFlight if there is no room for `size` bytes; without a key only the total counts."""
        if self.total + size > self._most:
            raise TooMuchInFlight(self._most, is_share=False)
        if key is not None and self._held[key] + size > self._most_per_key:
            raise TooMuchInFlight(self._most_per_key, is_share=True)

    def take(self, key: Hashable | None, size: int) -> None:
        """Hold `size` more bytes. Raises TooMuchInFlight if there is no room."""
        self.check(key, size)
        self.total += size
        if key is not None:
            self._held[key] += size

    def give_back(self, key: Hashable | None, size: int) -> None:
        """Release `size` bytes."""
        self.total -= size
        if key is not None:
            self._held[key] -= size
            if self._held[key] <= 0:
                del self._held[key]
