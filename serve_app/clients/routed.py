"""
Work on texts through a gateway, each result with the target that gave it and what it cost.

    client = RoutedClient(GatewayClient())
    vector = await client.embed_text_routed("a text", max_cost=0.001)
    print(len(vector.result), vector.routing)
"""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from serve_app.clients.bodies import Messages
from serve_app.clients.protocol import GatewayPort
from serve_app.services.answer import NO_TEXT, NO_VECTOR, text_of, useless
from serve_app.services.entities import Entities, entities_in, entities_question
from serve_app.services.hints import Hints
from serve_app.services.importance import importance_in, importance_question
from serve_app.services.question import Fields, Question, answer_to
from serve_app.services.summary import DEFAULT_WORDS, Level, level_of, summary_question
from serve_app.services.vector import vector_fields, vector_in

T = TypeVar("T")


class Routing(NamedTuple):
    """
    The target that answered, and its cost.

    Fields:
        provider_id, model_id: the target; empty where a middleware answered.
        estimated_cost, actual_cost: in US dollars; None: the price is unknown.
    """

    provider_id: str
    model_id: str
    estimated_cost: float | None
    actual_cost: float | None = None


class RoutedResult(NamedTuple, Generic[T]):
    """A result, and who gave it; `routing` is None where the gateway does not say (`routing.metadata`)."""

    result: T
    routing: Routing | None


class RoutedClient:
    """
    A client for work on texts, over a running or an embedded gateway.

    `max_cost` is in US dollars: models with a higher estimate are not asked. `preferred_model` is tried
    first, if it is configured. Refusals and failures are raised as GatewayError.
    """

    def __init__(self, gateway: GatewayPort) -> None:
        self._gateway = gateway

    async def embed_text_routed(
        self, text: str, preferred_model: str | None = None, max_cost: float | None = None
    ) -> RoutedResult[list[float]]:
        """Return the vector of a text."""
        fields = {**vector_fields(text), **Hints(preferred_model, max_cost=max_cost).fields}
        answer = await self._gateway.embed(fields.pop("input"), **fields)
        routing, vector = routing_of(answer), vector_in(answer)
        if vector is None:
            raise _useless(routing, NO_VECTOR)
        return RoutedResult(vector, routing)

    async def summarize_routed(
        self,
        messages: Sequence[str],
        level: str = Level.DAILY,
        preferred_model: str | None = None,
        max_words: int = DEFAULT_WORDS,
        max_cost: float | None = None,
    ) -> RoutedResult[str]:
        """Return a `daily`, `weekly` or `monthly` summary."""
        question = summary_question(messages, level_of(level), max_words)
        answer = await self._asked(question, Hints(preferred_model, max_cost=max_cost))
        routing, text = routing_of(answer), text_of(answer)
        if not text:
            raise _useless(routing, NO_TEXT)
        return RoutedResult(text, routing)

    async def extract_entities_routed(
        self, text: str, preferred_model: str | None = None, max_cost: float | None = None
    ) -> RoutedResult[Entities]:
        """Return the people, organisations, technical terms and concepts of a text."""
        answer = await self._asked(entities_question(text), Hints(preferred_model, max_cost=max_cost))
        return RoutedResult(entities_in(text_of(answer)), routing_of(answer))

    async def score_importance_routed(
        self,
        message: str,
        context: str | None = None,
        preferred_model: str | None = None,
        max_cost: float | None = None,
    ) -> RoutedResult[float]:
        """Return how important a message is, from 1 to 10; 5 if the model says no number."""
        question = importance_question(message, context, "message")
        answer = await self._asked(question, Hints(preferred_model, max_cost=max_cost))
        return RoutedResult(importance_in(text_of(answer)).score, routing_of(answer))

    async def chat_completion_routed(
        self,
        messages: Messages,
        task: str = "chat_smart",
        preferred_model: str | None = None,
        temperature: float | None = None,
        max_cost: float | None = None,
    ) -> RoutedResult[str]:
        """Return the text of a chat completion by a model for this task."""
        fields = Hints(preferred_model, max_cost=max_cost).fields
        if temperature is not None:
            fields["temperature"] = temperature
        answer = await self._gateway.chat(messages, task, **fields)
        return RoutedResult(text_of(answer), routing_of(answer))

    async def _asked(self, question: Question, hints: Hints) -> dict[str, Any]:
        async def sent(fields: Fields) -> dict[str, Any]:
            more = {name: value for name, value in fields.items() if name != "messages"}
            return await self._gateway.chat(fields["messages"], **more, **hints.fields)

        return await answer_to(question, sent)


def routing_of(answer: Mapping[str, Any]) -> Routing | None:
    """Return the routing of a gateway's answer; None where it does not say."""
    told = answer.get("sekha_metadata")
    routing = told.get("routing") if isinstance(told, dict) else None
    if not isinstance(routing, dict):
        return None
    return Routing(
        routing.get("provider_id") or "",
        routing.get("model_id") or "",
        routing.get("estimated_cost"),
        routing.get("actual_cost"),
    )


def _useless(routing: Routing | None, what: str) -> Exception:
    who = routing or Routing("", "", None)
    return useless(who.model_id, who.provider_id, what)
