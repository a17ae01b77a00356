"""What a family of processes holds, looked at every few seconds."""

import contextlib
from collections import defaultdict
from dataclasses import dataclass, field

from tests.bench.processes import GONE, Family, role_of

FIGURES = ("pss_mb", "rss_mb", "fds", "threads")


@dataclass
class Sample:
    """One look: `held[role][figure]`, summed over the processes of a role; `count` is how many they are."""

    at_s: float
    held: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))


def sample(family: Family, at_s: float) -> Sample:
    taken = Sample(at_s)
    for process in family.members():
        with contextlib.suppress(*GONE), process.oneshot():
            memory = process.memory_full_info()
            figures = {
                "count": 1,
                "pss_mb": memory.pss / 1e6,
                "rss_mb": memory.rss / 1e6,
                "fds": process.num_fds(),
                "threads": process.num_threads(),
            }
            role = taken.held[role_of(process)]
            for name, value in figures.items():
                role[name] += value
    return taken
