"""What is said in the head of a request: once, and in words that can be logged and sent back."""

from typing import Any

import httpx
import pytest

from tests.support.keyrings import keyring
from tests.unit.api.test_origins import HI, app_for

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
KEYED: Any = app_for(keyring("right"))
TWICE = {
    "authorization": ("Bearer right", "Bearer wrong"),
    "x-api-key": ("right", "wrong"),
    "host": ("localhost", "evil"),
    "origin": ("http://localhost", "http://evil.example"),
    "x-request-id": ("mine", "another"),
    "x-sekha-timeout": ("5", "50"),
    "x-sekha-on-stream-failure": ("error", "hold"),
    "content-encoding": ("identity", "gzip"),
    "expect": ("100-continue", "200-maybe"),
    "if-match": ('"1"', '"2"'),
}


async def asked(path: str, *pairs: tuple[str, str], app: Any = KEYED) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    coded = [(name, value.encode("latin-1")) for name, value in pairs]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(path, json=HI, headers=[*coded, ("x-api-key", b"right")])


@pytest.mark.parametrize("path", [CHAT, "/api/v1/route", "/api/admin/budget"])
@pytest.mark.parametrize("name", list(TWICE))
async def test_a_header_that_says_two_things_where_one_is_meant_is_refused(name: str, path: str) -> None:
    first, second = TWICE[name]

    for pairs in ([(name, first), (name, second)], [(name, second), (name, first)]):
        answer = await asked(path, *pairs)
        assert answer.status_code == 400
        assert name in answer.json()["detail"]


async def test_a_header_that_says_the_same_thing_twice_is_read() -> None:
    twice = [("x-request-id", "mine")] * 2 + [("authorization", "Bearer right")] * 2

    assert (await asked(CHAT, *twice)).status_code == 200


@pytest.mark.parametrize(
    "given", ["1_000", "0x10", "5s", "1e999", "-0", "", "\xb2", "1,5", "nan", "infinity"]
)
async def test_a_timeout_is_a_number_as_json_writes_it(given: str) -> None:
    answer = await asked(CHAT, ("x-sekha-timeout", given))

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-sekha-timeout"


@pytest.mark.parametrize("given", ["5", "0.5", ".5", "5.", "+5", " 5 ", "1e1", "1E+1"])
async def test_a_timeout_may_be_written_as_people_write_numbers(given: str) -> None:
    assert (await asked(CHAT, ("x-sekha-timeout", given))).status_code == 200


@pytest.mark.parametrize("name", ["x-sekha-timeout", "x-sekha-on-stream-failure"])
async def test_an_odd_value_is_repeated_in_ascii_on_one_short_line(name: str) -> None:
    answer = await asked(CHAT, (name, "\x1b[31m\xff" + "x" * 5000))

    message = answer.json()["error"]["message"]
    assert answer.status_code == 400
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 200


@pytest.mark.parametrize("path", [CHAT, "/api/v1/chat/completions", "/v1/embeddings"])
@pytest.mark.parametrize(
    ("app", "name", "given"),
    [(KEYED, "x-request-id", "\xff"), (app_for(keyring()), "host", "evil"), (KEYED, "expect", "more")],
)
async def test_every_refusal_at_an_openai_path_has_openais_shape(
    path: str, app: Any, name: str, given: str
) -> None:
    answer = await asked(path, (name, given), app=app)

    assert answer.json()["error"]["code"]
    assert answer.json()["error"]["message"] == answer.json()["detail"]
