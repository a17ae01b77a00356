"""The model router: which provider is asked, and who next."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from serve_app.clients.model_router import (
    EmbeddingResponse,
    LLMMessage,
    LLMProvider,
    LLMProviderConfig,
    LLMResponse,
    ModelRouter,
    RouterStrategy,
)
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio


class Own(LLMProvider):
    """A provider of the user's: answers with its name, or fails as it is told."""

    type_ = ""
    answers = ("yes",)
    embeds = True
    available: Sequence[bool] = (True,)
    takes_s = 0.0
    clock = FakeClock()

    def __init__(self, config: LLMProviderConfig) -> None:
        super().__init__(config)
        self.calls: list[Any] = []
        self.closed = False
        self._available = list(self.available)

    @property
    def provider_type(self) -> str:
        return self.type_ or self.config.provider_name

    async def is_available(self) -> bool:
        return self._available.pop(0) if len(self._available) > 1 else self._available[0]

    async def complete(self, prompt: str, **fields: Any) -> LLMResponse:
        return await self.chat([LLMMessage("user", prompt)], **fields)

    async def chat(self, messages: Any, **fields: Any) -> LLMResponse:
        self.calls.append(messages)
        self.clock.advance(self.takes_s)
        if self.answers != ("yes",):
            raise ValueError(f"{self.config.provider_name} {self.answers[0]}")
        return LLMResponse("yes", "m", self.config.provider_name)

    async def embed(self, text: str, **fields: Any) -> EmbeddingResponse:
        self.calls.append(text)
        return EmbeddingResponse([0.1, 0.2, 0.3], "m", self.config.provider_name)

    def get_capabilities(self) -> dict[str, Any]:
        return {"models": ["m"], "supports_chat": True, "supports_embeddings": self.embeds}

    async def aclose(self) -> None:
        self.closed = True


class Broken(Own):
    answers = ("broke",)


class Mute(Own):
    embeds = False


class Asleep(Own):
    available = (True, False)


class Gone(Own):
    available = (False,)


class Lost(Own):
    """Fails to say whether it is there."""

    async def is_available(self) -> bool:
        raise OSError("no route")


async def router_of(*providers: tuple[str, type[LLMProvider]], strategy: str = "fallback") -> ModelRouter:
    router = ModelRouter(strategy, clock=Own.clock, rng=Random(7))
    for name, cls in providers:
        await router.add_provider(cls, LLMProviderConfig(name))
    return router


THREE = (("openai", Own), ("anthropic", Own), ("ollama", Own))


async def asked_first(router: ModelRouter, **how: Any) -> str:
    return (await router.complete("hi", **how)).provider


# --- fallback -----------------------------------------------------------------------------------------


@pytest.mark.contract(107)
async def test_the_first_fails_the_second_answers() -> None:
    router = await router_of(("one", Broken), ("two", Own))

    assert (await router.complete("What is 2+2?")).provider == "two"


@pytest.mark.contract(107)
async def test_when_all_fail_the_last_error_is_raised() -> None:
    router = await router_of(("one", Broken), ("two", Broken))

    with pytest.raises(ValueError, match="two broke"):
        await router.complete("hi")


@pytest.mark.contract(107)
async def test_nobody_there_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match=r"^No available providers$"):
        await ModelRouter().complete("hi")


@pytest.mark.contract(107)
async def test_nobody_available_is_a_runtime_error_and_nobody_is_removed() -> None:
    router = await router_of(("one", Asleep))

    with pytest.raises(RuntimeError, match=r"^No available providers$"):
        await router.complete("hi")
    assert list(router.providers) == router.provider_order == ["one"]


@pytest.mark.contract(107)
async def test_the_preferred_one_is_asked_first() -> None:
    router = await router_of(*THREE)

    assert await asked_first(router, preferred_provider="ollama") == "ollama"


@pytest.mark.contract(107)
async def test_a_preferred_one_that_fails_falls_through_to_the_strategy() -> None:
    router = await router_of(("one", Own), ("two", Broken))

    assert await asked_first(router, preferred_provider="two") == "one"
    assert await asked_first(router, preferred_provider="nobody") == "one"


# --- strategies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "first"),
    [("cheapest", "ollama"), ("best_quality", "anthropic"), ("fastest", "ollama"), ("fallback", "openai")],
)
@pytest.mark.contract(108)
async def test_each_strategy_has_its_first(strategy: str, first: str) -> None:
    assert await asked_first(await router_of(*THREE), strategy=strategy) == first


@pytest.mark.contract(108)
async def test_what_was_measured_comes_before_the_static_guess() -> None:
    class Slow(Own):
        takes_s = 2.0

    class Quick(Own):
        takes_s = 0.1

    router = await router_of(("ollama", Slow), ("anthropic", Quick))
    for name in ("ollama", "anthropic"):
        await router.complete("hi", preferred_provider=name)

    assert await asked_first(router, strategy="fastest") == "anthropic"


async def test_known_prices_come_before_the_static_guess() -> None:
    router = ModelRouter("cheapest", rng=Random(7))
    for name, model in (("anthropic", "claude-3-opus-20240229"), ("openai", "gpt-4o-mini")):
        await router.add_provider(Own, LLMProviderConfig(name, model_name=model))

    assert await asked_first(router) == "openai"


async def test_taking_turns_begins_with_each_once() -> None:
    router = await router_of(*THREE, strategy="round_robin")

    assert [await asked_first(router) for _ in range(4)] == ["openai", "anthropic", "ollama", "openai"]


async def test_another_default_strategy_may_be_set_and_an_unknown_one_not() -> None:
    router = await router_of(*THREE)

    router.set_default_strategy(RouterStrategy.CHEAPEST)

    assert await asked_first(router) == "ollama"
    with pytest.raises(ValueError, match="dearest"):
        router.set_default_strategy("dearest")


# --- vectors, availability ----------------------------------------------------------------------------


@pytest.mark.contract(109)
async def test_vectors_come_from_those_that_make_them() -> None:
    router = await router_of(("one", Mute), ("two", Own))

    answer = await router.embed("Some text")

    assert (answer.provider, len(answer.embeddings)) == ("two", 3)


@pytest.mark.contract(109)
async def test_without_a_maker_of_vectors_none_are_made() -> None:
    router = await router_of(("one", Mute))

    with pytest.raises(RuntimeError, match=r"^No available providers for embeddings$"):
        await router.embed("Some text")


@pytest.mark.parametrize("cls", [Gone, Lost])
@pytest.mark.contract(109)
async def test_what_is_not_available_is_not_added(cls: type[LLMProvider]) -> None:
    router = ModelRouter()

    assert await router.add_provider(cls, LLMProviderConfig("one")) is False
    assert router.provider_order == []


async def test_a_provider_is_removed_and_closed() -> None:
    router = await router_of(("one", Own), ("two", Own))
    one = router.providers["one"]

    assert await router.remove_provider("one")
    assert not await router.remove_provider("one")

    assert isinstance(one, Own)
    assert one.closed
    assert await asked_first(router) == "two"


async def test_one_of_the_same_name_takes_the_place_of_the_first() -> None:
    router = await router_of(("one", Broken), ("one", Own))

    assert (router.provider_order, await asked_first(router)) == (["one"], "one")


async def test_the_providers_are_described() -> None:
    router = await router_of(("one", Own), ("two", Asleep))

    one, two = await router.get_available_providers()

    assert (one["name"], one["available"]) == ("one", True)
    assert one["capabilities"]["supports_embeddings"] is True
    assert (two["name"], two["available"]) == ("two", False)


def test_an_interface_is_no_provider() -> None:
    with pytest.raises(TypeError, match="abstract"):
        LLMProvider(LLMProviderConfig("one"))  # type: ignore[abstract]
