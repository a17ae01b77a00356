"""How often operators may do something within an hour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.control.admin_quota import Quotas


def test_what_was_never_done_may_be_done_as_often_as_the_limit_says() -> None:
    left = Quotas().left("switches", 10, now=5.0)

    assert (left.limit, left.remaining, left.resets_at) == (10, 10, 5.0)


def test_what_is_an_hour_old_no_longer_counts() -> None:
    quotas = Quotas()
    for at in (0.0, 10.0):
        quotas.count("switches", at)

    assert quotas.left("switches", 2, 3599.0).remaining == 0
    assert quotas.left("switches", 2, 3599.0).resets_at == 3600.0
    assert quotas.left("switches", 2, 3600.0).remaining == 1
    assert quotas.left("switches", 2, 3610.0).remaining == 2


def test_one_things_limit_is_nothing_to_another() -> None:
    quotas = Quotas()
    quotas.count("requests:ann", 0.0)

    assert quotas.left("requests:bob", 1, 1.0).remaining == 1


def test_a_limit_that_was_lowered_resets_when_few_enough_are_left() -> None:
    quotas = Quotas()
    for at in (0.0, 10.0, 20.0):
        quotas.count("changes", at)

    assert quotas.left("changes", 2, 30.0).resets_at == 10.0 + 3600


def test_names_of_long_ago_are_forgotten() -> None:
    quotas = Quotas()
    for number in range(3 * 1000):
        quotas.count(f"requests:{number}", number * 10.0)

    assert len(quotas._logs) <= 1000


@given(st.lists(st.floats(0, 20_000), max_size=60), st.integers(1, 5))
def test_whatever_happens_no_hour_has_more_than_the_limit(moments: list[float], limit: int) -> None:
    quotas, done = Quotas(), []
    for at in sorted(moments):
        if quotas.left("x", limit, at).remaining:
            quotas.count("x", at)
            done.append(at)

    for start in done:
        assert sum(start <= at < start + 3600 for at in done) <= limit


@pytest.mark.parametrize("limit", [1, 3])
def test_at_the_moment_it_resets_it_may_be_done_again(limit: int) -> None:
    quotas = Quotas()
    for number in range(limit):
        quotas.count("x", 100.0 + number)
    full = quotas.left("x", limit, 200.0)

    assert full.remaining == 0
    assert quotas.left("x", limit, full.resets_at).remaining == 1
