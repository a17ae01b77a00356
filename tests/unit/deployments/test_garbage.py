"""How often a replica looks for reference cycles."""

import gc
from collections.abc import Iterator

import pytest

from serve_app.deployments.garbage import AFTER, collect_seldom


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    usual = gc.get_threshold()
    yield
    gc.set_threshold(*usual)


class Knot:
    """Something that only a search for cycles can free."""

    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Knot.alive += 1

    def __del__(self) -> None:
        Knot.alive -= 1


def test_cycles_are_still_found() -> None:
    gc.collect()
    collect_seldom()

    most = 0
    for _ in range(5 * AFTER[0]):
        Knot()
        most = max(most, Knot.alive)

    assert AFTER[0] / 2 < most <= 2 * AFTER[0], "found, and not sooner"
