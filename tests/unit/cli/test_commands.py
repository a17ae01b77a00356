"""The commands that need no Ray."""

import logging
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve_app.app import graph
from serve_app.cli.main import app
from serve_app.config.load import load
from serve_app.errors import ConfigError
from tests.support import commands

CONFIGS = Path(__file__).parents[3] / "configs"
HYBRID = str(CONFIGS / "hybrid.yaml")


@pytest.fixture
def sekha(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


def test_explain_shows_every_target_with_its_price_and_its_reason(sekha: CliRunner) -> None:
    shown = sekha.invoke(app, ["explain", "-c", HYBRID, "--task", "chat_smart", "--max-cost", "0.1"])

    assert shown.exit_code == 0
    assert "openai_cloud/gpt-4o" in shown.output
    assert "$0.012500" in shown.output
    assert "Selected by priority" in shown.output
    assert "serves embedding, not chat_smart" in shown.output


def test_explain_reckons_with_a_provider_that_is_down(sekha: CliRunner) -> None:
    shown = sekha.invoke(app, ["explain", "-c", HYBRID, "--task", "chat_small", "--down", "ollama_local"])

    assert "its circuit breaker is open" in shown.output


def test_explain_fails_with_the_reason_when_nobody_may_serve(sekha: CliRunner) -> None:
    shown = sekha.invoke(app, ["explain", "-c", HYBRID, "--task", "chat_smart", "--max-cost", "0.0001"])

    assert shown.exit_code == 2
    assert "No suitable providers available" in shown.output


def test_check_says_which_keys_are_missing_and_never_shows_one(
    sekha: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    shown = sekha.invoke(app, ["check", "-c", HYBRID])

    assert shown.exit_code == 0
    assert "found" in shown.output
    assert "sk-canary" not in shown.output


def test_a_configuration_that_makes_no_sense_is_an_exit_with_the_reason(
    sekha: CliRunner, tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("llm_providers: []\n")

    shown = sekha.invoke(app, ["check", "-c", str(path)])

    assert shown.exit_code == 2
    assert "No providers configured" in shown.output


def test_serve_refuses_to_listen_beyond_this_machine_without_keys(sekha: CliRunner) -> None:
    shown = sekha.invoke(app, ["serve", "-c", str(CONFIGS / "demo.yaml"), "--host", "192.0.2.1"])

    assert shown.exit_code == 2
    assert "--insecure" in shown.output


OWN_MODEL = """
port: 0
llm_providers:
  - id: gpu
    type: vllm
    models: [{model_id: llama, task: chat_small}]
    local: {}
default_models: {}
"""
needs_no_vllm = pytest.mark.skipif(find_spec("vllm") is not None, reason="here the extra is installed")
MISSING = "provider 'gpu' hosts a model, and for that something is not installed here: pip install"


@pytest.fixture
def own_model(tmp_path: Path) -> str:
    """A file that hosts a model."""
    path = tmp_path / "own.yaml"
    path.write_text(OWN_MODEL)
    return str(path)


@needs_no_vllm
def test_without_the_extra_the_graph_names_the_provider_and_what_to_install(
    own_model: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # put back afterwards: what there is of ray.llm sets it for everyone
    with pytest.raises(ConfigError, match=MISSING):
        graph(load(own_model, {}).settings)


@needs_no_vllm
def test_without_the_extra_serve_says_so_before_it_starts_anything(own_model: str) -> None:
    ended = commands.run("sekha", "serve", "-c", own_model, env=os.environ)

    assert ended.returncode == 2
    [said] = ended.stderr.splitlines()
    assert said.startswith(f"sekha: {MISSING}")
    assert "Traceback" not in ended.stdout


@needs_no_vllm
def test_without_the_extra_a_configuration_is_good_all_the_same(sekha: CliRunner, own_model: str) -> None:
    shown = sekha.invoke(app, ["check", "-c", own_model])

    assert shown.exit_code == 0
    assert (
        "vLLM is not installed on this machine; the nodes need it that host a model for gpu" in shown.output
    )


def test_a_configuration_without_local_models_says_nothing_of_vllm(sekha: CliRunner) -> None:
    assert "vLLM" not in sekha.invoke(app, ["check", "-c", HYBRID]).output
