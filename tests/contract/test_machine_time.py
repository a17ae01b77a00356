"""A machine of one's own behind a real upstream: its time is in the ledger, beside the tokens."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.config.storage import store_url
from serve_app.deployments.embedded import LocalGateway, local_gateway
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import OPENAI_EMBEDDINGS, read_embedding
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.pricing.money import NANO
from serve_app.providers.factory import build_provider
from serve_app.storage.sql import SqlStore
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

RATE = 3600  # US dollars an hour: a dollar a second
LATE_S = 0.1
TEXT = f'hi [[{{"late_s": {LATE_S}}}]]'
HI = {"messages": [{"role": "user", "content": TEXT}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, upstream: ScriptedUpstream) -> Settings:
    provider = {
        "id": "gpu_box",
        "type": "vllm",
        "base_url": upstream.url,
        "hourly_rate": RATE,
        "timeout": 5,
        "models": [
            {"model_id": "qwen", "task": "chat_smart"},
            {"model_id": "e5", "task": "embedding", "dimension": 8},
        ],
    }
    config = {"llm_providers": [provider], "default_models": {}, "storage": {"folder": str(tmp_path)}}
    return Settings.model_validate(config)


@pytest.fixture
async def local(settings: Settings) -> AsyncIterator[LocalGateway]:
    clock = SystemClock()
    providers = {config.id: build_provider(config, {}, clock) for config in settings.llm_providers}
    running = await local_gateway(settings, providers, clock, Random(7), environ={})
    yield running
    await running.aclose()


def chat(body: dict[str, Any]) -> GatewayRequest:
    return GatewayRequest("r", Operation.CHAT, read_chat(orjson.dumps(body)))


async def the_line(local: LocalGateway, settings: Settings) -> Entry:
    """The one line of the ledger, read by somebody else."""
    await local.running.control.flush()
    await local.local.write()
    store = SqlStore(store_url(settings.storage, {}, "local"))
    [line] = await store.entries()
    await store.close()
    return line


def is_paid(line: Entry) -> bool:
    """Whether it cost its time, a dollar a second, and nothing else."""
    return line.cost == line.usage.machine_ms * NANO // 1000 and line.usage.machine_ms >= 900 * LATE_S


async def test_a_whole_answer_has_tokens_and_time(local: LocalGateway, settings: Settings) -> None:
    await local.running.gateway.answer(chat(HI))
    line = await the_line(local, settings)

    assert (line.outcome, line.usage.estimated) == (EntryOutcome.SERVED, False)
    assert line.usage.input > 0
    assert line.usage.output > 0
    assert is_paid(line)


@pytest.mark.parametrize("told", [{}, {"no_usage": True}])
async def test_a_stream_has_tokens_and_time_whoever_counted_the_tokens(
    local: LocalGateway, settings: Settings, upstream: ScriptedUpstream, told: dict[str, Any]
) -> None:
    upstream.mode = told
    stream = await local.running.gateway.stream(chat(HI))
    [_ async for _ in stream]
    upstream.recover()
    line = await the_line(local, settings)

    assert (line.outcome, line.usage.estimated) == (EntryOutcome.SERVED, bool(told))
    assert line.usage.input > 0
    assert line.usage.output > 0
    assert is_paid(line)


async def test_vectors_have_tokens_and_time(local: LocalGateway, settings: Settings) -> None:
    await local.running.gateway.answer(
        GatewayRequest(
            "r",
            Operation.EMBEDDINGS,
            read_embedding(orjson.dumps({"input": TEXT})),
            format=OPENAI_EMBEDDINGS,
        )
    )
    line = await the_line(local, settings)

    assert line.usage.input > 0
    assert is_paid(line)


async def test_a_stream_that_its_reader_leaves_has_the_time_until_then(
    local: LocalGateway, settings: Settings, upstream: ScriptedUpstream
) -> None:
    upstream.mode = {"chunks": 50, "chunk_delay_s": 0.05}
    stream = await local.running.gateway.stream(chat(HI))
    async for _ in stream:
        break
    await stream.aclose()
    upstream.recover()
    line = await the_line(local, settings)

    assert (line.outcome, line.usage.estimated) == (EntryOutcome.ABANDONED, True)
    assert is_paid(line)
    assert line.usage.machine_ms < 2500, "that is how long it would have taken"
