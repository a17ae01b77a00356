"""Who guesses at keys waits for each answer; who has one does not."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.api import wrong_keys
from serve_app.api.wrong_keys import AT_ONCE, LONGEST_WAIT_S, MOST_WAITING, PER_S, WrongKeys
from serve_app.errors import TooManyWrongKeys, Unauthenticated
from tests.support.clock import FakeClock
from tests.support.keyrings import keyring

pytestmark = pytest.mark.anyio


class Standing(FakeClock):
    """A clock whose sleepers sleep until they are cancelled."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


def scope(key: str, address: str = "192.0.2.1") -> dict[str, object]:
    return {"headers": [(b"x-api-key", key.encode())], "client": (address, 1)}


async def test_a_few_wrong_keys_are_refused_at_once_and_more_ever_more_slowly() -> None:
    clock = FakeClock()
    keys, begun = keyring("right", clock=clock), clock.monotonic()

    for _ in range(AT_ONCE):
        with pytest.raises(Unauthenticated):
            await keys.caller(scope("wrong"))
    assert clock.monotonic() == begun
    for number in range(1, 6):
        with pytest.raises(Unauthenticated):
            await keys.caller(scope("wrong"))
        assert clock.monotonic() == begun + number / PER_S


async def test_a_good_key_waits_for_nobody_and_another_address_begins_anew() -> None:
    clock = FakeClock()
    keys = keyring("right", clock=clock)
    for _ in range(AT_ONCE + 5):
        with pytest.raises(Unauthenticated):
            await keys.caller(scope("wrong"))
    now = clock.monotonic()

    assert (await keys.caller(scope("right"))).role == "user"
    with pytest.raises(Unauthenticated):
        await keys.caller(scope("wrong", "192.0.2.2"))
    assert clock.monotonic() == now


async def test_a_flood_of_guesses_is_refused_without_holding_connections() -> None:
    slow = WrongKeys(Standing())

    guesses = [asyncio.ensure_future(slow.slow_down("192.0.2.1")) for _ in range(200)]
    await asyncio.sleep(0)
    waiting = [task for task in guesses if not task.done()]
    refused = [task.exception() for task in guesses if task.done() and task.exception()]

    assert len(waiting) == LONGEST_WAIT_S * PER_S
    assert len(refused) == 200 - AT_ONCE - len(waiting)
    assert all(isinstance(error, TooManyWrongKeys) for error in refused)
    assert all(error.retry_after_s >= LONGEST_WAIT_S for error in refused)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_many_addresses_together_hold_a_bounded_number_of_connections() -> None:
    slow = WrongKeys(Standing())

    async def guess(address: str) -> None:
        for _ in range(AT_ONCE + 1):
            await slow.slow_down(address)

    guesses = [asyncio.ensure_future(guess(f"192.0.2.{n}")) for n in range(MOST_WAITING + 50)]
    await asyncio.sleep(0)
    done = [task for task in guesses if task.done()]

    assert len(done) == 50
    assert all(isinstance(task.exception(), TooManyWrongKeys) for task in done)
    for task in guesses:
        task.cancel()
    await asyncio.gather(*guesses, return_exceptions=True)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_no_address_gets_more_answers_than_its_rate(pauses: list[float]) -> None:
    clock = FakeClock(0.0)
    slow = WrongKeys(clock)
    answered: list[float] = []

    async def run() -> None:
        for pause in pauses:
            clock.advance(pause)
            try:
                await slow.slow_down("one")
            except TooManyWrongKeys:
                continue
            answered.append(clock.monotonic())

    asyncio.run(run())
    for first, begun in enumerate(answered):
        for last in range(first, len(answered)):
            assert last - first + 1 <= AT_ONCE + 1 + (answered[last] - begun) * PER_S + 1e-6


async def test_addresses_are_forgotten_before_they_fill_the_memory() -> None:
    slow = WrongKeys(FakeClock())

    for number in range(wrong_keys.MOST_ADDRESSES + 100):
        await slow.slow_down(str(number))

    assert len(slow._free_at) == wrong_keys.MOST_ADDRESSES
