"""The program that Serve starts as HAProxy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve_app.deployments.haproxy.hardened import EDITED
from tests.unit.deployments.haproxy.test_hardened import GENERATED

LAUNCHER = "serve_app.deployments.haproxy.launcher"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration as Serve leaves it: for all to read, in a folder that all may look into."""
    folder = tmp_path / "node"
    folder.mkdir(mode=0o755)
    file = folder / "haproxy.cfg"
    file.write_text(GENERATED.replace("/tmp/haproxy-serve/89d3", str(folder)))
    file.chmod(0o644)
    return file


def launch(config: Path, *more: str) -> subprocess.Popen[str]:
    """Start the launcher as Serve does; in HAProxy's place stands a program that tells what it was given."""
    stand_in = config.parent.parent / "haproxy"
    stand_in.write_text(
        f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps([os.getpid(), sys.argv[1:]]))\n"
    )
    stand_in.chmod(0o700)
    return subprocess.Popen(
        [sys.executable, "-m", LAUNCHER, "-db", "-f", str(config), "-dR", *more],
        env={**os.environ, "SEKHA_HAPROXY_BINARY": str(stand_in)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.process
def test_it_becomes_haproxy_with_the_edited_file_and_what_serve_recognises_it_by(config: Path) -> None:
    launched = launch(config, "-sf", "17")

    said, _ = launched.communicate(timeout=30)

    assert launched.returncode == 0
    assert json.loads(said) == [launched.pid, ["-db", "-f", str(config), "-dR", "-sf", "17"]]
    assert config.read_text().startswith(EDITED)
    assert [path.stat().st_mode & 0o777 for path in (config, config.parent)] == [0o600, 0o700]
    assert [path.name for path in config.parent.iterdir()] == ["haproxy.cfg"]


@pytest.mark.process
def test_a_file_it_does_not_know_is_left_alone_and_haproxy_does_not_start(config: Path) -> None:
    config.write_text(unknown := config.read_text().replace("level admin", "level root"))

    launched = launch(config)

    said, complaint = launched.communicate(timeout=30)
    assert launched.returncode != 0
    assert said == ""
    assert config.read_text() == unknown
    assert "level root" in complaint
    assert "HAProxy was not started" in complaint
    assert "Traceback" not in complaint
