"""The replicas of a hosted model, and whether they can take one more request."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HEARD_WITHIN_S = 5.0  # a replica without a heartbeat for longer is gone; it sends one every second
STARTED_WITHIN_S = 600.0  # for one that loads its model, which may keep it from sending heartbeats


@dataclass(frozen=True, slots=True)
class Presence:
    """
    A heartbeat of one replica.

    It occupies its machine from the first heartbeat on.

    Attributes:
        is_ready: it serves requests.
        running: the requests that it has, including those that wait for its engine.
        is_leaving: it is the last heartbeat.
    """

    replica_id: str
    provider_id: str
    is_ready: bool = False
    running: int = 0
    is_leaving: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """The replicas of one provider, and their requests."""

    ready: int = 0
    starting: int = 0
    running: int = 0


class Warmth(StrEnum):
    """The state in which one more request would find a hosted model."""

    COLD = "cold"  # no replica, and none is starting
    STARTING = "starting"
    SATURATED = "saturated"  # the queue is full
    WARM = "warm"


def warmth_of(capacity: Capacity, max_running: int, burst_queue: int, mine: int = 0) -> Warmth:
    """
    Return the state in which one more request would find the model.

    Args:
        capacity: the replicas, as of the last snapshot.
        max_running: how many requests each replica serves at once.
        burst_queue: how many requests may wait.
        mine: this router's own requests, which it knows a second or two before `capacity` contains them.
    """
    if not capacity.ready:
        return Warmth.STARTING if capacity.starting else Warmth.COLD
    waiting = max(capacity.running, mine) - capacity.ready * max_running
    return Warmth.SATURATED if waiting > burst_queue else Warmth.WARM


class Register:
    """The replicas that have sent a heartbeat recently."""

    def __init__(self) -> None:
        self._present: dict[str, tuple[Presence, float]] = {}
        self._recalled: Mapping[str, Capacity] = {}
        self._recalled_at = 0.0

    def recall(self, capacities: Mapping[str, Capacity], now: float) -> None:
        """
        Restore the capacities that a router remembers from a former control plane.

        They count once and only for a few seconds, until replicas have sent their heartbeats. Without them, a
        restart of the control plane would look like the end of every machine.
        """
        if capacities and not self._recalled:
            self._recalled, self._recalled_at = capacities, now

    def hear(self, presence: Presence, now: float) -> None:
        """Record a heartbeat."""
        if presence.is_leaving:
            self._present.pop(presence.replica_id, None)
        else:
            self._present[presence.replica_id] = presence, now

    def capacities(self, now: float) -> Mapping[str, Capacity]:
        """Return the capacity by provider, without providers that sent no heartbeat recently."""
        self._present = {
            name: (presence, at)
            for name, (presence, at) in self._present.items()
            # abs: a clock that is set back must not keep replicas that are gone.
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
