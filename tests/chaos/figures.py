"""What the requests of an act, or of a whole run, say about it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.load import Request
from tests.chaos.play import Course

AT_MOST = 0.001  # the share of a run that may fail


@dataclass(frozen=True)
class Figures:
    """
    `late` of the failed ones cannot have been in flight in what was struck: they began after the blow, or
    ended before it. `outage_s` is the longest time in which no answer was completed, `slowest_s` the longest
    that a good answer took. `failures` are by what went wrong, as seconds from the blow.
    """

    requests: int
    failed: int
    late: int
    outage_s: float
    slowest_s: float
    well_after_s: float | None
    failures: dict[str, list[float]]
    served_by: dict[str, int]
    broken: Sequence[str] = ()
    queue: float = 0.0

    @property
    def share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


def within(course: Course, requests: Sequence[Request]) -> list[Request]:
    """Those that began during the act."""
    return [request for request in requests if course.began <= request.started < course.ended]


def excusable(request: Request, course: Course) -> bool:
    """Whether it was under way at the moment of the blow."""
    return request.started < course.blow.at and request.ended > course.blow.since


def figures_of(course: Course, requests: Sequence[Request]) -> Figures:
    """One act in numbers."""
    asked = within(course, requests)
    failed = [request for request in asked if request.failure]
    good = [request for request in asked if not request.failure]
    answered = sorted(request.ended for request in good if request.ended <= course.ended)
    moments = [course.began, *answered, course.ended]
    return Figures(
        requests=len(asked),
        failed=len(failed),
        late=sum(not excusable(request, course) for request in failed),
        outage_s=max(later - earlier for earlier, later in pairwise(moments)),
        slowest_s=max((request.ended - request.started for request in good), default=0.0),
        well_after_s=None if course.well_at is None else course.well_at - course.blow.at,
        failures=moments_of(failed, course.blow.at),
        served_by=dict(Counter(request.provider for request in good).most_common()),
        broken=course.broken,
        queue=course.queue,
    )


def moments_of(failed: Sequence[Request], blow_at: float) -> dict[str, list[float]]:
    """When each kind of failure was met, the most frequent kind first."""
    moments: dict[str, list[float]] = {}
    for request in failed:
        kind = f"{request.failure}{', streamed' if request.streamed else ''}"
        moments.setdefault(kind, []).append(round(request.ended - blow_at, 2))
    return dict(sorted(moments.items(), key=lambda kind: -len(kind[1])))
