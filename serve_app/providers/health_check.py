"""
Health checks of upstreams: reachable, the key accepted, and which models.

The list of models is free to request. Where a vendor has no such list, the smallest request costs a token or
two, and is sent only if `paid_probes` allows it; otherwise nothing is sent, and the health is unknown.
"""

from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import orjson

from serve_app.clock import Clock
from serve_app.config.model import ModelConfig, ModelTask
from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, UpstreamError
from serve_app.providers.base import Answer, Call, Health, HealthStatus, Provider
from serve_app.providers.openai_compatible.failures import (
    NETWORK,
    broken,
    failure_of_exception,
    failure_of_response,
)
from serve_app.providers.reading import read_at_most

HEALTH_TIMEOUT_S = 5.0
LIST_LIMIT = 16 * 1024**2  # bytes of a list of models
NO_LIST = frozenset({404, 405, 501})  # from compatible servers without `/models`

# The cheapest task first. A model for audio takes no text, so it is never asked.
_CHEAPEST_FIRST = (
    ModelTask.EMBEDDING,
    ModelTask.CHAT_SMALL,
    ModelTask.CHAT_LARGE,
    ModelTask.CHAT_SMART,
    ModelTask.VISION,
)
_ONE_WORD = orjson.dumps({"input": "hi"})
_ONE_TOKEN = orjson.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1})

# The upstream read the request and refused it, so it is reachable.
_ANSWERED = frozenset({FailureKind.REJECTED, FailureKind.CONTENT_FILTER, FailureKind.CONTEXT_LENGTH})

Models = tuple[str, ...]
Question = Callable[[], Awaitable[Models | UpstreamError]]


async def look(
    config: ProviderConfig, clock: Clock, missing_key: str | None, question: Question | None
) -> Health:
    """
    Send the question, and return the health that follows from its answer.

    Nothing is sent if a key or all models are missing. Without a question the health is unknown.
    """
    error = missing_key or (None if config.models else "No models configured")
    if error is not None:
        return Health(HealthStatus.UNHEALTHY, None, error, (), clock.now())
    if question is None:
        return Health(HealthStatus.UNKNOWN, None, None, (), clock.now())
    started = clock.monotonic()
    answer = await question()
    if isinstance(answer, UpstreamError):
        return Health(HealthStatus.UNHEALTHY, None, answer.message, (), clock.now())
    latency_ms = round((clock.monotonic() - started) * 1000, 1)
    return Health(HealthStatus.HEALTHY, latency_ms, None, answer, clock.now())


async def listed_models(
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str],
    provider_id: str,
    *,
    now: float,
    secret: str | None,
) -> Models | UpstreamError:
    """
    Return the model ids in an upstream's list: free of charge, and it reveals a wrong key or address.

    A server without such a list counts as reachable; its models are not known then.
    """
    try:
        timeout = aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S)
        async with session.get(url, headers=headers, allow_redirects=False, timeout=timeout) as response:
            body = await read_at_most(LIST_LIMIT, response)
    except NETWORK as error:
        return failure_of_exception(error, provider_id)
    if response.status in NO_LIST:
        return ()
    if response.status != 200:
        return failure_of_response(
            response.status, response.headers, body or b"", provider_id, now=now, secret=secret
        )
    if body is None:
        return broken(provider_id, f"sent a list of models of more than {LIST_LIMIT / 1024**2:g} MB", 200)
    try:
        found = orjson.loads(body)
        rows = found if isinstance(found, list) else found["data"]  # Together leaves out the envelope
        return tuple(str(row["id"]) for row in rows)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return broken(provider_id, "sent a list of models that cannot be read", 200)


def paid_question(config: ProviderConfig, provider: Provider) -> Question | None:
    """
    Return a question for the cheapest model: an embedding of one word, or a chat of one token.

    None if `paid_probes` does not allow it, or no model takes text.
    """
    model = _cheapest(config.models)
    if model is None or not config.paid_probes:
        return None

    async def ask() -> Models | UpstreamError:
        answer = await _one_word(provider, model)
        if isinstance(answer, Answer):
            return (model.model_id,)
        if answer.failure in _ANSWERED and answer.upstream_status is not None:
            return ()
        return answer

    return ask


async def _one_word(provider: Provider, model: ModelConfig) -> Answer | UpstreamError:
    if model.task is ModelTask.EMBEDDING:
        return await provider.embed(Call(model.model_id, _ONE_WORD, HEALTH_TIMEOUT_S))
    return await provider.chat(Call(model.model_id, _ONE_TOKEN, HEALTH_TIMEOUT_S))


def _cheapest(models: tuple[ModelConfig, ...]) -> ModelConfig | None:
    """Return the first model of the cheapest task."""
    suitable = (model for model in models if model.task in _CHEAPEST_FIRST)
    return min(suitable, key=lambda model: _CHEAPEST_FIRST.index(model.task), default=None)
