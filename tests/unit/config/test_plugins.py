"""Plugins: found by name, imported only when they are named, and errors that say what to do."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve_app.config.advice import advice
from serve_app.config.load import load_settings
from serve_app.config.middleware import load_middlewares
from serve_app.config.named_plugins import import_plugins
from serve_app.config.plugins import MIDDLEWARE, PROVIDERS, STRATEGIES, load_plugin, make_plugin
from serve_app.config.provider_types import is_plugin_type
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError
from serve_app.routing.strategies.fallback import Fallback
from serve_app.routing.strategy import load_strategy
from tests.support.plugins import install, install_example, on_path
from tests.support.settings import LOCAL

BROKEN = "sekha_broken:Thing"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which packages are installed."""
    with on_path(tmp_path):
        yield tmp_path


@pytest.fixture
def example(folder: Path) -> Path:
    return install_example(folder)


def config(**more: Any) -> dict[str, Any]:
    return {**LOCAL, **more}


def parrot(**more: Any) -> dict[str, Any]:
    model = {"model_id": "gpt-4o", "task": "chat_smart"}
    return {
        "llm_providers": [{"id": "bird", "type": "parrot", "models": [model], **more}],
        "default_models": {},
    }


def complaint(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        load_settings(data, {})
    return str(error.value)


EVERY_KIND = [
    pytest.param(lambda name: config(routing={"strategy": name}), "strategy", "sticky", id="strategy"),
    pytest.param(
        lambda name: config(routing={"strategies": {"tenants": {"default": name}}}),
        "strategy",
        "sticky",
        id="strategy of a tenant",
    ),
    pytest.param(
        lambda name: {**parrot(), "llm_providers": [{**parrot()["llm_providers"][0], "type": name}]},
        "type of provider",
        "parrot",
        id="provider",
    ),
    pytest.param(lambda name: config(middleware=[name]), "middleware", "forbid", id="middleware"),
    pytest.param(
        lambda name: config(middleware=[{"name": name}]), "middleware", "forbid", id="middleware, long"
    ),
]


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(("written", "noun", "name"), EVERY_KIND)
def test_what_an_installed_package_offers_can_be_named(written: Any, noun: str, name: str) -> None:
    assert isinstance(load_settings(written(name), {}), Settings)


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(("written", "noun", "name"), EVERY_KIND)
def test_reading_a_configuration_imports_no_package(written: Any, noun: str, name: str) -> None:
    load_settings(written(name), {})

    assert not [module for module in sys.modules if module.startswith("sekha_example")]


@pytest.mark.parametrize(("written", "noun", "name"), EVERY_KIND)
def test_an_unknown_name_is_a_mistake_that_says_how_to_install_one(
    written: Any, noun: str, name: str
) -> None:
    text = complaint(written("acme_thing"))

    assert (f"is not a {noun}" if name == "parrot" else f"there is no {noun} 'acme_thing'") in text
    assert "'acme_thing'" in text
    assert "install a package that offers 'acme_thing' by an entry point in the group 'sekha." in text
    assert "docs/plugins.md" in text


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(("written", "noun", "name"), EVERY_KIND)
def test_a_name_that_is_nearly_that_of_an_installed_one_is_corrected(
    written: Any, noun: str, name: str
) -> None:
    assert f"did you mean '{name}'?" in complaint(written(f"{name}s"))


@pytest.mark.usefixtures("example")
def test_an_unknown_name_lists_what_is_built_in_and_what_is_installed() -> None:
    text = complaint(config(routing={"strategy": "zzz"}))

    assert "there are: fallback, cheapest, fastest, best_quality, round_robin, sticky." in text


@pytest.mark.parametrize(
    ("group", "name"), [(STRATEGIES, "luck"), (PROVIDERS, "acme_bird"), (MIDDLEWARE, "luck")]
)
def test_a_package_that_cannot_be_imported_is_named_with_its_error(
    folder: Path, group: Any, name: str
) -> None:
    (folder / "sekha_broken.py").write_text("raise RuntimeError('no such luck')")
    install(folder, "acme-plugins", {group.entry_points: {name: BROKEN}}, "3.1")

    with pytest.raises(ConfigError) as error:
        load_plugin(group, name)

    for part in (f"'{name}'", BROKEN, group.entry_points, "acme-plugins 3.1", "RuntimeError: no such luck"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "AttributeError"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("this is no Python", "SyntaxError"),
    ],
)
@pytest.mark.parametrize(
    "written",
    [
        config(routing={"strategy": "luck"}),
        config(routing={"strategies": {"tasks": {"chat_small": "luck"}}}),
        config(middleware=["luck"]),
        {**parrot(), "llm_providers": [{**parrot()["llm_providers"][0], "type": "luck"}]},
    ],
    ids=["strategy", "strategy of a task", "middleware", "provider"],
)
def test_a_gateway_does_not_start_with_a_package_that_cannot_be_imported(
    folder: Path, written: dict[str, Any], source: str, said: str
) -> None:
    (folder / "sekha_broken.py").write_text(source)
    groups = ("sekha.strategies", "sekha.providers", "sekha.middleware")
    install(folder, "acme", {group: {"luck": BROKEN} for group in groups})

    with pytest.raises(ConfigError, match=said):
        import_plugins(load_settings(written, {}))


@pytest.mark.usefixtures("example")
def test_what_is_not_named_is_not_imported() -> None:
    import_plugins(load_settings(config(), {}))

    assert not [module for module in sys.modules if module.startswith("sekha_example")]


def test_a_built_in_strategy_cannot_be_taken_over_and_the_operator_hears_of_the_attempt(folder: Path) -> None:
    install(folder, "acme", {"sekha.strategies": {"fallback": BROKEN}})
    settings = load_settings(config(), {})

    assert isinstance(load_strategy(settings.routing.strategy), Fallback)
    assert "the strategy 'fallback' is built in; the one of acme 1.0 is not used" in advice(settings, {})


@pytest.mark.parametrize("type_", ["openai", "bedrock"])
def test_a_built_in_type_cannot_be_taken_over_nor_one_of_litellm(folder: Path, type_: str) -> None:
    install(folder, "acme", {"sekha.providers": {type_: BROKEN}})
    settings = load_settings(config(), {})

    assert not is_plugin_type(type_)
    assert f"the type of provider '{type_}' is built in; the one of acme 1.0 is not used" in advice(
        settings, {}
    )


def test_a_name_that_two_packages_offer_is_a_mistake(folder: Path) -> None:
    for name in ("acme", "bmce"):
        install(folder, name, {"sekha.strategies": {"luck": BROKEN}, "sekha.providers": {"luck": BROKEN}})

    for data in (
        config(routing={"strategy": "luck"}),
        parrot() | {"llm_providers": [{"id": "a", "type": "luck"}]},
    ):
        text = complaint(data)
        assert "'luck' is offered by acme 1.0 and bmce 1.0: uninstall all but one" in text


@pytest.mark.usefixtures("example")
def test_middlewares_are_made_in_the_order_of_the_configuration_with_their_options() -> None:
    entries = [{"name": "forbid", "options": {"word": word}} for word in ("first", "second")]

    made = load_middlewares(load_settings(config(middleware=entries), {}))

    assert [middleware._word for middleware in made] == [b"first", b"second"]
    assert load_middlewares(load_settings(config(), {})) == ()


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("options", [{}, {"words": "x"}, {"word": 7}])
def test_a_middleware_that_does_not_take_its_options_is_named(options: dict[str, Any]) -> None:
    settings = load_settings(config(middleware=[{"name": "forbid", "options": options}]), {})

    with pytest.raises(
        ConfigError, match=r"middleware 'forbid' \(.*sekha-example 1\.0\) cannot be made: \w+Error: "
    ):
        load_middlewares(settings)


def test_an_object_of_another_kind_is_refused(folder: Path) -> None:
    install(folder, "acme", {"sekha.strategies": {"luck": "random:Random"}})

    with pytest.raises(
        ConfigError, match=r"the strategy 'luck' .*acme 1\.0\) is no strategy: it has no order"
    ):
        make_plugin(STRATEGIES, "luck")


def test_options_are_for_types_that_a_package_brings() -> None:
    text = complaint(config(llm_providers=[{**LOCAL["llm_providers"][0], "options": {"a": 1}}]))

    assert "llm_providers[0]: options: 'ollama' is a built-in type, which takes none" in text


def test_nothing_wrong_in_a_list_of_middlewares_is_passed_over() -> None:
    assert "middleware: must be a list, not 7" in complaint(config(middleware=7))
    assert "middleware[0]: must be a mapping, not 7" in complaint(config(middleware=[7]))
    assert "middleware[0].name: is required" in complaint(config(middleware=[{"options": {}}]))
    assert "did you mean 'options'?" in complaint(config(middleware=[{"name": "x", "option": {}}]))
