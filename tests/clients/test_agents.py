"""
Coding agents, unchanged: Claude Code and Codex change a file, by tools, over streams.

Each is served by an upstream of its own format and by others behind a translation. `make test-agents`
installs them; they are large, and not a part of `make test-clients`.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import AGENTS, CHAT, CLAUDE, GPT, KEY
from tests.clients.scripted_model import Call, ScriptedModel

TASK = "Change hello to goodbye in hello.txt"
WITHIN_S = 120
CODEX = """
model = "{model}"
model_provider = "sekha"

[model_providers.sekha]
name = "sekha"
base_url = "{gateway}/v1"
wire_api = "responses"
env_key = "SEKHA_KEY"
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which no key and no setting of this machine's user is found."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), **more}


def run(command: list[str], folder: Path, environ: dict[str, str]) -> str:
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The agent's work, with the file that it has to change."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "hello.txt").write_text("hello world\n", encoding="utf-8")
    return work


@pytest.mark.parametrize("name", [CLAUDE, CHAT, GPT])
def test_claude_code_reads_and_edits_a_file(
    gateway: str, upstream: ScriptedModel, name: str, folder: Path, tmp_path: Path
) -> None:
    path = str(folder / "hello.txt")
    edit = {"file_path": path, "old_string": "hello", "new_string": "goodbye"}
    upstream.turns = [Call("Read", {"file_path": path}), Call("Edit", edit)]
    environ = environment(
        tmp_path,
        ANTHROPIC_BASE_URL=gateway,
        ANTHROPIC_AUTH_TOKEN=KEY,
        ANTHROPIC_MODEL=name,
        ANTHROPIC_DEFAULT_HAIKU_MODEL=name,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )

    said = run([str(AGENTS / "claude"), "-p", TASK, "--allowedTools", "Read", "Edit"], folder, environ)

    assert (folder / "hello.txt").read_text(encoding="utf-8") == "goodbye world\n"
    assert "It says: " in said
    wanted = "/v1/messages" if name == CLAUDE else "/v1/chat/completions"
    assert {asked for asked, _ in upstream.requests} == {wanted}
    assert all(body["stream"] for _, body in upstream.requests)


@pytest.mark.parametrize("name", [GPT, CHAT, CLAUDE])
def test_codex_edits_a_file(
    gateway: str, upstream: ScriptedModel, name: str, folder: Path, tmp_path: Path
) -> None:
    command = "sed -i s/hello/goodbye/ hello.txt"
    upstream.turns = [Call("exec_command", {"cmd": command})]
    home = tmp_path / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(CODEX.format(model=name, gateway=gateway), encoding="utf-8")

    said = run(
        [str(AGENTS / "codex"), "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", TASK],
        folder,
        environment(tmp_path, SEKHA_KEY=KEY),
    )

    assert (folder / "hello.txt").read_text(encoding="utf-8") == "goodbye world\n"
    assert "It says: " in said
    wanted = {GPT: "/v1/responses", CHAT: "/v1/chat/completions", CLAUDE: "/v1/messages"}
    assert {asked for asked, _ in upstream.requests} == {wanted[name]}
