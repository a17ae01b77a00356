"""Work on texts from Python, each result with the target that gave it and what it cost."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import orjson
import pytest

from serve_app.clients.embedded import EmbeddedGateway
from serve_app.clients.routed import RoutedClient, RoutedResult, Routing
from serve_app.clock import SystemClock
from serve_app.config.settings import Settings
from serve_app.errors import GatewayError, InvalidRequest, ModelNotFound, UpstreamError
from tests.support.settings import HYBRID, two_providers
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

EMBEDDING = {"model_id": "nomic-embed-text", "task": "embedding", "dimension": 768}
SCORE = '{"score": 8, "reasoning": "a decision"}'


def client(settings: Settings) -> RoutedClient:
    return RoutedClient(EmbeddedGateway(settings, {}, SystemClock(), Random(7)))


def saying(answer: str | None = None, **more: Any) -> RoutedClient:
    """Return a client of a gateway whose models say this."""
    return client(two_providers({"script": {"answer": answer}}, **more))


@pytest.mark.contract(103)
async def test_a_text_becomes_a_vector_within_the_cost_limit() -> None:
    at_home, in_the_cloud = HYBRID["llm_providers"]
    simulated = {"type": "scripted", "base_url": None}
    providers = [
        {**at_home, **simulated, "models": [EMBEDDING]},
        {**in_the_cloud, **simulated, "api_key": None},
    ]
    defaults = {"embedding": "nomic-embed-text", "chat_fast": "gpt-4o-mini", "chat_smart": "gpt-4o"}
    settings = Settings.model_validate({"llm_providers": providers, "default_models": defaults})

    found = await client(settings).embed_text_routed("x", None, 0.001)

    assert found.routing == Routing("ollama_local", "nomic-embed-text", 0.0, 0.0)
    assert f"{found.routing.estimated_cost:.6f}" == "0.000000"
    assert len(found.result) == 768


@pytest.mark.contract(103)
async def test_a_cost_limit_that_no_model_keeps_is_an_error_and_nothing_is_sent() -> None:
    with ScriptedUpstream() as upstream:
        cloud = {
            "id": "openai_cloud",
            "type": "openai",
            "base_url": f"{upstream.url}/v1",
            "api_key": "k",
            "models": [{"model_id": "text-embedding-3-small", "task": "embedding", "dimension": 1536}],
        }
        settings = Settings.model_validate({"llm_providers": [cloud], "default_models": {}})

        with pytest.raises(GatewayError) as caught:
            await client(settings).embed_text_routed("x" * 1000, None, 1e-7)

    assert caught.value.status in (402, 503)
    assert upstream.requests == []


async def test_a_summary_says_who_wrote_it() -> None:
    found = await saying("A quiet day.").summarize_routed(
        ["rain", "sun"], "weekly", "second-chat", max_words=9
    )

    assert found == RoutedResult("A quiet day.", Routing("second", "second-chat", 0.0, 0.0))


async def test_entities_are_listed() -> None:
    found = await saying('{"people": ["Ada"]}').extract_entities_routed("Ada")

    assert found.result.people == ("Ada",)
    assert found.routing is not None


@pytest.mark.parametrize(
    ("text", "score"), [(SCORE, 8.0), ("Score: 15", 10.0), ("Score: 0", 1.0), ("Hm", 5.0)]
)
async def test_a_score_is_from_one_to_ten(text: str, score: float) -> None:
    assert (await saying(text).score_importance_routed("We ship.", "a context")).result == score


async def test_a_chat_goes_to_a_model_for_its_task() -> None:
    models = [
        {"model_id": "small", "task": "chat_small"},
        {"model_id": "smart", "task": "chat_smart"},
    ]
    routed = client(two_providers({"models": models, "script": {"answer": "Hi!"}}, default_models={}))

    found = await routed.chat_completion_routed("Hello!", "chat_small", temperature=0.0, max_cost=1.0)

    assert found == RoutedResult("Hi!", Routing("first", "small", 0.0, 0.0))


async def test_a_gateway_that_does_not_tell_leaves_the_routing_out() -> None:
    found = await saying("A day.", routing={"metadata": False}).summarize_routed(["rain"])

    assert found == RoutedResult("A day.", None)


REFUSED: list[tuple[Callable[[RoutedClient], Awaitable[Any]], type[GatewayError], str]] = [
    (lambda c: c.summarize_routed(["a"], "hourly"), InvalidRequest, "Invalid level: hourly"),
    (lambda c: c.summarize_routed([]), InvalidRequest, "messages"),
    (lambda c: c.summarize_routed(["a"], max_words=0), InvalidRequest, "max_words"),
    (lambda c: c.embed_text_routed("\ud800"), InvalidRequest, "surrogate"),
    (lambda c: c.score_importance_routed("\ud800"), InvalidRequest, "message: character 0"),
    (lambda c: c.extract_entities_routed("a" * 400_001), InvalidRequest, "400,001"),
    (lambda c: c.chat_completion_routed("hi", "embedding"), ModelNotFound, "embedding"),
    (
        lambda c: c.summarize_routed(["a"]),
        UpstreamError,
        "Model 'first-chat' of provider 'first' wrote no text",
    ),
]


@pytest.mark.parametrize(("ask", "kind", "words"), REFUSED)
async def test_refusals_and_failures_are_raised(
    ask: Callable[[RoutedClient], Awaitable[Any]], kind: type[GatewayError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await ask(saying(" "))


async def test_a_server_that_refuses_a_schema_is_asked_in_words() -> None:
    asked: list[dict[str, Any]] = []

    class OldServer:
        """Refuses a response_format."""

        async def chat(self, messages: Any, model: str | None = None, **fields: Any) -> dict[str, Any]:
            asked.append(fields)
            if "response_format" in fields:
                raise InvalidRequest("no", code="unsupported_parameters")
            return dict(orjson.loads(b'{"choices": [{"message": {"content": "7/10"}}]}'))

    found = await RoutedClient(OldServer()).score_importance_routed("hi")  # type: ignore[arg-type]

    assert found == RoutedResult(7.0, None)
    assert [set(fields) for fields in asked] == [
        {"max_tokens", "temperature", "response_format"},
        {"max_tokens"},
    ]
