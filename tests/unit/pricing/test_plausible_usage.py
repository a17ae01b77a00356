"""What no answer can have used."""

from typing import Any

import pytest

from serve_app.pricing.plausible_usage import is_impossible
from serve_app.pricing.usage import Usage

MOST = Usage(1_000, 200, searches=2)


@pytest.mark.parametrize(
    ("most_possible", "how"),
    [
        ({"input_tokens": 8_000 + 1_000}, {}),
        ({"input_tokens": 3 * 8_000 + 1_000}, {"rounds": 3}),
        ({"input_tokens": 8_000 + 1_000}, {"answers": 3}),
        ({"input_tokens": 2_000_000 + 1_000}, {"window": None}),
        ({"output_tokens": 8_000 + 200}, {}),
        ({"output_tokens": 3 * 8_000 + 200}, {"answers": 3}),
        ({"output_tokens": 4 * 8_000 + 200}, {"answers": 3, "rounds": 4}),
        ({"searches": 1_002}, {}),
        ({"images": 100_000}, {}),
        ({"seconds": 10_000_000}, {}),
    ],
    ids=str,
)
def test_a_count_is_possible_up_to_its_bound(most_possible: dict[str, int], how: dict[str, Any]) -> None:
    asked = {"most": MOST, "window": 8_000, **how}
    [(_, most)] = most_possible.items()

    def told(count: int) -> Usage:
        match next(iter(most_possible)):
            case "input_tokens":
                return Usage(count)
            case "output_tokens":
                return Usage(0, count)
        return Usage()._replace(**dict.fromkeys(most_possible, count))

    assert not is_impossible(told(most), **asked)
    assert is_impossible(told(most + 1), **asked)


@pytest.mark.parametrize("field", [name for name, count in Usage()._asdict().items() if type(count) is int])
def test_nothing_is_used_less_than_not_at_all(field: str) -> None:
    assert is_impossible(Usage()._replace(**{field: -1}), MOST, 8_000)


def test_nothing_used_is_possible() -> None:
    assert not is_impossible(Usage(), MOST, 8_000)
