"""Token counts as Anthropic is asked for them, over real connections."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from serve_app.clock import SystemClock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import UpstreamError
from serve_app.providers.base import Answer, Call
from serve_app.providers.catalogue.rows import vendor
from serve_app.providers.catalogue.wire_format import WireFormat
from serve_app.providers.http.provider import HttpProvider
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

KEY = "sk-ant-secret"


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as running:
        yield running


async def count(upstream: ScriptedUpstream, type_: str = "anthropic", **body: Any) -> Answer | UpstreamError:
    config = ProviderConfig(id="p", type=type_, base_url=upstream.url)
    provider = HttpProvider(config, vendor(type_), KEY, SystemClock())
    asked = {"messages": [{"role": "user", "content": "hi"}], **body}
    call = Call("claude-haiku-4-5", orjson.dumps(asked), 5.0, format=WireFormat.ANTHROPIC_MESSAGES)
    try:
        return await provider.count_tokens(call)
    finally:
        await provider.aclose()


async def test_a_prompt_is_counted_without_what_says_nothing_of_its_length(
    upstream: ScriptedUpstream,
) -> None:
    fields = {"max_tokens": 5, "temperature": 1, "stream": True, "metadata": {}, "stop_sequences": ["x"]}

    counted = await count(upstream, model="mine", system="be kind", folder="f", provider={}, **fields)

    assert isinstance(counted, Answer)
    assert counted.usage is not None
    assert orjson.loads(counted.body) == {"input_tokens": counted.usage.input}
    seen = upstream.last
    assert seen.path == "/v1/messages/count_tokens"
    assert seen.headers["x-api-key"] == KEY
    assert seen.json == {
        "model": "claude-haiku-4-5",
        "messages": [{"role": "user", "content": "hi"}],
        "system": "be kind",
    }


@pytest.mark.parametrize(
    "mode", [{"status": 529}, {"malformed": True}, {"html": True}, {"reset": True}], ids=str
)
async def test_a_count_that_is_none_is_a_failure(upstream: ScriptedUpstream, mode: dict[str, Any]) -> None:
    upstream.mode = mode

    assert isinstance(await count(upstream), UpstreamError)


async def test_an_upstream_without_the_endpoint_is_not_asked(upstream: ScriptedUpstream) -> None:
    refused = await count(upstream, "vllm")

    assert isinstance(refused, UpstreamError)
    assert "counts no tokens" in refused.message
    assert upstream.asked == []
