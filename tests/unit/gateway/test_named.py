"""A named model is only ever replaced when it fails; and what a request says of its own routing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from serve_app.caller import ANYONE, Caller
from serve_app.config.policy import BreakerPolicy
from serve_app.config.routing import RoutingConfig
from serve_app.config.tenant import BudgetConfig, RateConfig
from serve_app.errors import FailureKind, GatewayError, UpstreamError, upstream_error
from serve_app.formats.openai_chat.request import read_chat
from serve_app.formats.openai_embeddings import read_embedding
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, StreamEnd, StreamHead
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.settings import settings

pytestmark = pytest.mark.anyio

ANSWER = Answer(b"{}", Usage(1, 1), 0.1)
PINNED = RoutingConfig(auto_fallback=False)
LINK = "https://a.example/cat.png"
PNG = "data:image/png;base64,iVBORw0KGgo="
PRICED = {"cost_per_1k_input": 0.01, "cost_per_1k_output": 0.01}


def offering(id_: str, type_: str, *models: dict[str, Any], **more: Any) -> dict[str, Any]:
    listed = [{"task": "chat_smart", **model} for model in models]
    return {"id": id_, "type": type_, "retry": {"max_retries": 0}, "models": listed, **more}


# `ant` is of a type that takes pictures as data only.
PROVIDERS = [
    offering("ola", "ollama", {"model_id": "qwen3:8b"}, {"model_id": "embed", "task": "embedding"}),
    offering(
        "ant", "gemini", {"model_id": "claude", "supports_vision": True, **PRICED}, priority=2, api_key="k"
    ),
    offering(
        "up",
        "openai_compatible",
        {"model_id": "v", "supports_vision": True, "context_window": 100_000, **PRICED},
        {"model_id": "m", **PRICED},
        {"model_id": "my-finetune"},
        base_url="https://up.example/v1",
        priority=3,
    ),
    offering(
        "two",
        "openai_compatible",
        {"model_id": "m", **PRICED},
        {"model_id": "embed", "task": "embedding", **PRICED},
        base_url="https://two.example/v1",
        priority=4,
    ),
]


class Scene:
    """Four providers that answer, unless told otherwise."""

    def __init__(self, providers: Sequence[dict[str, Any]] = PROVIDERS, **more: Any) -> None:
        self.config = settings({"llm_providers": list(providers), "default_models": {}}, **more)
        self.providers = {provider["id"]: ListedProvider(ANSWER) for provider in providers}
        self.clock = FakeClock()
        self.harness = Harness(self.config, self.providers, self.clock)

    def failing(self, **kinds: FailureKind) -> "Scene":
        for name, kind in kinds.items():
            self.providers[name].answers_with(upstream_error(f"it is {kind}", name, kind))
        return self

    async def asked(self, caller: Caller = ANYONE, **fields: Any) -> str:
        """Who answers: `provider/model`."""
        await self.harness.open()
        body = {"messages": [{"role": "user", "content": "hi"}], **fields}
        reply = await self.harness.chat(read_chat(orjson.dumps(body)), "r1", caller=caller)
        return reply.routed.target.name

    async def refused(self, caller: Caller = ANYONE, **fields: Any) -> GatewayError:
        """The error, when nobody was sent the request."""
        with pytest.raises(GatewayError) as refused:
            await self.asked(caller, **fields)
        assert self.called == []
        return refused.value

    async def closed_for(self, provider_id: str) -> "Scene":
        """The same with a breaker open."""
        self.failing(**{provider_id: FailureKind.BROKEN})
        model = next(p for p in self.config.llm_providers if p.id == provider_id).models[0].model_id
        with pytest.raises(UpstreamError):
            await self.asked(model=f"{provider_id}/{model}", provider={"allow_fallbacks": False})
        await self.harness.control.flush()
        assert self.harness.control.breakers.is_open(provider_id)
        self.providers[provider_id].answers_with(ANSWER)
        for provider in self.providers.values():
            provider.calls.clear()
        return self

    @asynccontextmanager
    async def lending(self) -> AsyncIterator[None]:
        """While it lasts, the authority lends credit."""
        await self.harness.control.start()
        async with asyncio.timeout(10):
            yield
        await self.harness.control.stop()

    @property
    def called(self) -> list[str]:
        return [name for name, provider in self.providers.items() for _ in provider.calls]


def picture(url: str = PNG, **fields: Any) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    return {"messages": [{"role": "user", "content": content}], **fields}


BREAKS_AT_ONCE = BreakerPolicy(failure_threshold=1, reset_timeout=60)


# --- what a request contains or costs replaces no model -------------------------------------------------


@pytest.mark.parametrize("falls_back", [True, False])
@pytest.mark.parametrize(
    ("fields", "status", "code", "would_do"),
    [
        (picture(model="ola/qwen3:8b"), 400, "images_not_supported", "ant/claude, up/v"),
        (picture(LINK, model="claude"), 400, "image_links_not_supported", "up/v"),
        ({"model": "m", "require_audio": True}, 400, "audio_not_supported", "No other model"),
        ({"model": "qwen3:8b", "context_size": 50_000}, 400, "context_length_exceeded", "up/v"),
        ({"model": "m", "max_cost": 0.0000001}, 402, "cost_limit_reached", "ola/qwen3:8b"),
        ({"model": "my-finetune", "max_cost": 100}, 402, "price_unknown", "ola/qwen3:8b"),
        ({"model": "claude", "provider": {"only": ["up"]}}, 400, "provider_excluded", "up/v"),
        ({"model": "claude", "data_policy": "local"}, 400, "data_policy_local", "ola/qwen3:8b"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_named_model_that_cannot_take_a_request_is_not_replaced_and_the_error_says_who_could(
    fields: dict[str, Any], status: int, code: str, would_do: str, falls_back: bool
) -> None:
    error = await Scene(routing=RoutingConfig(auto_fallback=falls_back)).refused(**fields)

    assert (error.status, error.code) == (status, code)
    assert fields["model"] in str(error)
    assert would_do in str(error)


async def test_an_error_names_no_target_that_the_caller_may_not_use() -> None:
    caller = Caller(models=frozenset({"qwen3:8b", "claude"}))

    error = await Scene().refused(caller, **picture(model="qwen3:8b"))

    assert "ant/claude" in str(error)
    assert "up/v" not in str(error)


async def test_a_named_model_without_a_price_under_a_budget_is_402_and_names_it() -> None:
    error = await Scene(budgets=BudgetConfig(limit=1.0)).refused(model="my-finetune")

    assert (error.status, error.code) == (402, "price_unknown")
    assert "up/my-finetune" in str(error)


@pytest.mark.parametrize("falls_back", [True, False])
async def test_a_budget_without_room_for_the_named_model_is_402_though_another_one_is_free(
    falls_back: bool,
) -> None:
    scene = Scene(budgets=BudgetConfig(limit=0.000001), routing=RoutingConfig(auto_fallback=falls_back))

    async with scene.lending():
        error = await scene.refused(model="v")

    assert (error.status, error.code) == (402, "BUDGET_EXCEEDED")
    assert "These can take it: ola/qwen3:8b" in str(error)


async def test_a_rate_of_ours_for_the_named_model_is_429_though_another_one_is_free() -> None:
    scene = Scene(rates=RateConfig(requests_per_minute=1, model="m"))
    async with scene.lending():
        assert await scene.asked(model="m") == "up/m"
        with pytest.raises(GatewayError) as refused:
            await scene.asked(model="m")

    assert (refused.value.status, refused.value.code) == (429, "RATE_LIMIT_EXCEEDED")
    assert "ola/qwen3:8b" in str(refused.value)


async def test_what_the_vendor_finds_too_long_for_the_named_model_goes_to_no_larger_one() -> None:
    scene = Scene().failing(ola=FailureKind.CONTEXT_LENGTH)

    with pytest.raises(UpstreamError, match="These can take it: up/v") as refused:
        await scene.asked(model="qwen3:8b")

    assert refused.value.status == 400
    assert scene.called == ["ola"]
    assert await scene.asked() == "up/v", "where no model is named the larger one answers"


async def test_what_a_filter_refuses_of_a_named_model_is_tried_with_no_other_one() -> None:
    scene = Scene(routing=RoutingConfig(fallback_on_content_filter=True)).failing(
        up=FailureKind.CONTENT_FILTER, two=FailureKind.CONTENT_FILTER
    )

    with pytest.raises(UpstreamError):
        await scene.asked(model="m")

    assert scene.called == ["up", "two"]


async def test_a_target_that_is_over_the_limit_is_not_replaced_because_its_breaker_is_open_as_well() -> None:
    scene = await Scene(circuit_breaker=BREAKS_AT_ONCE).closed_for("ant")

    error = await scene.refused(model="claude", max_cost=0.0000001)

    assert error.code == "cost_limit_reached"


async def test_an_image_link_where_no_model_is_named_goes_to_who_takes_links() -> None:
    assert await Scene().asked(**picture()) == "ant/claude"
    assert await Scene().asked(**picture(LINK, model="auto")) == "up/v"

    error = await Scene(PROVIDERS[:2]).refused(**picture(LINK))
    assert (error.status, error.code) == (400, "image_links_not_supported")


@pytest.mark.parametrize(("link", "answers"), [(LINK, "claude"), (LINK.replace("https", "http"), "v")])
async def test_a_vendor_that_takes_links_of_one_scheme_is_asked_for_no_other(link: str, answers: str) -> None:
    claude = {"model_id": "claude", "supports_vision": True, **PRICED}
    providers = [offering("a", "anthropic", claude, api_key="k"), PROVIDERS[2]]

    assert (await Scene(providers).asked(**picture(link))).endswith(f"/{answers}")


# --- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.TIMEOUT,
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.SATURATED,
        FailureKind.UNREACHABLE,
        FailureKind.BROKEN,
        FailureKind.AUTH,
        FailureKind.NOT_FOUND,
    ],
)
async def test_a_named_model_that_fails_is_replaced_where_fallback_is_on_and_nowhere_else(
    kind: FailureKind,
) -> None:
    assert await Scene().failing(ola=kind).asked(model="qwen3:8b") == "ant/claude"

    pinned = Scene(routing=PINNED).failing(ola=kind)
    with pytest.raises(UpstreamError):
        await pinned.asked(model="qwen3:8b")
    assert pinned.called == ["ola"]


async def test_the_answer_of_a_stand_in_says_for_whom_it_stands_in() -> None:
    scene = Scene().failing(ola=FailureKind.BROKEN)
    await scene.harness.open()
    body = orjson.dumps({"messages": [{"role": "user", "content": "hi"}], "model": "qwen3:8b"})

    reply = await scene.harness.chat(read_chat(body), "r1")

    assert reply.routed.reason == "Selected by priority (2), because 'qwen3:8b' failed"


async def test_a_pinned_model_behind_an_open_breaker_is_503_and_says_when_to_come_back() -> None:
    scene = await Scene(routing=PINNED, circuit_breaker=BREAKS_AT_ONCE).closed_for("ola")

    error = await scene.refused(model="qwen3:8b")

    assert (error.status, error.code) == (503, "no_suitable_providers")
    assert error.retry_after_s == 60
    assert "ola/qwen3:8b" in str(error)


async def test_behind_an_open_breaker_another_model_answers_where_fallback_is_on() -> None:
    scene = await Scene(circuit_breaker=BREAKS_AT_ONCE).closed_for("ola")

    assert await scene.asked(model="qwen3:8b") == "ant/claude"


@pytest.mark.parametrize("routing", [RoutingConfig(), PINNED], ids=["on", "off"])
async def test_the_same_model_at_another_provider_is_no_replacement(routing: RoutingConfig) -> None:
    scene = await Scene(circuit_breaker=BREAKS_AT_ONCE, routing=routing).closed_for("up")

    assert await scene.asked(model="m") == "two/m"


async def test_the_provider_that_is_written_with_a_model_is_part_of_its_name() -> None:
    assert await Scene().failing(up=FailureKind.BROKEN).asked(model="up/m") == "two/m", "before any other"

    pinned = Scene(routing=PINNED).failing(up=FailureKind.BROKEN)
    with pytest.raises(UpstreamError):
        await pinned.asked(model="up/m")
    assert pinned.called == ["up"]


async def test_without_fallback_no_second_provider_of_the_same_model_is_asked() -> None:
    scene = Scene().failing(up=FailureKind.BROKEN)

    with pytest.raises(UpstreamError):
        await scene.asked(model="m", provider={"allow_fallbacks": False})

    assert scene.called == ["up"]


async def test_a_pinned_stream_that_breaks_off_is_resumed_by_nobody() -> None:
    scene = Scene(routing=RoutingConfig(auto_fallback=False, on_stream_failure="resume"))
    cut = upstream_error("cut", "up", FailureKind.BROKEN)
    scene.providers["up"].answers_with((StreamHead(0.1), b'data: {"choices":[]}\n\n', cut))
    scene.providers["two"].answers_with((StreamHead(0.1), b"data: 1\n\n", StreamEnd(Usage(1, 1), 0.1, 1)))
    await scene.harness.open()
    body = {"messages": [{"role": "user", "content": "hi"}], "model": "m", "stream": True}

    stream = await scene.harness.chat_stream(read_chat(orjson.dumps(body)), "r1")
    items = [item async for item in stream]

    assert items[-1] is cut
    assert scene.called == ["up"]


async def test_a_wish_gives_way_to_what_a_request_contains_and_a_name_to_no_wish() -> None:
    assert await Scene().asked(**picture(preferred_model="qwen3:8b")) == "ant/claude"
    assert await Scene().asked(model="m", preferred_model="v") == "up/m"


async def test_an_operator_who_switches_a_provider_off_takes_its_models_down() -> None:
    scene = Scene()
    await scene.harness.open()
    targets = scene.harness.access.targets
    scene.harness.access.targets = tuple(replace(t, is_enabled=t.provider_id != "ola") for t in targets)

    wanted = scene.harness.requirements(
        read_chat(orjson.dumps({"messages": [{"role": "user", "content": "hi"}], "model": "qwen3:8b"}))
    )

    assert scene.harness.plan(wanted).ordered[0].target.name == "ant/claude"
    assert scene.harness.plan(wanted._replace(only_named=True)).ordered == ()


# --- models -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("routing", [RoutingConfig(), PINNED], ids=["on", "off"])
async def test_a_list_of_models_is_walked_on_failure_and_never_left(routing: RoutingConfig) -> None:
    def scene(*failing: str) -> Scene:
        return Scene(routing=routing).failing(**dict.fromkeys(failing, FailureKind.OVERLOADED))

    models = ["claude", "two/m"]
    assert await scene().asked(model="v", models=models) == "up/v"
    assert await scene("up").asked(model="v", models=models) == "ant/claude"
    assert await scene("up", "ant").asked(model="v", models=models) == "two/m"
    assert await scene().asked(models=models) == "ant/claude"
    assert await scene().asked(model="auto", models=models) == "ant/claude"
    with pytest.raises(UpstreamError):
        await scene("up", "ant", "two").asked(model="v", models=models)


async def test_a_listed_model_that_cannot_take_the_request_is_passed_over() -> None:
    scene = Scene(routing=PINNED)

    assert await scene.asked(**picture(LINK, models=["qwen3:8b", "claude", "v"])) == "up/v"

    scene = Scene(routing=PINNED)
    error = await scene.refused(**picture(LINK, models=["qwen3:8b", "claude"]))
    assert "ola/qwen3:8b: takes no images" in str(error)
    assert "ant/claude: takes images as data only" in str(error)


async def test_without_fallback_a_list_has_one_target_for_each_model() -> None:
    scene = Scene(routing=PINNED).failing(up=FailureKind.BROKEN)

    assert await scene.asked(models=["m", "claude"]) == "ant/claude"
    assert scene.called == ["ant", "up"]


@pytest.mark.parametrize(
    ("models", "status", "says"),
    [
        (["m", "nope"], 404, "'nope' does not exist"),
        (["m", "auto"], 400, "'auto' is not a model"),
        (["m", "chat_small"], 400, "'chat_small' is not a model"),
        (["m", "embed"], 404, "'embed' does not serve this endpoint; it is for embedding"),
    ],
)
async def test_a_list_holds_models_that_are_there(models: list[str], status: int, says: str) -> None:
    error = await Scene().refused(models=models)

    assert error.status == status
    assert says in str(error)


async def test_a_caller_hears_nothing_of_an_embedding_model_that_is_not_for_it() -> None:
    error = await Scene().refused(Caller(models=frozenset({"m"})), model="embed")

    assert (error.status, error.code) == (404, "model_not_found")
    assert "it is for" not in str(error)


async def test_an_embedding_is_walked_through_the_list_of_its_caller_only() -> None:
    scene = Scene().failing(ola=FailureKind.BROKEN)
    await scene.harness.open()

    async def embedded(**fields: Any) -> str:
        body = orjson.dumps({"input": "hi", **fields})
        return (await scene.harness.embed(read_embedding(body), "r1")).routed.target.name

    assert await embedded(model="embed") == "two/embed"
    assert await embedded(models=["ola/embed", "two/embed"]) == "two/embed"
    with pytest.raises(UpstreamError):
        await embedded(model="ola/embed")


# --- provider -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "first"),
    [
        ({"only": ["up", "two"]}, "up/v"),
        ({"only": ["gemini"]}, "ant/claude"),
        ({"ignore": ["ola", "gemini"]}, "up/v"),
        ({"order": ["two", "up"]}, "two/m"),
        ({"order": ["gemini"]}, "ant/claude"),
        ({"order": ["up", "two"], "ignore": ["up"], "allow_fallbacks": False}, "two/m"),
        ({"data_policy": "local"}, "ola/qwen3:8b"),
        ({"sort": "price", "quantizations": ["fp8"]}, "ola/qwen3:8b"),
    ],
    ids=str,
)
async def test_a_request_chooses_its_providers_by_id_or_type(provider: dict[str, Any], first: str) -> None:
    assert await Scene().asked(provider=provider) == first


async def test_an_order_comes_after_the_named_model_and_leaves_the_others_behind_it() -> None:
    scene = Scene().failing(two=FailureKind.BROKEN)

    assert await scene.asked(model="m", provider={"order": ["two"]}) == "up/m"
    assert scene.called == ["up", "two"]


async def test_an_order_without_fallback_is_all_there_is() -> None:
    error = await Scene().refused(
        model="qwen3:8b", provider={"order": ["up", "two"], "allow_fallbacks": False}
    )

    assert error.code == "provider_excluded"


@pytest.mark.parametrize("field", ["only", "ignore", "order"])
async def test_a_provider_that_is_not_there_for_the_caller_is_an_error_and_not_ignored(field: str) -> None:
    error = await Scene().refused(provider={field: ["ola", "openrouter"]})
    assert (error.status, error.code) == (400, "provider_not_found")
    assert "'openrouter'" in str(error)

    error = await Scene().refused(Caller(models=frozenset({"m"})), provider={field: ["ola"]})
    assert error.code == "provider_not_found"
    assert "ant" not in str(error).replace("want", "")


# --- data policy --------------------------------------------------------------------------------------------


LOCAL_CALLER = Caller(local_only=True)


@pytest.mark.parametrize("model", [None, "auto", "qwen3:8b", "chat_large"])
@pytest.mark.parametrize(
    ("caller", "fields", "more"),
    [
        (ANYONE, {"data_policy": "local"}, {}),
        (ANYONE, {"provider": {"data_policy": "local"}}, {}),
        (LOCAL_CALLER, {"data_policy": "any"}, {}),
        (ANYONE, {"data_policy": "any"}, {"routing": RoutingConfig(data_policy="local")}),
    ],
    ids=["request", "provider", "caller", "gateway"],
)
async def test_a_local_policy_is_kept_whatever_fails(
    model: str | None, caller: Caller, fields: dict[str, Any], more: dict[str, Any]
) -> None:
    scene = Scene(**more).failing(ola=FailureKind.BROKEN)

    with pytest.raises(GatewayError):
        await scene.asked(caller, model=model, **fields)

    assert set(scene.called) <= {"ola"}


async def test_a_vllm_that_is_moved_to_a_public_address_is_not_local_any_more() -> None:
    own = offering("own", "vllm", {"model_id": "q"}, base_url="http://10.0.0.5:8000")
    scene = Scene([own])
    assert await scene.asked(data_policy="local") == "own/q"
    scene.providers["own"].calls.clear()

    runtime_config = scene.harness.control.runtime_config
    moved = replace(
        runtime_config,
        backend=runtime_config.backend.model_copy(update={"vllm_endpoint": "https://gpu.example"}),
    )
    scene.harness.access._take(moved)

    assert (await scene.refused(data_policy="local")).code == "no_providers_available"
