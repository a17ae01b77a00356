"""What installed packages add to a gateway: strategies that see the request, and middlewares around it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from serve_app.caller import ANYONE, Caller
from serve_app.config.model import ModelTask
from serve_app.errors import ConfigError, FailureKind, InvalidRequest, upstream_error
from serve_app.formats.openai_chat.request import ChatRequest, read_chat
from serve_app.formats.openai_embeddings import read_embedding
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call, StreamEnd, StreamHead
from serve_app.routing.request_view import Load
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.plugins import install, install_example, on_path
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1"}', Usage(1000, 500), upstream_s=0.2)
STREAM = (StreamHead(0.1), b"data: 1\n\n", StreamEnd(Usage(10, 2), 0.3, 8))
ACME = Caller(tenant="acme", models=frozenset({"first-chat", "second-chat"}))
NOTES = """
seen = []

class Notes:
    def order(self, candidates, request, rng):
        loads = {c.target.provider_id: request.load(c) for c in candidates}
        seen.append((request.tenant, request.session, request.task, loads))
        return sorted(candidates, key=lambda c: -c.target.position)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    with on_path(install_example(tmp_path)):
        (tmp_path / "sekha_notes.py").write_text(NOTES)
        install(tmp_path, "notes", {"sekha.strategies": {"notes": "sekha_notes:Notes"}})
        yield tmp_path


def request(**fields: Any) -> ChatRequest:
    return read_chat(orjson.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}))


async def harness(*firsts: Any, **more: Any) -> Harness:
    providers = {"first": ListedProvider(*(firsts or (ANSWER,))), "second": ListedProvider(ANSWER)}
    return await Harness(two_providers(tenants=[{"id": "acme"}], **more), providers, FakeClock()).open()


def seen() -> list[Any]:
    return sys.modules["sekha_notes"].seen


@pytest.mark.parametrize("caller", [ANYONE, Caller(tenant="acme"), ACME])
async def test_a_strategy_sees_tenant_session_and_task_of_the_request(caller: Caller) -> None:
    made = await harness(routing={"strategy": "notes"})

    reply = await made.chat(request(prompt_cache_key="s-1"), caller=caller)

    assert reply.routed.target.provider_id == "second"
    [(tenant, session, task, _)] = seen()
    assert (tenant, session, task) == (caller.tenant, "s-1", ModelTask.CHAT_SMART)


async def test_a_strategy_sees_an_embedding_request_as_well() -> None:
    made = await harness(routing={"strategy": "notes"})

    await made.embed(read_embedding(b'{"input": "hi", "metadata": {"session_id": "s-2"}}'))

    assert [note[1:3] for note in seen()] == [("s-2", ModelTask.EMBEDDING)]


async def test_a_strategy_sees_the_load_of_each_candidate_at_that_moment() -> None:
    made = await harness(
        upstream_error("down", "first", FailureKind.BROKEN), ANSWER, routing={"strategy": "notes"}
    )

    class Nested(ListedProvider):
        """While it works on a request, the next one is planned."""

        async def chat(self, call: Call) -> Any:
            made.plan(made.requirements(request()))
            return ANSWER

    made.providers["second"] = Nested(ANSWER)
    await made.chat(request(model="first/first-chat"))  # fails there, and goes to the second

    first, nested = (note[3] for note in seen())
    assert first == {"first": Load(0, None, None), "second": Load(0, None, None)}
    assert nested == {"first": Load(0, None, 1.0), "second": Load(1, None, None)}


@pytest.mark.parametrize(
    ("fields", "caller", "strategy"),
    [
        ({}, ANYONE, "fallback"),
        ({}, ACME, "round_robin"),
        ({"model": "second-chat"}, ACME, "cheapest"),
        ({"model": "second/second-chat"}, ANYONE, "cheapest"),
        ({"model": "chat_small"}, ANYONE, "fastest"),
    ],
)
async def test_the_strategy_is_that_of_the_model_the_tenant_or_the_task(
    fields: dict[str, Any], caller: Caller, strategy: str
) -> None:
    choices = {
        "models": {"second-chat": "cheapest"},
        "tenants": {"acme": "round_robin"},
        "tasks": {"chat_small": "fastest"},
    }
    made = await harness(routing={"strategies": choices})

    assert made.plan(made.requirements(request(**fields), caller), caller).strategy == strategy


async def test_a_named_model_comes_first_whatever_the_strategy_of_a_package_says() -> None:
    made = await harness(routing={"strategy": "notes"})

    assert (await made.chat(request(model="first-chat"))).routed.target.provider_id == "first"


async def test_a_middleware_of_the_configuration_stands_around_every_request() -> None:
    made = await harness(ANSWER, STREAM, middleware=[{"name": "forbid", "options": {"word": "secret plan"}}])
    forbidden = request(user="secret plan")

    for refused in (made.chat(forbidden), made.chat_stream(forbidden)):
        with pytest.raises(InvalidRequest) as error:
            await refused
        assert error.value.code == "forbidden_word"
    assert made.providers["first"].calls == []
    assert (await made.chat(request())).body == ANSWER.body
    assert b"data: 1\n\n" in [item async for item in await made.chat_stream(request())]


async def test_a_gateway_with_a_middleware_that_cannot_be_made_does_not_start() -> None:
    with pytest.raises(ConfigError, match=r"middleware 'forbid' .* cannot be made: TypeError"):
        await harness(middleware=["forbid"])
