"""What the bench says below its table, and what it measures without a gateway."""

from tests.bench.formats import SUBJECTS, WHOLES, Cost
from tests.bench.formats import table as table_of_formats
from tests.bench.routing import decision_us
from tests.bench.table import growth

SEEN = {
    "before": {"unary.1.cpu_us": [100.0, 200.0, 400.0], "turns.p50_ms": [1.0, 2.0, 4.0]},
    "after": {"unary.1.cpu_us": [110.0, 240.0, 420.0], "turns.p50_ms": [1.5, 2.25, 4.25]},
}


def test_growth_is_the_median_of_what_each_round_grew_by() -> None:
    said = growth(SEEN, "before", "after")

    assert said == (
        "after, compared with before: CPU/request, 1 at once +10 % (mean +12 ± 4), p50 +0.25 ms (+12 %)"
    )


def test_rounds_that_do_not_belong_together_are_not_compared() -> None:
    one_is_missing = {**SEEN, "after": {"unary.1.cpu_us": [110.0, 420.0]}}

    assert growth(one_is_missing, "before", "after") == ""
    assert growth(SEEN, "before", "nobody") == ""


def test_one_round_has_no_error_that_anybody_could_know() -> None:
    one = {"before": {"unary.1.cpu_us": [100.0]}, "after": {"unary.1.cpu_us": [110.0]}}

    assert growth(one, "before", "after").endswith("1 at once +10 % (mean +10)")


def test_a_routing_decision_is_measured_over_targets_that_could_all_serve() -> None:
    assert decision_us() > 0


def test_every_pair_of_formats_has_its_line() -> None:
    lines = table_of_formats(dict.fromkeys(SUBJECTS, Cost(145.4, 3.44))).splitlines()

    assert len(lines) == 2 + len(SUBJECTS)
    assert lines[2].split() == ["openai_chat", "openai_chat", "145", "µs", "3.4", "µs"]
    assert {upstream for _, upstream in SUBJECTS} == WHOLES.keys()
