"""Conversations over two routers, by OpenAI's own client: what one has stored, the other goes on from."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.support.api import Api, eventually
from tests.support.serving import TWO_REPLICAS, Gateway, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

TURNS = 12  # each by a router of chance; the odds that one router had them all are nil
CHAT = {"formats": ["openai_chat"], "type": "openai_compatible"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def pair(gateway: Gateway, upstream: ScriptedUpstream) -> Api:
    """Two routers before a model that speaks Responses and one that speaks chat."""
    passed = inline("passed", upstream.url, {"model_id": "gpt-4o", "task": "chat_smart"})
    translated = inline("translated", upstream.url, {"model_id": "gpt-4o-mini", "task": "chat_small"}, **CHAT)
    api = gateway({**gateway_config(passed, translated), "router": TWO_REPLICAS})
    eventually(lambda: "sekha_router_replicas 2.0" in api.get("/metrics").text)
    return api


def client(pair: Api) -> openai.OpenAI:
    """One whose every request is a connection of its own."""
    http = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), trust_env=False)
    return openai.OpenAI(base_url=f"{pair.url}/v1", api_key="none", max_retries=0, http_client=http)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini"])
def test_a_conversation_goes_on_whichever_router_has_its_turn(
    pair: Api, upstream: ScriptedUpstream, model: str
) -> None:
    asking, previous, ids = client(pair), openai.omit, []
    for turn in range(TURNS):
        given = {"model": model, "input": f"q{turn}", "previous_response_id": previous}
        if turn % 2:
            with asking.responses.stream(**given) as stream:
                for _ in stream:
                    pass
                response = stream.get_final_response()
        else:
            response = asking.responses.create(**given)
        assert response.status == "completed"
        ids.append(response.id)
        previous = response.id

    sent = upstream.requests[-1].json
    turns = [item for item in sent.get("input") or sent["messages"] if item["role"] == "user"]
    assert [item["content"] for item in turns] == [f"q{turn}" for turn in range(TURNS)]
    assert len(sent.get("input") or sent["messages"]) == 2 * TURNS - 1

    listed = list(asking.responses.input_items.list(ids[-1], limit=5, order="asc"))
    assert len(listed) == 2 * TURNS - 1
    assert asking.responses.retrieve(ids[3]).id == ids[3]
    asking.responses.delete(ids[3])
    with pytest.raises(openai.NotFoundError, match=ids[3]):
        asking.responses.create(model=model, input="q", previous_response_id=ids[-1])
    with pytest.raises(openai.NotFoundError):
        asking.responses.retrieve(ids[3])


def test_what_is_stored_outlives_the_control_actor(pair: Api) -> None:
    import ray

    from serve_app.deployments.control import NAMESPACE, name_of

    first = client(pair).responses.create(model="gpt-4o", input="hi")

    ray.kill(ray.get_actor(name_of(pair.url.rpartition("/")[2]), namespace=NAMESPACE), no_restart=False)

    waiting = client(pair).with_options(max_retries=10)  # a 503 with Retry-After while it starts again
    second = waiting.responses.create(model="gpt-4o", input="hi", previous_response_id=first.id)
    assert second.previous_response_id == first.id
