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
ASKED = st.one_of(
    TEXTS,
    st.lists(
        st.one_of(
            st.builds(lambda text: {"role": "user", "content": text}, TEXTS),
            st.builds(lambda text: {"type": "function_call_output", "call_id": "c", "output": text}, TEXTS),
            st.builds(lambda text, id_: {"type": "reasoning", "summary": [], "encrypted_content": text, "id": id_},
                      TEXTS, TEXTS),
        ),
        min_size=1,
        max_size=3,
    ),
)  # fmt: skip
SAID = st.lists(
    st.one_of(
        st.builds(
            lambda text, id_: {"type": "message", "id": id_, "role": "assistant", "status": "completed",
                               "content": [{"type": "output_text", "text": text, "annotations": []}]},
            TEXTS, TEXTS),
        st.builds(
            lambda text, id_: {"type": "function_call", "id": id_, "call_id": "c", "name": "f", "arguments": text},
            TEXTS, TEXTS),
        st.builds(lambda text: {"type": "from_the_future", "id": "z", "is": text}, TEXTS),
    ),
    max_size=3,
)  # fmt: skip
# A turn: what is asked, what is answered, whether it is streamed, and how far the caller goes on by itself.
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
            own = [{"type": "message", "role": "user", "content": asked}] if isinstance(asked, str) else asked
            whole = answer(*output, id=f"resp_{place}")
            provider.answers_with(
                [StreamHead(0.1), frames_of(whole), StreamEnd(USAGE, 0.1, 1)]
                if streams
                else Answer(orjson.dumps(whole), USAGE, 0.1)
            )
            body: dict[str, Any] = {"input": [*unstored, *own] if unstored else asked, "stream": streams}
            body |= {"previous_response_id": previous} if previous else {}
            heard = await http.post("/v1/responses", json={**body, "store": stores})
            assert heard.status_code == 200, heard.text
            sent = orjson.loads(provider.calls[-1].body)["input"]
            said += own
            assert (
                [{"type": "message", "role": "user", "content": sent}] if isinstance(sent, str) else sent
            ) == said
            said += output
            told = list(events_in(heard.content))[-1]["response"] if streams else heard.json()
            assert told["output"] == output
            assert bool(told["store"]) is stores
            if stores:
                previous, unstored = told["id"], []
            else:
                unstored += [*own, *output]
