"""A provider of an installed package: made from its section, and priced by the operator alone."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serve_app.clock import SystemClock
from serve_app.config.load import Loaded, load_settings
from serve_app.config.provider import ProviderConfig
from serve_app.config.settings import Settings
from serve_app.config.upgrade_conditions import spoke_by_litellm
from serve_app.errors import ConfigError
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.target_prices import prices_of
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call
from serve_app.providers.factory import build_provider
from tests.support.plugins import install, install_example, on_path

pytestmark = pytest.mark.anyio

CALL = Call("gpt-4o", b'{"messages": [{"role": "user", "content": "hi"}]}', 10.0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    with on_path(install_example(tmp_path)):
        yield tmp_path


def bird(type_: str = "parrot", model: dict[str, Any] | None = None, **more: Any) -> Settings:
    models = [{"model_id": "gpt-4o", "task": "chat_smart", **(model or {})}]
    provider = {"id": "bird", "type": type_, "models": models, **more}
    return load_settings({"llm_providers": [provider], "default_models": {}}, {})


def config_of(settings: Settings) -> ProviderConfig:
    return settings.llm_providers[0]


async def test_it_is_made_from_its_section_of_the_configuration() -> None:
    config = config_of(bird(options={"greeting": "Ahoy: ", "nested": {"a": [1]}}))
    provider = build_provider(config, {}, SystemClock())

    answer = await provider.chat(CALL)

    assert config.options == {"greeting": "Ahoy: ", "nested": {"a": [1]}}
    assert isinstance(answer, Answer)
    assert b"Ahoy: hi" in answer.body


def test_it_gets_the_key_that_its_api_key_leads_to(folder: Path) -> None:
    (folder / "sekha_keyed.py").write_text(
        "made = []\n"
        "class Keyed:\n"
        "    def __init__(self, config, api_key, clock): made.append((config.id, api_key))\n"
        "    chat = chat_stream = embed = health = aclose = lambda self: None\n"
    )
    install(folder, "keyed", {"sekha.providers": {"keyed": "sekha_keyed:Keyed"}})

    for api_key, environ in (("${BIRD_KEY}", {"BIRD_KEY": "sk-1"}), ("${BIRD_KEY}", {}), (None, {})):
        build_provider(config_of(bird("keyed", api_key=api_key)), environ, SystemClock())

    assert sys.modules["sekha_keyed"].made == [("bird", "sk-1"), ("bird", None), ("bird", None)]


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ({}, None),  # the price list knows a model of that name, at somebody else's
        ({"cost_per_1k_input": 0.001}, None),
        ({"cost_per_1k_input": 0.001, "cost_per_1k_output": 0.002}, nano_dollars(0.003)),
        ({"cost_per_1k_tokens": 0.001}, nano_dollars(0.002)),
    ],
)
def test_only_the_operator_knows_its_prices(model: dict[str, Any], cost: int | None) -> None:
    price = prices_of(bird(model=model))["bird/gpt-4o"]

    assert (None if price is None else price.cost(Usage(1000, 1000))) == cost


def test_it_is_not_taken_for_one_of_litellms() -> None:
    assert not spoke_by_litellm(Loaded(bird(), "test"), {})
    assert spoke_by_litellm(Loaded(bird("bedrock"), "test"), {})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("class Made:\n    pass\n", r"cannot be made: TypeError"),
        (
            "def Made(config, api_key, clock):\n    raise OSError('no device')\n",
            "cannot be made: OSError: no device",
        ),
        (
            "class Made:\n    def __init__(self, config, api_key, clock): self.chat = print\n",
            "is no type of provider: it has no chat_stream, embed, health, aclose",
        ),
    ],
)
def test_one_that_cannot_be_made_is_named(folder: Path, body: str, said: str) -> None:
    (folder / "sekha_made.py").write_text(body)
    install(folder, "acme-birds", {"sekha.providers": {"made": "sekha_made:Made"}})

    with pytest.raises(
        ConfigError, match=rf"'made' \(entry point 'sekha_made:Made' .*acme-birds 1\.0\) {said}"
    ):
        build_provider(config_of(bird("made")), {}, SystemClock())


def test_where_its_package_is_missing_it_is_not_built_and_not_taken_for_another() -> None:
    settings = bird()
    with missing():
        with pytest.raises(ConfigError, match=r"there is no type of provider 'parrot'.*install a package"):
            build_provider(config_of(settings), {}, SystemClock())
        assert prices_of(settings) == {"bird/gpt-4o": None}


@contextmanager
def missing() -> Iterator[None]:
    """The example package is not installed on this machine."""
    kept = sys.path.copy()
    sys.path[:] = kept[1:]
    try:
        yield
    finally:
        sys.path[:] = kept


def test_a_provider_with_mappings_in_its_section_can_be_a_key() -> None:
    one, same, other = bird(options={"a": 1}), bird(options={"a": 1}), bird(options={"a": 2})

    assert len({config_of(settings) for settings in (one, same, other)}) == 2
    assert hash(config_of(bird(parameters={"rename": {"user": "who"}})))
