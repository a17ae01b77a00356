"""Stored responses as callers of two routers meet them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from serve_app.control import response_keeping
from serve_app.control.protocol import ControlUnreachable
from serve_app.errors import FailureKind, upstream_error
from serve_app.formats.openai_responses.events import events_in, frames_of
from serve_app.gateway import stored_responses
from serve_app.gateway.middleware import CallNext
from serve_app.gateway.request import GatewayRequest
from serve_app.gateway.response import Response
from serve_app.ledger.store import StoreUnavailable
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, StreamEnd, StreamHead
from tests.support.harness import ListedProvider
from tests.support.operators import ADMIN, MovedClock, Office, office
from tests.support.responses import answer, asked, response_id, said
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

RESPONSES = {"type": "openai", "api_key": "k", "formats": ["openai_chat", "openai_responses"]}
CHAT = {"type": "openai_compatible", "base_url": "http://localhost:9/v1", "formats": ["openai_chat"]}
LOCAL = {"type": "vllm", "base_url": "http://localhost:9/v1", "formats": ["openai_responses"]}
USAGE = Usage(12, 31)
KEYS = {
    "admin_keys": [ADMIN],
    "api_keys": [
        {"key": "sk-of-acme", "id": "acme", "tenant": "acme"},
        {"key": "sk-of-acme-too", "id": "acme-too", "tenant": "acme"},
        {"key": "sk-of-rival", "id": "rival", "tenant": "rival"},
        {"key": "sk-reader", "id": "reader", "role": "read"},
    ],
}
ACME, ACME_TOO, RIVAL = "sk-of-acme", "sk-of-acme-too", "sk-of-rival"
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
NEVER = response_id(7)


def whole(*output: dict[str, Any], **more: Any) -> Answer:
    return Answer(orjson.dumps(answer(*output, **more)), USAGE, 0.1)


def streamed(*output: dict[str, Any], **more: Any) -> list[Any]:
    return [StreamHead(0.1), frames_of(answer(*output, **more)), StreamEnd(USAGE, 0.1, 8)]


def chat_says(text: str) -> Answer:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Answer(orjson.dumps({"id": "c", "created": 1, "model": "m", "choices": [choice]}), USAGE, 0.1)


class Gateway:
    """Two routers of a gateway, and the provider behind them."""

    def __init__(self, opened: Office, provider: ListedProvider, second: ListedProvider) -> None:
        self.office = opened
        self.provider = provider
        self.second = second

    def at(self, router: int = 0, key: str = ACME) -> httpx.AsyncClient:
        return self.office.client(key, router)

    async def ask(self, text: Any = "hi", key: str = ACME, router: int = 0, **fields: Any) -> httpx.Response:
        return await self.at(router, key).post("/v1/responses", json={"input": text, **fields})

    async def told(self, text: Any = "hi", **fields: Any) -> dict[str, Any]:
        """The response, whole or as the last event of a stream has it."""
        heard = await self.ask(text, **fields)
        assert heard.status_code == 200, heard.text
        if not fields.get("stream"):
            return dict(heard.json())
        *_, last = events_in(heard.content)
        return dict(last["response"])

    async def get(self, path: str, key: str = ACME, **params: Any) -> httpx.Response:
        return await self.at(1, key).get(f"/v1/responses/{path}", params=params)

    async def delete(self, path: str, key: str = ACME) -> httpx.Response:
        return await self.at(1, key).delete(f"/v1/responses/{path}")

    def sent(self, provider: ListedProvider | None = None) -> dict[str, Any]:
        """The last request upstream."""
        body: dict[str, Any] = orjson.loads((provider or self.provider).calls[-1].body)
        return body

    async def noted(self) -> str:
        """The metrics."""
        answered = await self.at(0, ADMIN).get("/metrics")
        return answered.text


Make = Callable[..., Any]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a gateway whose provider gives these answers."""
    async with AsyncExitStack() as stack:

        async def make(*answers: Any, vendor: Any = RESPONSES, stored: bool = True, **more: Any) -> Gateway:
            given = {"auth": KEYS, "tenants": [{"id": "acme"}, {"id": "rival"}], **more}
            provider, second = ListedProvider(*answers), ListedProvider(*answers)
            providers: Any = {"first": provider, "second": second}
            configured = two_providers(vendor, **given)
            opened = await stack.enter_async_context(office(tmp_path, configured, providers, stored=stored))
            return Gateway(opened, provider, second)

        yield make


# Going on


@pytest.mark.parametrize("stored", [True, False], ids=["database", "memory"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_goes_on_at_another_router(gateway: Make, stored: bool, stream: bool) -> None:
    give = streamed if stream else whole
    acme = await gateway(give(said("a1")), give(THOUGHT, said("a2")), give(said("a3")), stored=stored)

    first = await acme.told("q1", stream=stream)
    second = await acme.told("q2", stream=stream, previous_response_id=first["id"], router=1, key=ACME_TOO)
    third = await acme.told("q3", stream=stream, previous_response_id=second["id"])

    assert (first["store"], second["store"], third["store"]) == (True, True, True)
    assert second["previous_response_id"] == first["id"]
    ids = {first["id"], second["id"], third["id"]}
    assert len(ids) == 3
    assert all(id_.startswith("resp_") and id_ != "resp_vendor" for id_ in ids)
    sent = acme.sent()
    assert sent["input"] == [asked("q1"), said("a1"), asked("q2"), THOUGHT, said("a2"), asked("q3")]
    assert "previous_response_id" not in sent


async def test_a_stream_has_our_id_in_every_event_and_tells_its_metadata_once(gateway: Make) -> None:
    acme = await gateway(streamed(said("hello")))

    heard = await acme.ask(stream=True)

    told = [payload["response"] for payload in events_in(heard.content) if "response" in payload]
    assert len({response["id"] for response in told}) == 1
    assert told[0]["id"] != "resp_vendor"
    assert {response["store"] for response in told} == {True}
    assert heard.content.count(b"sekha_metadata") == 1
    kept = (await acme.get(told[0]["id"])).json()
    assert kept == told[-1]
    assert b"sekha_metadata" not in orjson.dumps(kept)


async def test_instructions_are_those_of_the_request_alone(gateway: Make) -> None:
    acme = await gateway(whole(said("a1")))

    first = await acme.told("q1", instructions="Be brief")
    await acme.told("q2", previous_response_id=first["id"])

    assert "instructions" not in acme.sent()


async def test_a_conversation_goes_on_at_a_model_that_speaks_chat(gateway: Make) -> None:
    acme = await gateway(chat_says("a1"), chat_says("a2"), vendor=CHAT)

    first = await acme.told("q1")
    second = await acme.told("q2", previous_response_id=first["id"])

    messages = [(message["role"], message["content"]) for message in acme.sent()["messages"]]
    assert messages == [("user", "q1"), ("assistant", "a1"), ("user", "q2")]
    assert (second["previous_response_id"], second["store"]) == (first["id"], True)
    assert (await acme.get(second["id"])).json()["output"] == second["output"]


async def test_an_incomplete_response_is_kept_as_such(gateway: Make) -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    acme = await gateway(whole(said("a"), **cut), streamed(said("b"), **cut))

    for stream in (False, True):
        told = await acme.told(stream=stream)
        assert (await acme.get(told["id"])).json()["status"] == told["status"] == "incomplete"


async def test_an_answer_that_breaks_off_is_not_kept(gateway: Make) -> None:
    begun = frames_of(answer(said("x")))
    cut = begun[: begun.index(b"event: response.output_item.done")]
    acme = await gateway([StreamHead(0.1), cut, upstream_error("cut", "first", FailureKind.OVERLOADED)])

    failed = await acme.told(stream=True)

    assert failed["status"] == "failed"
    assert (await acme.get(failed["id"])).status_code == 404


async def test_an_answer_of_a_middleware_is_kept(gateway: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def upper(request: GatewayRequest, call_next: CallNext) -> Any:
        heard = await call_next(request)
        assert isinstance(heard, Response)
        return Response(heard.body.replace(b"a1", b"A1"), heard.routed)

    monkeypatch.setattr("serve_app.deployments.wiring.load_middlewares", lambda settings: (upper,))
    acme = await gateway(whole(said("a1")))

    told = await acme.told()

    assert (await acme.get(told["id"])).json()["output"] == told["output"] == [said("A1")]


@pytest.mark.parametrize("stored", [True, False], ids=["database", "memory"])
async def test_a_reference_to_an_item_is_replaced_by_it_also_without_a_previous_id(
    gateway: Make, stored: bool
) -> None:
    """The Vercel AI SDK sends a conversation like this."""
    acme = await gateway(whole(THOUGHT, said("a1")), stored=stored)
    await acme.told("q1")
    references = [{"type": "item_reference", "id": id_} for id_ in (THOUGHT["id"], said("a1")["id"])]

    told = await acme.told([asked("q1"), *references, asked("q2")], key=ACME_TOO, router=1)

    assert acme.sent()["input"] == [asked("q1"), THOUGHT, said("a1"), asked("q2")]
    assert told["previous_response_id"] is None
    refused = await acme.ask([*references, asked("q")], key=RIVAL)
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, "input[0]")
    assert refused.json()["error"]["code"] == "item_not_found"


async def test_references_are_refused_where_nothing_is_stored(gateway: Make) -> None:
    acme = await gateway(whole(said("a")), responses={"retention_days": 0})

    refused = await acme.ask([{"type": "item_reference", "id": "msg_a"}])

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input[0]")


# Not stored


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_to_be_stored_goes_through_untouched(gateway: Make, stream: bool) -> None:
    acme = await gateway(streamed(said("x")) if stream else whole(said("x")), routing={"metadata": False})

    heard = await acme.ask(store=False, stream=stream)

    expected = frames_of(answer(said("x"))) if stream else orjson.dumps(answer(said("x")))
    assert heard.content == expected
    assert (await acme.get("resp_vendor")).status_code == 404


async def test_a_request_can_go_on_without_being_stored(gateway: Make) -> None:
    acme = await gateway(whole(said("a")))

    first = await acme.told("q1")
    second = await acme.told("q2", previous_response_id=first["id"], store=False)

    assert (second["store"], second["previous_response_id"]) == (False, first["id"])
    assert len(acme.sent()["input"]) == 3
    assert (await acme.get(second["id"])).status_code == 404


async def test_only_requests_that_store_or_go_on_call_the_store(
    gateway: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await gateway(whole(said("a")))
    calls = []
    for name in (
        "stored_response",
        "response_chain",
        "store_response",
        "delete_response",
        "responses_with_items",
    ):

        async def note(*_: Any, name: str = name) -> Any:
            calls.append(name)
            raise StoreUnavailable

        monkeypatch.setattr(acme.office.authority, name, note)

    await acme.told(store=False)
    assert calls == []
    await acme.told()
    assert calls == ["store_response"]
    await acme.ask(previous_response_id=NEVER, store=False)
    assert calls == ["store_response", "response_chain"]
    await acme.ask(previous_response_id="resp_vendor")
    assert len(calls) == 2


async def test_retention_of_zero_switches_storing_off(gateway: Make) -> None:
    acme = await gateway(whole(said("a")), responses={"retention_days": 0})

    told = await acme.told()
    explicit = await acme.told(store=True)
    refused = await acme.ask(previous_response_id=NEVER)

    assert (told["store"], explicit["store"]) == (False, False)
    assert (await acme.get(explicit["id"])).status_code == 404
    assert refused.status_code == 400
    assert "responses.retention_days" in refused.json()["error"]["message"]
    assert refused.json()["error"]["param"] == "previous_response_id"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "trouble", [StoreUnavailable("down"), ControlUnreachable("gone"), TypeError("a bug"), "slow"]
)
async def test_an_answer_that_cannot_be_kept_is_given_and_says_so(
    gateway: Make, monkeypatch: pytest.MonkeyPatch, stream: bool, trouble: Any
) -> None:
    async def fail(*_: Any) -> None:
        if trouble == "slow":
            await asyncio.Event().wait()
        raise trouble

    monkeypatch.setattr(stored_responses, "KEPT_WITHIN_S", 0.01)
    acme = await gateway(streamed(said("a")) if stream else whole(said("a")))
    monkeypatch.setattr(acme.office.authority, "store_response", fail)

    told = await acme.told(stream=stream)

    assert (told["status"], told["store"], told["output"]) == ("completed", False, [said("a")])
    assert 'sekha_responses_not_kept_total{reason="store_unavailable"} 1.0' in await acme.noted()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_too_large_is_given_and_says_so(gateway: Make, stream: bool) -> None:
    large = said("x" * 4_000_000)
    acme = await gateway(streamed(large) if stream else whole(large))

    told = await acme.told(stream=stream)

    assert (told["store"], told["output"]) == (False, [large])
    assert 'reason="too_large"} 1.0' in await acme.noted()
    refused = await acme.ask(previous_response_id=told["id"])
    assert refused.status_code == 404


async def test_an_input_that_is_too_large_is_said_not_to_be_stored_from_the_start(gateway: Make) -> None:
    acme = await gateway(streamed(said("a")))

    heard = await acme.ask("x" * 4_000_001, stream=True)

    told = [payload["response"]["store"] for payload in events_in(heard.content) if "response" in payload]
    assert set(told) == {False}


async def test_items_that_no_request_can_hold_are_not_kept(gateway: Make) -> None:
    acme = await gateway(whole({"type": "function_call", "id": "fc_1"}))

    assert (await acme.told())["store"] is False
    assert 'reason="not_a_response"} 1.0' in await acme.noted()


# What is there for whom


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_another_tenants_response_does_not_exist_and_nothing_is_sent(
    gateway: Make, number: int
) -> None:
    acme = await gateway(whole(said("a")))
    theirs = (await acme.told("secret"))["id"]
    wanted = [theirs, NEVER, "resp_1' OR 1=1"][number]
    calls = len(acme.provider.calls)

    heard = await acme.ask(key=RIVAL, previous_response_id=wanted)

    assert heard.status_code == 404
    error = heard.json()["error"]
    assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
    assert error["type"] == "invalid_request_error"
    assert len(acme.provider.calls) == calls
    for read in (
        acme.get(wanted, RIVAL),
        acme.get(f"{wanted}/input_items", RIVAL),
        acme.delete(wanted, RIVAL),
    ):
        refused = await read
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "response_not_found")
    assert (await acme.get(theirs)).status_code == 200


@pytest.mark.parametrize("path", ["", "/input_items"])
@pytest.mark.parametrize(("key", "status"), [("sk-wrong", 401), ("sk-reader", 403)])
async def test_only_keys_that_may_call_models_may_read(
    gateway: Make, path: str, key: str, status: int
) -> None:
    acme = await gateway(whole(said("a")))
    told = await acme.told()

    assert (await acme.get(told["id"] + path, key)).status_code == status
    assert (await acme.delete(told["id"], key)).status_code == status


async def test_a_response_expires(gateway: Make) -> None:
    acme = await gateway(whole(said("a")), responses={"retention_days": 2})
    told = await acme.told()
    clock = acme.office.clock
    assert isinstance(clock, MovedClock)

    clock.ahead_s = 2 * 86_400 - 60
    assert (await acme.get(told["id"])).status_code == 200
    clock.ahead_s = 2 * 86_400 + 60
    assert (await acme.get(told["id"])).status_code == 404
    assert (await acme.ask(previous_response_id=told["id"])).status_code == 404


async def test_a_deleted_response_is_gone_and_so_is_what_goes_on_from_it(gateway: Make) -> None:
    acme = await gateway(whole(said("a")))
    first = await acme.told("q1")
    second = await acme.told("q2", previous_response_id=first["id"])

    deleted = await acme.delete(first["id"])

    assert deleted.json() == {"id": first["id"], "object": "response", "deleted": True}
    assert (await acme.delete(first["id"])).status_code == 404
    assert (await acme.get(first["id"])).status_code == 404
    refused = await acme.ask(previous_response_id=second["id"])
    assert refused.status_code == 404
    assert first["id"] in refused.json()["error"]["message"]
    assert (await acme.get(second["id"])).status_code == 200


async def test_the_responses_of_a_removed_tenant_are_deleted(
    gateway: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_keeping, "DELETED_AT_ONCE", 2)
    acme = await gateway(whole(said("a")))
    admin = acme.at(0, ADMIN)
    await admin.put("/api/admin/tenants/shortlived", json={})
    made = (await admin.post("/api/admin/keys", json={"tenant": "shortlived"})).json()
    kept = [(await acme.told(key=made["key"]))["id"] for _ in range(5)]
    assert (await acme.get(kept[0], made["key"])).status_code == 200

    assert (await admin.delete(f"/api/admin/keys/{made['id']}")).status_code == 200
    assert (await admin.delete("/api/admin/tenants/shortlived")).status_code == 200
    async with asyncio.timeout(10):
        while await left(acme, kept, "shortlived"):  # noqa: ASYNC110 - the writer deletes them
            await asyncio.sleep(0.05)


async def left(gateway: Gateway, ids: list[str], tenant: str) -> int:
    found = [await gateway.office.authority.stored_response(tenant, id_) for id_ in ids]
    return sum(one is not None for one in found)


# Local data


async def test_what_was_said_under_a_local_policy_goes_to_no_vendor_outside(gateway: Make) -> None:
    acme = await gateway(whole(said("a")), vendor=LOCAL)
    kept = await acme.told("secret", data_policy="local")
    stored = await acme.office.authority.stored_response("acme", kept["id"])
    assert stored is not None
    assert stored.local_only

    again = await acme.told("more", previous_response_id=kept["id"])

    stored = await acme.office.authority.stored_response("acme", again["id"])
    assert stored is not None
    assert stored.local_only


async def test_a_local_conversation_cannot_go_on_where_only_vendors_are_left(gateway: Make) -> None:
    acme = await gateway(whole(said("a")))
    kept = await acme.told("secret")
    found = await acme.office.authority.stored_response("acme", kept["id"])
    assert found is not None
    await acme.office.authority.store_response(found._replace(id=response_id(5), local_only=True), ())
    calls = len(acme.provider.calls) + len(acme.second.calls)

    refused = await acme.ask("more", previous_response_id=response_id(5))

    assert refused.status_code == 503
    assert "local" in refused.json()["error"]["message"]
    assert len(acme.provider.calls) + len(acme.second.calls) == calls


# Reading


async def test_the_input_of_a_response_is_listed_in_pages(gateway: Make) -> None:
    acme = await gateway(whole(said("a1")), whole(said("a2")))
    first = await acme.told("q1")
    second = await acme.told([asked("q2"), asked("q3")], previous_response_id=first["id"])

    pages, after = [], None
    while True:
        page = (
            await acme.get(f"{second['id']}/input_items", limit=2, **({"after": after} if after else {}))
        ).json()
        pages.append(page)
        after = page["last_id"]
        if not page["has_more"]:
            break

    texts = [item["content"][0]["text"] for page in pages for item in page["data"]]
    assert texts == ["q3", "q2", "a1", "q1"]
    assert pages[0]["object"] == "list"
    assert pages[0]["first_id"] == pages[0]["data"][0]["id"]
    oldest_first = (await acme.get(f"{second['id']}/input_items", order="asc")).json()["data"]
    assert oldest_first[::-1] == [item for page in pages for item in page["data"]]
    assert oldest_first[1] == said("a1")
    assert (await acme.get(f"{first['id']}/input_items")).json()["data"] == oldest_first[:1]


@pytest.mark.parametrize(
    ("params", "status", "named"),
    [
        ({"limit": 0}, 422, "limit"),
        ({"limit": 101}, 422, "limit"),
        ({"limit": "x"}, 422, "limit"),
        ({"order": "up"}, 422, "order"),
        ({"after": "msg_of_nobody"}, 400, "after"),
    ],
)
async def test_a_malformed_query_is_refused_by_name(
    gateway: Make, params: Any, status: int, named: str
) -> None:
    acme = await gateway(whole(said("a")))
    told = await acme.told()

    refused = await acme.get(f"{told['id']}/input_items", **params)

    assert refused.status_code == status
    assert refused.json()["error"]["param"] == named


async def test_members_that_are_to_be_included_are_there_anyway(gateway: Make) -> None:
    acme = await gateway(whole(THOUGHT, said("a")))
    told = await acme.told()

    heard = await acme.get(told["id"], **{"include[]": "reasoning.encrypted_content"})

    assert heard.json()["output"] == [THOUGHT, said("a")]
    assert heard.headers["content-type"] == "application/json"


async def test_what_has_no_background_is_neither_streamed_again_nor_cancelled(gateway: Make) -> None:
    acme = await gateway(whole(said("a")))
    told = await acme.told()

    streamed_again = await acme.get(told["id"], stream="true")
    cancelled = await acme.at().post(f"/v1/responses/{told['id']}/cancel")

    assert (streamed_again.status_code, streamed_again.json()["error"]["param"]) == (400, "stream")
    assert cancelled.status_code == 400
    assert "background" in cancelled.json()["error"]["message"]
    assert (await acme.at().post(f"/v1/responses/{NEVER}/cancel")).status_code == 404


@pytest.mark.parametrize("trouble", [StoreUnavailable("down"), ControlUnreachable("gone")])
async def test_a_store_that_does_not_answer_is_a_503(
    gateway: Make, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    async def fail(*_: Any) -> Any:
        raise trouble

    acme = await gateway(whole(said("a")))
    told = await acme.told()
    calls = len(acme.provider.calls)
    for name in ("stored_response", "response_chain", "delete_response"):
        monkeypatch.setattr(acme.office.authority, name, fail)

    heard = [
        await acme.ask(previous_response_id=told["id"]),
        await acme.get(told["id"]),
        await acme.get(f"{told['id']}/input_items"),
        await acme.delete(told["id"]),
    ]

    assert [(one.status_code, one.headers["retry-after"]) for one in heard] == [(503, "1")] * 4
    assert len(acme.provider.calls) == calls


async def test_a_chain_counts_among_the_bodies_in_flight(gateway: Make) -> None:
    small = {"max_body_mb": 0.01, "max_bodies_in_flight_mb": 0.02, "max_bodies_per_key_mb": 0.02}
    acme = await gateway(whole(said("a" * 15_000, id="msg_1")), router=small)
    first = await acme.told("q")
    second = await acme.told("q", previous_response_id=first["id"])

    refused = await acme.ask("q", previous_response_id=second["id"])

    assert refused.status_code in (429, 503)
    assert (await acme.ask("q")).status_code == 200


@pytest.mark.parametrize("value", [5, [], {}, True])
async def test_a_previous_response_id_is_a_text(gateway: Make, value: Any) -> None:
    acme = await gateway(whole(said("a")))

    assert (await acme.ask(previous_response_id=value)).status_code == 422
