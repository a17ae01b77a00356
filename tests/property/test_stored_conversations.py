"""A conversation is the same however much of it is stored and however much is sent again."""

import asyncio
from typing import Any

import httpx
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.api.app import build_api
from serve_app.formats.openai_responses.events import events_in, frames_of
from serve_app.observability.metrics import exposition
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, StreamEnd, StreamHead
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.keyrings import keyring
from tests.support.responses import answer
from tests.support.settings import two_providers

USAGE = Usage(1, 1)
VENDOR = {"type": "openai", "api_key": "k", "formats": ["openai_responses"]}

TEXTS = st.text(min_size=1, max_size=8)


def message(role: str, content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def reply(text: str, id_: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []}]
    return {**message("assistant", parts), "id": id_, "status": "completed"}


def call(arguments: str, id_: str) -> dict[str, Any]:
    return {"type": "function_call", "id": id_, "call_id": "c", "name": "f", "arguments": arguments}


def thought(sealed: str, id_: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": id_, "summary": [], "encrypted_content": sealed}


def untyped(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def result(text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c", "output": text}


BY_EITHER = (st.builds(call, TEXTS, TEXTS), st.builds(thought, TEXTS, TEXTS))
NEW = st.fixed_dictionaries({"type": st.just("from_the_future"), "id": TEXTS, "is": TEXTS})
ITEMS = st.one_of(*BY_EITHER, st.builds(untyped, TEXTS), st.builds(result, TEXTS))
ASKED = st.one_of(TEXTS, st.lists(ITEMS, min_size=1, max_size=3))
SAID = st.lists(st.one_of(*BY_EITHER, st.builds(reply, TEXTS, TEXTS), NEW), max_size=3)
# A turn: what is asked, what is answered, whether that is streamed, and whether it is stored.
TURNS = st.lists(st.tuples(ASKED, SAID, st.booleans(), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TURNS)
def test_the_upstream_gets_every_item_in_its_order(turns: Any) -> None:
    asyncio.run(converse(turns))


async def converse(turns: Any) -> None:
    provider = ListedProvider(Answer(b"{}", USAGE, 0.1))
    providers = {"first": provider, "second": ListedProvider(Answer(b"{}", USAGE, 0.1))}
    harness = Harness(two_providers(VENDOR), providers, FakeClock())
    app: Any = build_api(harness.running, keyring(), exposition)
    said: list[Any] = []  # the whole conversation
    unstored: list[Any] = []  # what of it was said since the last stored response
    previous: str | None = None
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        for place, (asked, output, streams, stores) in enumerate(turns):
            whole = answer(*output, id=f"resp_{place}")
            provider.answers_with(
                [StreamHead(0.1), frames_of(whole), StreamEnd(USAGE, 0.1, 1)]
                if streams
                else Answer(orjson.dumps(whole), USAGE, 0.1)
            )
            body = {"input": [*unstored, *items(asked)] if unstored else asked, "stream": streams}
            body |= {"previous_response_id": previous, "store": stores}

            heard = await http.post("/v1/responses", json=body)

            assert heard.status_code == 200, heard.text
            told = list(events_in(heard.content))[-1]["response"] if streams else heard.json()
            assert (told["output"], told["store"]) == (output, stores)
            said += items(asked)
            assert items(orjson.loads(provider.calls[-1].body)["input"]) == said
            said += output
            unstored += [*items(asked), *output]
            if stores:
                previous, unstored = told["id"], []


def items(given: Any) -> list[Any]:
    """The items of an input, which may be a text."""
    return [message("user", given)] if isinstance(given, str) else list(given)
