"""What every store of responses must keep, whatever it is in."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.response_store import stored_response
from serve_app.response_store.memory import MemoryResponses
from serve_app.response_store.store import ResponseStore
from serve_app.response_store.stored_response import Chain, StoredResponse
from serve_app.storage.sql import SqlStore
from tests.contract.test_stores import HOSTILE
from tests.support.ledgers import ledger_in
from tests.support.postgres import Server, postgres
from tests.support.responses import response_id, stored

pytestmark = pytest.mark.anyio

NOW = 150.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.database)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    """The URL of an empty database, for one test; None: in memory."""
    if request.param != "postgresql":
        yield None if request.param == "memory" else f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
        return
    server: Server = request.getfixturevalue("server")
    name = f"sekha_test_{uuid.uuid4().hex}"
    server.run(f'CREATE DATABASE "{name}"')
    yield server.url(name)
    server.run(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def responses(place: str | None) -> AsyncIterator[ResponseStore]:
    if place is None:
        yield MemoryResponses()
        return
    store = SqlStore(place, 20.0)
    await store.open()
    yield store.responses
    await store.close()


async def keep(store: ResponseStore, *kept: StoredResponse) -> None:
    for one in kept:
        await store.put(one)


async def test_a_response_comes_back_as_it_was(responses: ResponseStore) -> None:
    odd = stored(2, 1, local_only=True, input=b'["\\u0000"]', response='{"a":"é𝄞"}'.encode())
    await keep(responses, stored(1), odd)

    assert await responses.get("acme", response_id(1), NOW) == stored(1)
    assert await responses.get("acme", response_id(2), NOW) == odd
    assert await responses.get("acme", response_id(3), NOW) is None


@pytest.mark.parametrize(("tenant", "now"), [("other", NOW), ("acme", 200.0), ("acme", 1e9)])
async def test_what_is_another_tenants_or_has_expired_does_not_exist(
    responses: ResponseStore, tenant: str, now: float
) -> None:
    await keep(responses, stored(1))

    assert await responses.get(tenant, response_id(1), now) is None
    assert await responses.chain(tenant, response_id(1), now) == Chain(missing=response_id(1))
    assert not await responses.delete(tenant, response_id(1), now)
    assert await responses.get("acme", response_id(1), NOW) == stored(1)


async def test_two_tenants_may_have_the_same_id(responses: ResponseStore) -> None:
    theirs = stored(1, tenant="other", response=b"{}")
    await keep(responses, stored(1), theirs)

    assert await responses.get("acme", response_id(1), NOW) == stored(1)
    assert await responses.get("other", response_id(1), NOW) == theirs


async def test_a_chain_is_read_from_its_beginning(responses: ResponseStore) -> None:
    chain = [stored(1), *(stored(n, n - 1) for n in range(2, 6))]
    await keep(responses, *reversed(chain), stored(9, 2))

    assert await responses.chain("acme", response_id(5), NOW) == Chain(tuple(chain))
    assert await responses.chain("acme", response_id(9), NOW) == Chain((*chain[:2], stored(9, 2)))


async def test_a_chain_of_another_tenants_response_has_a_gap(responses: ResponseStore) -> None:
    await keep(responses, stored(1, tenant="other"), stored(2, 1))

    assert await responses.chain("acme", response_id(2), NOW) == Chain(missing=response_id(1))


async def test_a_chain_with_an_expired_or_deleted_link_has_a_gap(responses: ResponseStore) -> None:
    await keep(responses, stored(1), stored(2, 1, expires_at=120.0), stored(3, 2))
    await keep(responses, stored(4, 1), stored(5, 4))
    await responses.delete("acme", response_id(4), NOW)

    assert await responses.chain("acme", response_id(3), NOW) == Chain(missing=response_id(2))
    assert await responses.chain("acme", response_id(5), NOW) == Chain(missing=response_id(4))


async def test_a_chain_has_a_longest_length(
    responses: ResponseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_response, "MOST_TURNS", 3)
    await keep(responses, stored(1), *(stored(n, n - 1) for n in range(2, 5)))

    assert len((await responses.chain("acme", response_id(3), NOW)).responses) == 3
    assert await responses.chain("acme", response_id(4), NOW) == Chain(is_too_long=True)


async def test_a_chain_has_a_largest_size(responses: ResponseStore) -> None:
    large = b'"' + b"x" * 3_999_990 + b'"'
    await keep(responses, stored(1, input=large), *(stored(n, n - 1, input=large) for n in range(2, 10)))

    assert len((await responses.chain("acme", response_id(7), NOW)).responses) == 7
    assert await responses.chain("acme", response_id(9), NOW) == Chain(is_too_long=True)


async def test_a_chain_that_goes_round_ends(responses: ResponseStore) -> None:
    await keep(responses, stored(1, 2), stored(2, 1))

    assert await responses.chain("acme", response_id(1), NOW) == Chain(is_too_long=True)


async def test_a_response_is_deleted_once(responses: ResponseStore) -> None:
    await keep(responses, stored(1), stored(2))

    assert await responses.delete("acme", response_id(1), NOW)
    assert not await responses.delete("acme", response_id(1), NOW)
    assert await responses.get("acme", response_id(2), NOW) == stored(2)


async def test_what_has_expired_is_deleted_a_batch_at_a_time(responses: ResponseStore) -> None:
    await keep(responses, *(stored(n, expires_at=110.0 + n) for n in range(1, 6)), stored(9))

    assert [await responses.purge(114.0, 3) for _ in range(3)] == [3, 1, 0]
    assert await responses.get("acme", response_id(5), 100.0) is not None
    assert await responses.get("acme", response_id(4), 100.0) is None


async def test_the_responses_of_a_tenant_are_deleted_a_batch_at_a_time(responses: ResponseStore) -> None:
    await keep(responses, *(stored(n) for n in range(1, 6)), stored(1, tenant="other"))

    assert [await responses.delete_tenant("acme", 3) for _ in range(3)] == [3, 2, 0]
    assert await responses.get("other", response_id(1), NOW) is not None


async def test_responses_are_found_by_their_items(responses: ResponseStore) -> None:
    await responses.put(stored(1), ["a", "b"])
    await responses.put(stored(2, created_at=110.0), ["b", "c"])
    await responses.put(stored(3, tenant="other"), ["a", "d"])
    await responses.put(stored(4, created_at=120.0, expires_at=140.0), ["a"])

    async def found(*items: str, tenant: str = "acme") -> Chain:
        return await responses.with_items(tenant, items, NOW)

    assert await found("a") == Chain((stored(1),))
    assert await found("b", "x") == Chain((stored(2, created_at=110.0),))
    assert await found("c", "a") == Chain((stored(1), stored(2, created_at=110.0)))
    assert await found("d") == await found() == Chain()
    assert await found("a", "b", "d", tenant="other") == Chain((stored(3, tenant="other"),))


async def test_items_go_with_their_response(responses: ResponseStore) -> None:
    for number in range(1, 5):
        await responses.put(stored(number, expires_at=100.0 + number), [f"i{number}", "same"])
    items = [f"i{number}" for number in range(1, 5)]

    await responses.delete("acme", response_id(1), 100.0)
    assert len((await responses.with_items("acme", items, 100.0)).responses) == 3
    await responses.purge(102.0, 10)
    assert len((await responses.with_items("acme", items, 100.0)).responses) == 2
    await responses.delete_tenant("acme", 10)
    await responses.put(stored(1), ["i9"])
    assert await responses.with_items("acme", items, 100.0) == Chain()


async def test_responses_with_items_have_a_largest_size(responses: ResponseStore) -> None:
    large = b'"' + b"x" * 3_999_990 + b'"'
    for number in range(1, 10):
        await responses.put(stored(number, input=large), [f"i{number}"])

    found = await responses.with_items("acme", [f"i{number}" for number in range(1, 10)], NOW)
    assert found == Chain(is_too_long=True)


@pytest.mark.parametrize("text", [*HOSTILE, "\0", "x" * 5000])
async def test_no_text_is_anything_but_a_text(responses: ResponseStore, text: str) -> None:
    await keep(responses, stored(1))

    assert await responses.get(text, response_id(1), NOW) is None
    assert await responses.chain("acme", text, NOW) == Chain(missing=text)
    assert await responses.with_items(text, [text], NOW) == Chain()
    assert not await responses.delete(text, text, NOW)
    assert await responses.get("acme", response_id(1), NOW) == stored(1)


LINKS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["a", "b"]), st.booleans()), max_size=12)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_all_stores_find_the_same_chains(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    asyncio.run(compare(data.draw(LINKS), folder))


async def compare(links: list[tuple[int, str, bool]], folder: Path) -> None:
    ledger, memory = await ledger_in(folder), MemoryResponses()
    await ledger.open()
    for number, (previous, tenant, is_over) in enumerate(links):
        before = previous if previous < number else None
        one = stored(number, before, tenant=tenant, expires_at=120.0 if is_over else 200.0)
        await keep(memory, one)
        await keep(ledger.responses, one)
    for number in range(len(links) + 1):
        for tenant in ("a", "b"):
            asked = (tenant, response_id(number), NOW)
            assert await memory.chain(*asked) == await ledger.responses.chain(*asked)
    await ledger.close()


async def test_memory_makes_room_for_new_responses() -> None:
    few, small = MemoryResponses(most=2), MemoryResponses(most_bytes=2 * stored(1).size)
    for store in (few, small):
        await keep(store, *(stored(n) for n in range(1, 4)))

        assert await store.get("acme", response_id(1), NOW) is None
        assert await store.get("acme", response_id(3), NOW) is not None
