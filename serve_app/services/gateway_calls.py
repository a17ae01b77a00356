"""Questions and texts on their way through the gateway, as requests like any others."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from serve_app.caller import ANYONE, Caller
from serve_app.formats.exact_json import dumps
from serve_app.formats.openai_chat.format import OPENAI_CHAT
from serve_app.formats.openai_embeddings import OPENAI_EMBEDDINGS
from serve_app.gateway.gateway import Gateway
from serve_app.gateway.request import GatewayRequest, Operation
from serve_app.gateway.response import Response
from serve_app.gateway.routing_info import RoutingInfo
from serve_app.services.answer import NO_TEXT, NO_VECTOR, text_of, useless
from serve_app.services.hints import Hints
from serve_app.services.question import Fields, Question, answer_to
from serve_app.services.vector import vector_fields, vector_in


class Asker(NamedTuple):
    """The caller's side of a request: its id, the caller who pays, the timeout, and the hints."""

    id: str
    caller: Caller = ANYONE
    timeout_s: float | None = None
    hints: Hints = Hints()


class Answered(NamedTuple):
    """The text of an answer, the model that wrote it, and why this one."""

    text: str
    model: str
    routed: RoutingInfo


class Embedded(NamedTuple):
    """A vector, the model that made it, and why this one."""

    vector: list[float]
    model: str
    routed: RoutingInfo


async def ask(gateway: Gateway, question: Question, asker: Asker) -> Answered:
    """
    Return a model's answer; its text may be empty.

    Raises:
        GatewayError: as for any chat request.
    """

    async def sent(fields: Fields) -> Response:
        content = OPENAI_CHAT.parse(dumps({**fields, **asker.hints.fields}))
        content = content._replace(written_images=0)  # a link to a picture in the material is only text
        request = GatewayRequest(asker.id, Operation.CHAT, content, asker.caller, asker.timeout_s)
        return await gateway.answer(request)

    response = await answer_to(question, sent)
    answer, routed = _read(response), _unsaid(response.routed)
    return Answered(text_of(answer), _model(answer, routed), routed)


async def ask_for_text(gateway: Gateway, question: Question, asker: Asker) -> Answered:
    """
    Return a model's answer, which has a text.

    Raises:
        UpstreamError: 502, the model wrote none.
        GatewayError: as for any chat request.
    """
    answered = await ask(gateway, question, asker)
    if not answered.text:
        raise useless(answered.model, answered.routed.provider_id, NO_TEXT)
    return answered


async def embed(gateway: Gateway, text: str, asker: Asker) -> Embedded:
    """
    Return the vector of a text.

    Raises:
        UpstreamError: 502, the answer has no vector of numbers.
        GatewayError: as for any embeddings request.
    """
    content = OPENAI_EMBEDDINGS.parse(dumps({**vector_fields(text), **asker.hints.fields}))
    request = GatewayRequest(
        asker.id, Operation.EMBEDDINGS, content, asker.caller, asker.timeout_s, format=OPENAI_EMBEDDINGS
    )
    response = await gateway.answer(request)
    answer = _read(response)
    vector = vector_in(answer)
    model = _model(answer, response.routed)
    if vector is None:
        raise useless(model, response.routed.provider_id, NO_VECTOR)
    return Embedded(vector, model, response.routed)


def _read(response: Response) -> Mapping[str, Any]:
    """Return the answer's object; empty where a middleware answered with something else."""
    try:
        answer = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _unsaid(routed: RoutingInfo) -> RoutingInfo:
    """Return the routing without the dropped parameters: they were not the caller's."""
    return routed._replace(dropped=())


def _model(answer: Mapping[str, Any], routed: RoutingInfo) -> str:
    """Return the model that answered; where a middleware did, the one that its answer names."""
    named = answer.get("model")
    return routed.model_id or (named if isinstance(named, str) else "")
