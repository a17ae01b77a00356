"""What the chaos run makes of its requests."""

from tests.chaos.figures import Figures, figures_of
from tests.chaos.load import SENTENCE, TOKENS, Request, fault_in
from tests.chaos.play import Blow, Course
from tests.chaos.table import met, table

BLOW = 100.0
COURSE = Course("kill it", 90.0, Blow(BLOW, BLOW + 0.01, "it"), BLOW + 4.0, 120.0)
WORD = b'data: {"content":" pebble-1"}\n\n'
END = b"data: [DONE]\n\n"


def request(started: float, took: float = 0.1, failure: str = "") -> Request:
    return Request(started, started + took, False, "http://gateway", "primary", failure)


def figures(*requests: Request) -> Figures:
    return figures_of(COURSE, requests)


def test_what_was_in_flight_at_the_blow_may_fail() -> None:
    """It began before, and had not ended."""
    seen = figures(request(91.0), request(BLOW - 0.2, took=0.201, failure="cut off"), request(101.0))
    assert (seen.requests, seen.failed, seen.late) == (3, 1, 0)
    assert met(seen)


def test_what_began_after_the_blow_may_not() -> None:
    """Nor may what had ended before it."""
    seen = figures(request(92.0, failure="500"), request(100.5, failure="500"), request(101.0))
    assert (seen.failed, seen.late) == (2, 2)
    assert seen.failures == {"500": [-7.91, 0.59]}
    assert not met(seen)


def test_an_outage_is_a_time_without_a_completed_answer() -> None:
    """Also when nothing failed but everybody waited."""
    seen = figures(request(90.0), request(95.0), request(100.0, took=15.0), request(119.0))
    assert seen.outage_s == 115.0 - 95.1
    assert seen.slowest_s == 15.0


def test_the_requests_of_other_acts_do_not_count() -> None:
    """The load goes on from act to act."""
    assert figures(request(89.0, failure="500"), request(91.0), request(120.5)).requests == 1


def test_an_act_that_nobody_survived_has_not_met_its_aim() -> None:
    """Silence is no success."""
    assert not met(figures())


def test_a_whole_run_is_judged_by_its_share() -> None:
    """One in a thousand may fail."""
    asked = [request(90.0 + n / 50) for n in range(999)]
    within = figures(*asked, request(BLOW - 0.2, took=0.3, failure="cut off"))
    beyond = figures(*asked[:500], request(BLOW - 0.2, took=0.3, failure="cut off"))
    assert "≤ 0.1 % ✓" in table({"kill it": within})
    assert "≤ 0.1 % ✗" in table({"kill it": beyond})


def test_an_answer_counts_only_when_it_is_whole() -> None:
    """A 200 alone is not an answer."""
    whole = b'{"choices":[{"message":{"content":"%s"}}]}' % SENTENCE.encode()
    assert fault_in(200, whole, streamed=False) == ""
    assert fault_in(200, whole[:-4], streamed=False) == "garbled answer"
    assert fault_in(200, WORD * TOKENS + END, streamed=True) == ""
    assert fault_in(200, WORD * TOKENS, streamed=True) == "stream without its end"
    assert fault_in(200, WORD * (TOKENS - 1) + END, streamed=True) == "stream with words missing"
    assert fault_in(503, b'{"error":{"code":"unavailable"}}', streamed=False) == "503 unavailable"
