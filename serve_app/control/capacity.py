"""How much of a model that we host ourselves runs, and whether it can take one more request."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HEARD_WITHIN_S = 5.0  # a replica that has been silent for longer is gone; it speaks every second
STARTED_WITHIN_S = 600.0  # but one that loads its model may not get to speak; by then it has, or never will


@dataclass(frozen=True, slots=True)
class Presence:
    """
    What one replica says of itself.

    It holds its machine from the first word on, and answers from when it `is_ready`; `is_leaving` is the last
    word. `running` counts the requests it has, those that wait for its engine included.
    """

    replica_id: str
    provider_id: str
    is_ready: bool = False
    running: int = 0
    is_leaving: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """All replicas of one provider together."""

    ready: int = 0
    starting: int = 0
    running: int = 0


class Warmth(StrEnum):
    """Whether a request that comes now is served now."""

    COLD = "cold"  # no replica, and none on its way
    STARTING = "starting"
    SATURATED = "saturated"  # as many wait as may
    WARM = "warm"


def warmth_of(capacity: Capacity, max_running: int, burst_queue: int, mine: int = 0) -> Warmth:
    """
    What becomes of one more request, where each replica works on up to `max_running` at once.

    `mine` is how many requests this router has there: it knows that at once, the rest a second or two later.
    """
    if not capacity.ready:
        return Warmth.STARTING if capacity.starting else Warmth.COLD
    waiting = max(capacity.running, mine) - capacity.ready * max_running
    return Warmth.SATURATED if waiting > burst_queue else Warmth.WARM


class Register:
    """Who is there."""

    def __init__(self) -> None:
        self._present: dict[str, tuple[Presence, float]] = {}
        self._recalled: Mapping[str, Capacity] = {}
        self._recalled_at = 0.0

    def recall(self, capacities: Mapping[str, Capacity], now: float) -> None:
        """
        Believe what a router remembers of a former authority, once, until who is there could say so itself.

        Else a restart of the authority would look like the end of every machine.
        """
        if capacities and not self._recalled:
            self._recalled, self._recalled_at = capacities, now

    def hear(self, presence: Presence, now: float) -> None:
        """Take a replica's word."""
        if presence.is_leaving:
            self._present.pop(presence.replica_id, None)
        else:
            self._present[presence.replica_id] = presence, now

    def capacities(self, now: float) -> Mapping[str, Capacity]:
        """By provider; nothing for one of which no replica has spoken lately."""
        self._present = {
            name: (presence, at)
            for name, (presence, at) in self._present.items()
            # abs: a clock that is set back must not keep anybody here who has long gone.
            if abs(now - at) <= (HEARD_WITHIN_S if presence.is_ready else STARTED_WITHIN_S)
        }
        heard_of = {presence.provider_id for presence, _ in self._present.values()}
        found: dict[str, Capacity] = {}
        if abs(now - self._recalled_at) <= HEARD_WITHIN_S:
            found = {name: known for name, known in self._recalled.items() if name not in heard_of}
        for presence, _ in self._present.values():
            known = found.get(presence.provider_id, Capacity())
            found[presence.provider_id] = Capacity(
                known.ready + presence.is_ready,
                known.starting + (not presence.is_ready),
                known.running + presence.running,
            )
        return found
