"""Money is a whole number."""

from decimal import Decimal

import pytest

from serve_app.pricing.money import dollars, dollars_text, nano_dollars


@pytest.mark.parametrize(
    ("amount", "nano"),
    [
        (1, 1_000_000_000),
        (0.1, 100_000_000),
        ("0.0000000005", 1),
        ("0.0000000004", 0),
        (Decimal("2.5"), 2_500_000_000),
    ],
)
def test_dollars_become_whole_nano_dollars(amount: float | str | Decimal, nano: int) -> None:
    assert nano_dollars(amount) == nano


def test_a_float_is_read_as_it_prints() -> None:
    assert nano_dollars(0.1) + nano_dollars(0.2) == nano_dollars(0.3)


def test_a_sum_of_many_small_amounts_does_not_drift() -> None:
    assert sum(nano_dollars(0.0000001) for _ in range(10_000)) == nano_dollars(0.001)


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0"),
        (12_500_000, "0.0125"),
        (20, "0.00000002"),
        (3_000_000_000, "3"),
        (1, "0.000000001"),
        (-1_500_000_000, "-1.5"),
        (-5, "-0.000000005"),
    ],
)
def test_amounts_are_written_without_an_exponent(nano: int, text: str) -> None:
    assert dollars_text(nano) == text


def test_dollars_are_for_showing() -> None:
    assert dollars(12_500_000) == 0.0125
