"""What vLLM does not understand is the caller's fault; and a replica that cannot start does not seem to."""

import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.config.storage import StorageConfig
from serve_app.control.capacity import Presence
from serve_app.deployments import local_model
from serve_app.deployments.local_model import LocalModelDeployment, VllmEngine
from serve_app.errors import UpstreamError
from serve_app.providers.base import Call, StreamItem
from serve_app.providers.vllm_engine import LocalProvider

pytestmark = pytest.mark.anyio

OWN = ProviderConfig.model_validate(
    {
        "id": "own",
        "type": "vllm",
        "local": {},
        "hourly_rate": 1.0,
        "models": [{"model_id": "qwen", "task": "chat_smart"}],
    }
)


class NeverAsked:
    """An engine that no such request gets to."""

    async def chat(self, request: Any) -> AsyncGenerator[Any, None]:
        raise AssertionError(request)
        yield


def call(**fields: Any) -> Call:
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    return Call("qwen", json.dumps(body).encode(), 5, "r")


REFUSED: list[dict[str, Any]] = [
    {"tool_choice": "auto"},
    {"tools": []},
    {"top_logprobs": "many"},
    {"response_format": {"type": "json_schema"}},
    {"temperature": "hot"},
]


@pytest.mark.parametrize("fields", REFUSED, ids=str)
async def test_a_request_that_vllm_does_not_understand_is_the_callers_fault(fields: dict[str, Any]) -> None:
    """Else five of them would open the breaker, for everybody."""
    provider = LocalProvider(OWN, VllmEngine(NeverAsked()), SystemClock())

    whole = await provider.chat(call(**fields))
    streamed: list[StreamItem] = [item async for item in provider.chat_stream(call(**fields))]

    for answer in (whole, *streamed):
        assert isinstance(answer, UpstreamError)
        assert (answer.callers_fault, answer.upstream_status) == (True, 400)
    assert len(streamed) == 1


class Visits:
    """An authority that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Presence] = []

    async def heartbeat(self, presence: Presence) -> None:
        self.told.append(presence)

    async def submit_recovered(self, entries: Any) -> Any:
        return SimpleNamespace(written=entries[-1].number)


class Quiet(LocalModelDeployment):
    """Serve awaits the other's end; Python itself would not."""

    def __del__(self) -> None:  # type: ignore[override]
        pass


class Broken:
    """A server whose engine does not fit into the machine."""

    async def start(self) -> None:
        raise RuntimeError("out of memory")


async def test_a_replica_whose_engine_does_not_start_says_that_it_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Serve ends its process without another word, and it would seem to be starting for minutes."""
    visits = Visits()
    context = SimpleNamespace(app_name="app", router_id=SimpleNamespace(unique_id="r"))
    monkeypatch.setattr(local_model.serve, "get_replica_context", lambda: context)
    monkeypatch.setattr(local_model, "read_only_control_client", lambda *_: visits)
    monkeypatch.setattr(local_model.LLMServer, "sync_init", lambda _: Broken())
    replica = Quiet.__new__(Quiet)

    with pytest.raises(RuntimeError, match="out of memory"):
        await replica.__init__(None, OWN, "ERROR", StorageConfig())  # type: ignore[misc, func-returns-value, arg-type]

    assert visits.told[-1] == Presence("r", "own", is_leaving=True)
    assert all(task.cancelled() for task in replica._tasks)
