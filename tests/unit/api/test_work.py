"""The work endpoints over HTTP: what callers send, what models are asked, what comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from serve_app.api.work_endpoints import EMBED, EXTRACT, SCORE, SUMMARIZE, WORK_PATHS
from serve_app.errors import FailureKind, upstream_error
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call
from serve_app.providers.simulator import embedding_of
from tests.support.harness import ListedProvider
from tests.support.operators import KEYS, READER, USER, Office, office
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

DOWN = upstream_error("the first is down", "first", FailureKind.OVERLOADED, 503)
NO_SCHEMA = upstream_error("response_format is not supported", "first", FailureKind.REJECTED, 400)
BODIES: dict[str, dict[str, Any]] = {
    **{path: {"text": "hi"} for path in (*EMBED.paths, *EXTRACT.paths)},
    **{path: {"messages": ["hi"]} for path in SUMMARIZE.paths},
    **{path: {"conversation": "hi"} for path in SCORE.paths},
}


def chat(text: Any) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]}
    return Answer(orjson.dumps(body), Usage(1000, 500), 0.1)


class Embedder(ListedProvider):
    """Returns a vector of the text, of 768 numbers."""

    def __init__(self) -> None:
        super().__init__(chat("unused"))

    async def embed(self, call: Call) -> Answer:
        self.calls.append(call)
        vector = embedding_of(orjson.loads(call.body)["input"], 768)
        return Answer(orjson.dumps({"data": [{"index": 0, "embedding": vector}]}), Usage(1), 0.1)


class Asked:
    """A caller of a gateway with two providers; the first one gives these answers, one a call."""

    def __init__(self, opened: Office, key: str | None) -> None:
        self.opened = opened
        self.http = opened.client(key)
        self.first, self.second = opened.providers["first"], opened.providers["second"]

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.http.post(path, json=body, headers=headers)

    def sent(self, number: int = -1) -> dict[str, Any]:
        """Return the body that the first provider got."""
        return dict(orjson.loads(self.first.calls[number].body))


Ask = Callable[..., Any]


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[Ask]:
    """Opens a gateway whose first provider gives these answers, and returns its caller."""
    offices = []

    async def opened(*answers: Any, key: str | None = None, **more: Any) -> Asked:
        first = answers[0] if isinstance(answers[0], ListedProvider) else ListedProvider(*answers)
        second = more.pop("second", DOWN)
        configured = two_providers(more.pop("provider", None), **more)
        around = office(
            tmp_path,
            configured,
            {"first": first, "second": second if isinstance(second, Embedder) else ListedProvider(second)},
            stored=False,
        )
        offices.append(around)
        return Asked(await around.__aenter__(), key)

    yield opened
    for around in offices:
        await around.__aexit__(None, None, None)


@pytest.mark.contract(68)
@pytest.mark.parametrize("path", EMBED.paths)
async def test_a_text_becomes_a_vector_with_its_model_and_size(ask: Ask, path: str) -> None:
    caller = await ask(Embedder())

    answer = await caller.post(path, {"text": "twelve chars"})

    assert answer.status_code == 200
    told = answer.json()
    assert len(told["embedding"]) == told["dimension"] == 768
    assert (told["model"], told["tokens_used"]) == ("first-embed", 3)
    assert told["sekha_metadata"]["routing"]["task"] == "embedding"
    assert answer.headers["x-sekha-model"] == "first-embed"


@pytest.mark.contract(68)
async def test_three_texts_have_three_vectors_and_an_empty_one_has_one_too(ask: Ask) -> None:
    caller = await ask(Embedder())

    answers = [(await caller.post("/api/v1/embed", {"text": text})).json() for text in ("a dog", "ships", "")]

    assert len({tuple(answer["embedding"]) for answer in answers}) == 3
    assert answers[2]["tokens_used"] == 0


@pytest.mark.contract(68)
@pytest.mark.parametrize("path", sorted(WORK_PATHS))
async def test_without_its_text_a_request_is_422(ask: Ask, path: str) -> None:
    caller = await ask(chat("hi"))

    answer = await caller.post(path, {})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["type"] == "missing"
    assert caller.first.calls == []


@pytest.mark.contract(69)
@pytest.mark.parametrize("path", SUMMARIZE.paths)
async def test_messages_become_a_summary_of_their_level(ask: Ask, path: str) -> None:
    caller = await ask(chat("  A quiet week.\n"))

    answer = await caller.post(path, {"messages": ["Mon: rain", "Tue: sun"], "level": "weekly"})

    assert answer.status_code == 200
    told = answer.json()
    assert told.pop("sekha_metadata")["routing"]["task"] == "chat_smart"
    assert told == {
        "summary": "A quiet week.",
        "model": "first-chat",
        "tokens_used": 17 // 4 + 13 // 4,
        "level": "weekly",
        "message_count": 2,
    }
    assert caller.sent()["temperature"] == 0.3
    assert "[1] Mon: rain\n\n[2] Tue: sun" in caller.sent()["messages"][1]["content"]


@pytest.mark.contract(69)
async def test_the_level_is_daily_unless_it_is_said_and_no_other_than_three(ask: Ask) -> None:
    caller = await ask(chat("A quiet day."))

    daily = await caller.post("/summarize", {"messages": ["Mon: rain"], "max_words": 77})
    other = await caller.post("/summarize", {"messages": ["Mon: rain"], "level": "hourly"})

    assert daily.json()["level"] == "daily"
    assert "at most 77 words" in caller.sent()["messages"][1]["content"]
    assert other.status_code == 400
    assert other.json() == {"detail": "Invalid level: hourly. Must be daily, weekly, or monthly"}


@pytest.mark.contract(70)
@pytest.mark.parametrize("path", EXTRACT.paths)
async def test_a_text_has_its_entities_in_four_lists(ask: Ask, path: str) -> None:
    caller = await ask(chat('```json\n{"people": ["Ada"], "concepts": ["engines"]}\n```'))

    answer = await caller.post(path, {"text": "Ada wrote about engines"})

    assert answer.status_code == 200
    lists = {"people": ["Ada"], "organizations": [], "technical_terms": [], "concepts": ["engines"]}
    assert answer.json()["entities"] == lists
    assert answer.json()["model"] == "first-chat"


@pytest.mark.contract(70)
async def test_prose_instead_of_entities_is_four_empty_lists(ask: Ask) -> None:
    caller = await ask(chat("It mentions Ada."))

    answer = await caller.post("/extract", {"text": "Ada wrote about engines"})

    assert answer.status_code == 200
    assert list(answer.json()["entities"].values()) == [[], [], [], []]


@pytest.mark.contract(71)
@pytest.mark.parametrize("path", SCORE.paths)
async def test_a_conversation_has_a_score_and_a_reasoning(ask: Ask, path: str) -> None:
    text = "Score: 8\nIt contains decisions."
    caller = await ask(chat(text))

    answer = await caller.post(path, {"conversation": "We decided to ship."})

    assert answer.status_code == 200
    assert (answer.json()["score"], answer.json()["reasoning"]) == (8.0, text)
    assert answer.json()["model"] == "first-chat"


@pytest.mark.contract(72)
@pytest.mark.parametrize(
    "body",
    [
        {"conversation": "one", "message": "two", "text": "three"},
        {"message": "one", "context": "a context"},
        {"text": "one"},
        {"conversation": None, "text": "one", "context": None, "model": None},
    ],
)
async def test_a_conversation_goes_by_three_names(ask: Ask, body: dict[str, Any]) -> None:
    caller = await ask(chat('{"score": 3, "reasoning": "small talk"}'))

    answer = await caller.post("/score", body)

    assert (answer.status_code, answer.json()["score"]) == (200, 3.0)
    asked = caller.sent()["messages"][1]["content"]
    assert "one" in asked
    assert "two" not in asked
    assert ("a context" in asked) == ("a context" in body.values())


@pytest.mark.contract(71)
async def test_a_score_without_a_model_is_neutral_and_says_that_it_failed(ask: Ask) -> None:
    caller = await ask(DOWN)

    answer = await caller.post("/score", {"conversation": "We decided to ship."})

    assert answer.status_code == 200
    told = answer.json()
    assert (told["score"], told["model"]) == (5.0, "none")
    assert told["reasoning"].startswith("Failed to score: ")
    assert "sekha_metadata" not in told


@pytest.mark.parametrize("path", [*EMBED.paths, *SUMMARIZE.paths, *EXTRACT.paths])
async def test_other_work_without_a_model_fails_as_a_chat_does(ask: Ask, path: str) -> None:
    caller = await ask(DOWN)

    answer = await caller.post(path, BODIES[path])

    assert answer.status_code == 503
    assert "is down" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/embed", "/summarize", "/extract", "/score"])
async def test_the_next_provider_does_the_work_when_the_first_is_down(ask: Ask, path: str) -> None:
    caller = await ask(DOWN, second=Embedder() if path == "/embed" else chat("7/10"))

    answer = await caller.post(path, BODIES[path])

    assert answer.status_code == 200
    assert answer.json()["sekha_metadata"]["routing"]["provider_id"] == "second"


@pytest.mark.parametrize("path", ["/extract", "/score"])
async def test_a_server_that_refuses_a_schema_is_asked_in_words(ask: Ask, path: str) -> None:
    caller = await ask(NO_SCHEMA, chat('{"people": ["Ada"], "score": 9}'))

    answer = await caller.post(path, BODIES[path])

    assert answer.status_code == 200
    assert answer.json().get("score", 9.0) == 9.0
    assert caller.sent(0)["response_format"]["type"] == "json_schema"
    assert "response_format" not in caller.sent(1)


@pytest.mark.parametrize("path", ["/extract", "/score"])
async def test_a_gateway_that_requires_parameters_asks_in_words_where_no_model_takes_a_schema(
    ask: Ask, path: str
) -> None:
    caller = await ask(
        chat('{"people": ["Ada"], "score": 9}'),
        provider={"parameters": {"drop": ["response_format", "temperature"]}},
        routing={"require_parameters": True},
    )

    answer = await caller.post(path, BODIES[path])

    assert answer.status_code == 200
    assert [set(orjson.loads(call.body)) for call in caller.first.calls] == [{"messages", "max_tokens"}]


async def test_parameters_that_the_caller_did_not_send_are_not_told_as_dropped(ask: Ask) -> None:
    caller = await ask(chat("8/10")._replace(dropped=("response_format", "temperature")))

    answer = await caller.post("/score", {"text": "hi"})

    assert "x-sekha-dropped-params" not in answer.headers
    assert "dropped_params" not in answer.json()["sekha_metadata"]["routing"]


@pytest.mark.parametrize("text", [None, "", "<think>Hm", [], 7, {}])
@pytest.mark.parametrize("path", ["/summarize", "/extract", "/score"])
async def test_a_model_that_says_nothing_is_no_internal_error(ask: Ask, path: str, text: Any) -> None:
    caller = await ask(chat(text))

    answer = await caller.post(path, BODIES[path])

    assert answer.status_code == (502 if path == "/summarize" else 200)
    if path == "/summarize":
        assert "Model 'first-chat' of provider 'first' wrote no text" in answer.json()["detail"]


@pytest.mark.parametrize("vector", ["AAAA", [], [None], {}, None])
async def test_an_answer_without_a_vector_is_the_providers_failure(ask: Ask, vector: Any) -> None:
    body = orjson.dumps({"data": [{"index": 0, "embedding": vector}]})
    caller = await ask(Answer(body, Usage(1), 0.1))

    answer = await caller.post("/embed", {"text": "hi"})

    assert answer.status_code == 502
    assert "sent no vector of numbers" in answer.json()["detail"]


async def test_a_model_is_a_hint_for_chats(ask: Ask) -> None:
    caller = await ask(chat("A day."), second=chat("Another."))

    async def model(name: str) -> str:
        answer = await caller.post("/summarize", {"messages": ["hi"], "model": name})
        return str(answer.json()["model"])

    assert [await model(n) for n in ("second-chat", "llama2", "default", "", "second-embed")] == [
        "second-chat",
        *["first-chat"] * 4,
    ]


async def test_an_embedding_model_that_is_named_is_not_replaced(ask: Ask) -> None:
    caller = await ask(Embedder())

    named = await caller.post("/embed", {"text": "hi", "model": "second-embed"})
    hinted = await caller.post("/embed", {"text": "hi", "preferred_model": "second-embed"})
    unknown = await caller.post("/embed", {"text": "hi", "model": "nomic-embed-text"})

    assert named.status_code == 503  # the second provider is down
    assert [answer.json()["model"] for answer in (hinted, unknown)] == ["first-embed", "first-embed"]


async def test_a_link_to_a_picture_in_a_text_asks_for_no_model_that_sees(ask: Ask) -> None:
    sees = {"model_id": "first-sees", "task": "vision", "supports_vision": True}
    caller = await ask(
        chat("A link."),
        provider={"models": [{"model_id": "first-chat", "task": "chat_smart"}, sees]},
        default_models={},
    )

    answer = await caller.post("/summarize", {"messages": ["see http://example.org/a.png"]})

    assert answer.json()["sekha_metadata"]["routing"]["task"] == "chat_smart"


@pytest.mark.parametrize(
    ("path", "body", "status", "names"),
    [
        ("/embed", {"text": "x" * 400_001}, 413, "text"),
        ("/extract", {"text": "x" * 400_001}, 413, "text"),
        ("/score", {"message": "x" * 400_001}, 413, "message"),
        ("/score", {"text": "x" * 300_000, "context": "x" * 300_000}, 413, "context"),
        ("/summarize", {"messages": ["x" * 200_001] * 2}, 413, "messages"),
        ("/summarize", {"messages": ["x"] * 2001}, 422, "messages"),
        ("/summarize", {"messages": []}, 422, "messages"),
        ("/summarize", {"messages": ["x", 7]}, 422, "messages"),
        ("/summarize", {"messages": ["x"], "max_words": 0}, 422, "max_words"),
        ("/summarize", {"messages": ["x"], "max_words": "9"}, 422, "max_words"),
        ("/embed", {"text": "x", "max_cost": -1}, 422, "max_cost"),
        ("/embed", {"text": 7}, 422, "text"),
        ("/embed", {"text": "x" * 1_000_001}, 413, "body"),
    ],
)
async def test_bad_input_is_refused_by_its_name(
    ask: Ask, path: str, body: dict[str, Any], status: int, names: str
) -> None:
    caller = await ask(Embedder())

    answer = await caller.post(path, body)

    assert answer.status_code == status
    assert names in answer.text
    assert caller.first.calls == []


async def test_an_openai_client_with_the_wrong_base_url_is_told(ask: Ask) -> None:
    caller = await ask(Embedder())

    answer = await caller.post("/embeddings", {"input": "hi", "model": "first-embed"})

    assert answer.status_code == 422
    assert "the base URL has to end in it" in answer.text


async def test_a_bad_timeout_is_refused_and_a_good_one_is_sent_on(ask: Ask) -> None:
    caller = await ask(Embedder())

    bad = await caller.post("/embed", {"text": "hi"}, **{"x-sekha-timeout": "soon"})
    good = await caller.post("/embed", {"text": "hi"}, **{"x-sekha-timeout": "7"})

    assert (bad.status_code, good.status_code) == (400, 200)
    assert caller.first.calls[0].timeout_s <= 7


@pytest.mark.parametrize("path", sorted(WORK_PATHS))
async def test_work_needs_a_key_that_may_call_models(ask: Ask, path: str) -> None:
    caller = await ask(Embedder(), auth=KEYS)

    nobody = await caller.post(path, BODIES[path])
    reader = await caller.post(path, BODIES[path], **{"x-api-key": READER})
    user = await caller.post(path, BODIES[path], **{"x-api-key": USER})

    assert [answer.status_code for answer in (nobody, reader, user)] == [401, 403, 200]


async def test_the_callers_budget_pays_and_its_end_is_a_402_also_for_a_score(ask: Ask) -> None:
    priced = {"models": [{"model_id": "m", "task": "chat_smart", "cost_per_1k_output": 1.0}]}
    caller = await ask(
        chat("8/10"),
        key=USER,
        provider={**priced},
        default_models={},
        auth={"api_keys": [{"key": USER, "tenant": "acme"}, {"key": "other", "tenant": "umbrella"}]},
        tenants=[{"id": "acme", "budgets": {"limit": 0.6}}, {"id": "umbrella"}],
    )

    paid = await caller.post("/score", {"text": "hi"})
    refused = await caller.post("/score", {"text": "hi"})

    assert paid.status_code == 200
    assert float(paid.headers["x-sekha-cost-usd"]) == 0.5
    assert refused.status_code == 402
    assert refused.json()["detail"]["details"]["limit"] == 0.6


async def test_what_others_spent_of_a_common_budget_is_not_told(ask: Ask) -> None:
    priced = {"models": [{"model_id": "m", "task": "chat_smart", "cost_per_1k_output": 1.0}]}
    caller = await ask(
        chat("hi"),
        key=USER,
        provider={**priced},
        default_models={},
        auth={"api_keys": [{"key": USER, "tenant": "acme"}]},
        tenants=[{"id": "acme"}, {"id": "umbrella"}],
        budgets=[{"limit": 0.1}],
    )

    refused = await caller.post("/summarize", {"messages": ["hi"]})

    assert refused.status_code == 402
    details = refused.json()["detail"]["details"]
    assert (details["budget"], details["limit"], details["current"]) == ("gateway/month", None, None)
    assert "0.1" not in refused.text


async def test_a_score_is_not_given_where_the_key_may_use_no_model(ask: Ask) -> None:
    caller = await ask(
        chat("8/10"),
        key=USER,
        auth={"api_keys": [{"key": USER, "tenant": "acme"}]},
        tenants=[{"id": "acme", "models": ["first-embed"]}],
    )

    answer = await caller.post("/score", {"text": "hi"})

    assert answer.status_code == 403


async def test_metadata_can_be_switched_off(ask: Ask) -> None:
    caller = await ask(Embedder(), routing={"metadata": False})

    answer = await caller.post("/embed", {"text": "hi"})

    assert set(answer.json()) == {"embedding", "model", "tokens_used", "dimension"}


async def test_many_at_once_are_all_answered(ask: Ask) -> None:
    caller = await ask(Embedder())

    answers = await asyncio.gather(*(caller.post("/embed", {"text": str(n)}) for n in range(50)))

    assert {answer.status_code for answer in answers} == {200}
