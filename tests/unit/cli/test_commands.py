"""The commands that need no Ray."""

import asyncio
import logging
import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from serve_app import __version__
from serve_app.app import graph
from serve_app.caller import Role
from serve_app.cli.main import app
from serve_app.config.key import new_key
from serve_app.config.key import revoked as revoke
from serve_app.config.load import load
from serve_app.config.storage import LEDGER_FILE
from serve_app.errors import ConfigError
from serve_app.ledger.store import Change, Record
from serve_app.storage.sql import SqlStore
from tests.support import commands
from tests.support.plugins import install, on_path

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
    assert "$0.007500" in shown.output
    assert "Selected by priority" in shown.output
    assert "serves embedding, not chat_smart" in shown.output


def test_explain_reckons_with_a_provider_that_is_down(sekha: CliRunner) -> None:
    shown = sekha.invoke(app, ["explain", "-c", HYBRID, "--task", "chat_small", "--down", "ollama_local"])

    assert "its circuit breaker is open" in shown.output


def test_explain_fails_with_the_reason_when_nobody_may_serve(sekha: CliRunner) -> None:
    shown = sekha.invoke(app, ["explain", "-c", HYBRID, "--task", "chat_smart", "--max-cost", "0.0001"])

    assert shown.exit_code == 2
    assert "No suitable providers available" in shown.output


def test_explain_names_a_model_as_a_request_does(sekha: CliRunner) -> None:
    named = ["explain", "-c", HYBRID, "--task", "chat_small", "--model", "llama3.1:8b"]
    refused = sekha.invoke(app, [*named, "--vision"])
    stands_in = sekha.invoke(app, [*named, "--down", "ollama_local"])
    listed = sekha.invoke(app, [*named, "--model", "gpt-4o-mini", "--down", "ollama_local"])
    local = sekha.invoke(app, ["explain", "-c", HYBRID, "--task", "chat_smart", "--local-only"])

    assert refused.exit_code == 2
    assert (
        "ollama_local/llama3.1:8b: takes no images. These can take it: openai_cloud/gpt-4o" in refused.output
    )
    assert "because 'llama3.1:8b' failed" in stands_in.output
    assert "Matched preferred model" in listed.output
    assert "is not local, and the data policy is local" in local.output


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


LONG = "a-model-with-a-name-that-is-longer-than-any-screen-is-wide/" + "and-a-half-" * 8
WIDE = f"""
llm_providers:
  - {{id: {"p" * 60}, type: scripted, hourly_rate: 0.5, models: [{{model_id: {LONG}, task: chat_smart}}]}}
default_models: {{}}
"""


@pytest.mark.parametrize("words", [["check"], ["explain", "--task", "chat_smart"], ["prices"]])
def test_what_a_configuration_comes_to_fits_eighty_columns_and_cuts_no_name(
    sekha: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    path = tmp_path / "wide.yaml"
    path.write_text(WIDE)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SEKHA_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    shown = sekha.invoke(app, [*words, "-c", path.name])

    assert shown.exit_code == 0, shown.output
    assert max(map(cell_len, shown.output.splitlines())) <= 80, shown.output
    column = [line.split("│") for line in shown.output.splitlines() if "│" in line]
    assert any(LONG in "".join(row[n].strip() for row in column if len(row) > n) for n in range(8))


def test_the_version_is_an_option_and_h_is_help_everywhere(sekha: CliRunner) -> None:
    assert sekha.invoke(app, ["--version"]).output.strip() == __version__
    for words in (
        [],
        ["serve"],
        ["check"],
        ["keys"],
        ["keys", "create"],
        ["tenants", "set"],
        ["prices", "update"],
    ):
        shown = sekha.invoke(app, [*words, "-h"])
        assert (shown.exit_code, "Usage: " in shown.output) == (0, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell_that_completes(
    sekha: CliRunner, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")

    shown = sekha.invoke(app, ["--show-completion", shell], prog_name="sekha")

    assert (shown.exit_code, "_SEKHA_COMPLETE" in shown.output) == (0, True)


@pytest.mark.process
def test_the_shell_completes_commands_and_options() -> None:
    asked = {"_SEKHA_COMPLETE": "complete_bash", "COMP_WORDS": "sekha tenants s", "COMP_CWORD": "2"}

    assert commands.run("sekha", env={**os.environ, **asked}).stdout.split() == ["set"]


def test_keys_in_the_store_are_counted_before_anything_starts(
    sekha: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEKHA_STATE_DIR", str(tmp_path))
    assert "made at run time" not in sekha.invoke(app, ["check", "-c", HYBRID]).output
    (tmp_path / "sekha").mkdir()
    asyncio.run(keys_made(f"sqlite:///{tmp_path}/sekha/{LEDGER_FILE}", 3, revoked=1))

    shown = " ".join(sekha.invoke(app, ["check", "-c", HYBRID]).output.split())

    assert "the store holds 3 keys made at run time, 2 of them valid; every caller needs one" in shown


async def keys_made(url: str, count: int, revoked: int) -> None:
    store = SqlStore(url)
    await store.open()
    for number in range(count):
        _, key = new_key(1.0, id=f"k{number}", tenant="default", role=Role.USER)
        key = revoke(key, 2.0) if number < revoked else key
        change = Change(1.0, "admin", "key_created", key.id)
        await store.change([Record("key", key.id, key.model_dump(mode="json"))], change)
    await store.close()


def test_a_store_that_leads_nowhere_is_said_by_check(sekha: CliRunner, tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yaml"
    path.write_text("storage: {url: '${NO_SUCH_VARIABLE}'}\n" + WIDE)

    shown = sekha.invoke(app, ["check", "-c", str(path)])

    assert (shown.exit_code, "storage.url" in shown.output) == (2, True)


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
MISSING = "provider 'gpu' hosts a model (local), which requires vLLM: pip install"


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
    with pytest.raises(ConfigError, match=re.escape(MISSING)):
        graph(load(own_model, {}).settings)


@pytest.mark.process
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
        "vLLM is not installed on this machine; install it on the nodes that host a model for gpu"
        in shown.output
    )


def test_a_configuration_without_local_models_says_nothing_of_vllm(sekha: CliRunner) -> None:
    assert "vLLM" not in sekha.invoke(app, ["check", "-c", HYBRID]).output


@pytest.mark.parametrize("command", [["check"], ["explain", "--task", "chat_smart"]])
def test_a_package_that_cannot_be_imported_is_named_by_the_commands_that_read_a_configuration(
    sekha: CliRunner, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "sekha_broken.py").write_text("raise RuntimeError('no such luck')")
    install(tmp_path, "acme", {"sekha.strategies": {"luck": "sekha_broken:Luck"}}, "3.1")
    file = tmp_path / "gateway.yaml"
    file.write_text(Path(HYBRID).read_text().replace("strategy: fallback", "strategy: luck"))

    with on_path(tmp_path):
        told = sekha.invoke(app, [*command, "-c", str(file)])

    assert told.exit_code == 2
    assert (
        "sekha: the strategy 'luck' (entry point 'sekha_broken:Luck' in 'sekha.strategies', package"
        in told.output
    )
    assert "acme 3.1) cannot be imported: RuntimeError: no such luck" in told.output
