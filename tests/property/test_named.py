"""Whatever is configured, asked and broken: who may answer a named model, and what has to stay local."""

import asyncio
from typing import Any

import hypothesis
import orjson
from hypothesis import given
from hypothesis import strategies as st

from serve_app.caller import Caller
from serve_app.config.policy import BreakerPolicy
from serve_app.errors import FailureKind, GatewayError, UpstreamError, upstream_error
from serve_app.formats.openai_chat.request import read_chat
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings

Asked = tuple[str, str, bool]  # provider, model, and whether it failed through its own fault

ANSWER = Answer(b"{}", Usage(1, 1), 0.1)
MODELS = ("a", "b", "c")
# What the caller's own request, or a budget, is to blame for.
NO_FAILURES = (FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER, FailureKind.REJECTED)


class Recorded(ListedProvider):
    """Fails or answers, one model as the other, and writes down who failed for good reason."""

    def __init__(self, name: str, kinds: list[FailureKind | None], asked: list[Asked]) -> None:
        super().__init__(ANSWER)
        self._name = name
        self._kinds = kinds
        self._asked = asked

    async def chat(self, call: Call) -> Answer | UpstreamError:
        kind = self._kinds.pop(0) if self._kinds else None
        self._asked.append((self._name, call.model, kind is not None and kind not in NO_FAILURES))
        return ANSWER if kind is None else upstream_error("no", self._name, kind)


def model(model_id: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "model_id": st.just(model_id),
            "task": st.sampled_from(["chat_small", "chat_smart", "vision"]),
            "supports_vision": st.booleans(),
            "context_window": st.sampled_from([1000, 100_000]),
            "cost_per_1k_tokens": st.sampled_from([None, 0.0, 1.0]),
        }
    )


def provider(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "id": st.just(name),
            "type": st.sampled_from(["openai_compatible", "anthropic", "ollama"]),
            "base_url": st.just("http://127.0.0.1:9/v1"),
            "api_key": st.just("k"),
            "priority": st.integers(1, 3),
            "retry": st.just({"max_retries": 0}),
            "models": st.lists(st.sampled_from(MODELS), min_size=1, unique=True).flatmap(
                lambda ids: st.tuples(*map(model, ids)).map(list)
            ),
        }
    )


image = st.sampled_from(["data:image/png;base64,iVBORw0KGgo=", "https://a.example/cat.png"])
wishes = st.fixed_dictionaries(
    {},
    optional={
        "max_cost": st.sampled_from([0.000001, 1]),
        "context_size": st.just(50_000),
        "preferred_model": st.sampled_from(MODELS),
        "data_policy": st.sampled_from(["any", "local"]),
        "models": st.lists(st.sampled_from(MODELS), max_size=3),
        "provider": st.fixed_dictionaries(
            {},
            optional={
                "order": st.lists(st.sampled_from(["p", "q", "r"]), max_size=3),
                "allow_fallbacks": st.booleans(),
                "data_policy": st.sampled_from(["any", "local"]),
            },
        ),
    },
)
outcomes = st.lists(st.none() | st.sampled_from(FailureKind), max_size=4)


@hypothesis.settings(deadline=None)
@given(
    st.tuples(provider("p"), provider("q"), provider("r")),
    st.tuples(outcomes, outcomes, outcomes),
    st.lists(
        st.tuples(st.none() | st.sampled_from(MODELS), st.none() | image, wishes), min_size=1, max_size=3
    ),
    st.booleans(),
    st.booleans(),
)
def test_a_named_model_answers_unless_it_failed_a_pinned_one_always_and_what_is_local_stays(
    providers: tuple[dict[str, Any], ...],
    kinds: tuple[list[FailureKind | None], ...],
    requests: list[tuple[str | None, str | None, dict[str, Any]]],
    falls_back: bool,
    local_only: bool,
) -> None:
    asked: list[Asked] = []
    config = settings(
        {"llm_providers": list(providers), "default_models": {}},
        routing={"auto_fallback": falls_back},
        circuit_breaker=BreakerPolicy(failure_threshold=1, reset_timeout=60),
    )
    types = {p["id"]: p["type"] for p in providers}
    here = {p["id"]: Recorded(p["id"], list(kind), asked) for p, kind in zip(providers, kinds, strict=True)}

    async def run() -> None:
        made = await Harness(config, dict(here), FakeClock()).open()
        for name, shown, fields in requests:
            content = [{"type": "image_url", "image_url": {"url": shown}}] if shown else "hi"
            body = {"messages": [{"role": "user", "content": content}], "model": name, **fields}
            down = {id_ for id_ in types if made.control.breakers.is_open(id_)}
            asked.clear()
            answered = None
            try:
                request = read_chat(orjson.dumps(body))
                reply = await made.chat(request, "r", caller=Caller(local_only=local_only))
                answered = reply.routed.target
            except GatewayError:
                pass
            await made.control.flush()
            check(name, fields, down, answered and answered.model_id)

    def check(name: str | None, fields: dict[str, Any], down: set[str], answered: str | None) -> None:
        listed = [*([name] if name else []), *fields.get("models", [])]
        wish = fields.get("provider", {})
        may_fall_back = falls_back and wish.get("allow_fallbacks", True)
        if local_only or "local" in (fields.get("data_policy"), wish.get("data_policy")):
            assert all(types[id_] == "ollama" for id_, _, _ in asked)
        if not listed:
            assert may_fall_back or len(asked) <= 1
            return
        if fields.get("models") or not may_fall_back:
            assert {model for _, model, _ in asked} <= set(listed)
        if not may_fall_back:
            assert len(asked) <= len(set(listed))
        if answered is not None and answered not in listed:
            has_it = {p["id"] for p in providers for m in p["models"] if m["model_id"] == name}
            failed = any(model == name and fault for _, model, fault in asked)
            assert failed or has_it & down

    asyncio.run(run())
