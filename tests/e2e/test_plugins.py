"""A package outside the gateway: what it offers is used by `sekha serve`, in every process that needs it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.api import Api, streamed_text, text_of
from tests.support.commands import Command, run
from tests.support.plugins import install, install_example
from tests.support.serving import HOST, child_environment, free_port, gateway_config

MODEL = {"model_id": "words", "task": "chat_smart"}
USES: dict[str, Any] = {
    "routing": {"strategy": "sticky"},
    "middleware": [{"name": "forbid", "options": {"word": "secret plan"}}],
}


def parrot(name: str, transport: str) -> dict[str, Any]:
    return {
        "id": name,
        "type": "parrot",
        "transport": transport,
        "options": {"greeting": f"{name}: "},
        "models": [MODEL],
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_example(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def api(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The gateway, with two providers and whatever else of the package."""
    config = gateway_config(parrot("handled", "handle"), parrot("inlined", "inline"), **USES)
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "gateway.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = ["sekha", "serve", "--config", str(folder / "gateway.yaml"), "--port", str(port)]
    environment = child_environment(PYTHONPATH=python_path(installed))
    with Command(command, environment, folder / "output") as running:
        running.says("is ready")
        yield Api(f"http://{HOST}:{port}")


def python_path(folder: Path) -> str:
    return f"{folder}:{Path(__file__).parents[2]}"


@pytest.mark.parametrize("provider", ["handled", "inlined"])
def test_a_provider_answers_in_its_own_deployment_and_within_the_router(api: Api, provider: str) -> None:
    asked = f"{provider}/words"

    assert text_of(api.chat("hello", model=asked)) == f"{provider}: hello"
    assert streamed_text(api.chat("hello", model=asked, stream=True)) == f"{provider}: hello"


def test_a_strategy_decides_by_the_session_of_the_request(api: Api) -> None:
    def answered_by(session: str) -> str:
        return text_of(api.chat("hello", model="words", prompt_cache_key=session)).partition(":")[0]

    first = {session: answered_by(session) for session in map(str, range(12))}

    assert set(first.values()) == {"handled", "inlined"}
    assert {session: answered_by(session) for session in first} == first


def test_a_middleware_stands_around_every_request(api: Api) -> None:
    for stream in (False, True):
        refused = api.chat("hello", user="secret plan", stream=stream)

        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "forbidden_word"


def test_a_package_that_cannot_be_imported_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    (tmp_path / "sekha_broken.py").write_text("raise RuntimeError('no such luck')")
    install(tmp_path, "acme", {"sekha.providers": {"luck": "sekha_broken:Luck"}})
    config = gateway_config({**parrot("bird", "handle"), "type": "luck"})
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(config))
    command = ["sekha", "serve", "--config", str(tmp_path / "gateway.yaml"), "--port", str(free_port())]

    ended = run(*command, env=child_environment(PYTHONPATH=python_path(tmp_path)))

    assert ended.returncode == 2
    assert "'luck' (entry point 'sekha_broken:Luck' in 'sekha.providers', package acme 1.0)" in ended.stderr
    assert "cannot be imported: RuntimeError: no such luck" in ended.stderr
