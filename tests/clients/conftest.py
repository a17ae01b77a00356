"""
One gateway for all clients, started as a user would start it.

It has three providers, each with one model, at an upstream that plays a model: one speaks chat completions
alone, one is Anthropic's, one speaks Responses as well. So every client meets its own format and another.
"""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.clients.scripted_model import ScriptedModel

NODE = Path(__file__).parent / "node"
AGENTS = Path(os.environ.get("SEKHA_AGENTS", "nowhere"))

# Each needs what `make test-clients` or `make test-agents` installs.
_NEEDS = {
    "test_anthropic.py": find_spec("langchain_anthropic") is not None,
    "test_openai_responses.py": find_spec("langchain_anthropic") is not None,
    "test_frameworks.py": find_spec("langchain_anthropic") is not None,
    "test_langchain_standard.py": find_spec("langchain_anthropic") is not None,
    "test_node.py": (NODE / "node_modules").is_dir(),
    "test_agents.py": AGENTS.is_dir(),
}
collect_ignore = [name for name, is_there in _NEEDS.items() if not is_there]

SEKHA = Path(os.environ.get("SEKHA", Path(__file__).parents[2] / ".venv" / "bin" / "sekha"))
KEY = "sk-of-the-callers"
STARTS_WITHIN_S = 120.0
CHAT, CLAUDE, GPT = "chat-model", "claude-opus-4-6", "gpt-5.4"


@pytest.fixture(scope="session")
def upstream() -> Iterator[ScriptedModel]:
    """The upstream."""
    with ScriptedModel() as running:
        yield running


@pytest.fixture(autouse=True)
def forgotten(request: pytest.FixtureRequest) -> None:
    """No test meets what another one has asked."""
    if "upstream" in request.fixturenames:
        upstream: ScriptedModel = request.getfixturevalue("upstream")
        upstream.requests.clear()
        upstream.turns = ()


@pytest.fixture(scope="session")
def gateway(upstream: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that asks for a key."""
    folder = tmp_path_factory.mktemp("gateway")
    config = folder / "gateway.yaml"
    config.write_text(json.dumps(_configuration(upstream.url)), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "log").open("wb")
    command = [SEKHA, "serve", "--config", config, "--port", str(port), "--host", "127.0.0.1"]
    environment = {**os.environ, "SEKHA_STATE_DIR": str(folder / "state")}
    running = subprocess.Popen(
        command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, running, folder / "log")
        yield url
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(60)


def _configuration(upstream: str) -> dict[str, object]:
    def provider(name: str, model_id: str, **fields: object) -> dict[str, object]:
        model = {
            "model_id": model_id, "task": "chat_smart", "context_window": 200_000, "supports_vision": True,
            "supports_function_calling": True,
        }  # fmt: skip
        return {"id": name, "api_key": "sk-upstream", "transport": "inline", "models": [model], **fields}

    return {
        "llm_providers": [
            provider("chat", CHAT, type="openai_compatible", base_url=f"{upstream}/v1"),
            provider("claude", CLAUDE, type="anthropic", base_url=upstream),
            provider(
                "gpt",
                GPT,
                type="openai",
                base_url=f"{upstream}/v1",
                formats=["openai_chat", "openai_responses"],
            ),
        ],
        "auth": {"api_keys": [KEY]},
        "default_models": {"chat_smart": CHAT},
    }


def _wait(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        assert running.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(log.read_text(encoding="utf-8"))
