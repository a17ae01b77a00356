"""Counts that add up across processes, to the sum that `/metrics` tells of a histogram."""

import pytest

from serve_app.control.tally import Histogram, Tally


def test_spans_add_up_by_bucket_and_in_all_wherever_they_were_seen() -> None:
    here, there = Tally(), Tally()
    for seconds in (0.25, 0.2):
        here.observe("latency", ("p",), seconds)
    there.observe("latency", ("p",), 500.0)

    here.add(there)

    seen = here.histograms["latency", ("p",)]
    assert {n: count for n, count in enumerate(seen.counts) if count} == {8: 2, 17: 1}
    assert seen.total == 500.45


EDGES_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
)  # fmt: skip


@pytest.mark.parametrize(("place", "edge_s"), list(enumerate(EDGES_S)))
def test_a_bucket_ends_at_its_edge_itself_included(place: int, edge_s: float) -> None:
    """Dashboards and alerts name these edges."""
    seen = Histogram()

    seen.observe(edge_s)
    seen.observe(edge_s + 0.0001)

    assert {n for n, count in enumerate(seen.counts) if count} == {place, place + 1}


def test_counters_add_up_by_name_and_labels() -> None:
    here, there = Tally(), Tally()
    assert not here
    here.count("calls", ("p",))
    here.count("calls", ("p",), 2)
    there.count("calls", ("p",), 4)
    there.count("calls", ("q",))

    here.add(there)

    assert here.counters == {("calls", ("p",)): 7, ("calls", ("q",)): 1}
    assert here


def test_a_tally_of_spans_alone_is_something_to_tell() -> None:
    tally = Tally()
    tally.observe("latency", (), 0.1)

    assert tally
