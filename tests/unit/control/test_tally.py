"""Counts that add up across processes, to the sum that `/metrics` tells of a histogram."""

from serve_app.control.tally import BUCKETS_S, Tally


def test_spans_add_up_by_bucket_and_in_all_wherever_they_were_seen() -> None:
    here, there = Tally(), Tally()
    for seconds in (0.25, 0.2):
        here.observe("latency", ("p",), seconds)
    there.observe("latency", ("p",), 500.0)

    here.add(there)

    seen = here.histograms["latency", ("p",)]
    place = BUCKETS_S.index(0.25)  # up to there, itself included
    assert {n: count for n, count in enumerate(seen.counts) if count} == {place: 2, len(BUCKETS_S): 1}
    assert seen.total == 500.45
