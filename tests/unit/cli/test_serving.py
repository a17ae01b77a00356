"""What `sekha serve` sees to before it starts anything: state folder, token, files to write to."""

import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serve_app.cli.cluster_token import require_token
from serve_app.cli.console import Console, LogFiles, WorkerLines, begin_anew_above
from serve_app.cli.production import HAPROXY_FILES, set_up
from serve_app.cli.state import usable_state
from serve_app.config.storage import StorageConfig
from serve_app.errors import ConfigError
from serve_app.storage.folder import make_private, own_folder
from serve_app.storage.journal_file import Journal


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the state folder ---------------------------------------------------------------------------------


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_whatever_the_umask_every_folder_that_is_made_is_the_owners_alone(tmp_path: Path) -> None:
    Journal(tmp_path / "a" / "sekha", "router-1")

    assert [mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "sekha")] == [0o700, 0o700]
    assert {mode_of(file) for file in (tmp_path / "a" / "sekha").iterdir()} == {0o600}


def test_a_folder_of_ours_that_lets_others_in_is_closed_and_one_above_it_is_left(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "sekha").mkdir()
    (tmp_path / "sekha").chmod(0o777)

    own_folder(tmp_path / "sekha")
    make_private(tmp_path)

    assert [mode_of(tmp_path), mode_of(tmp_path / "sekha")] == [0o755, 0o700]


def in_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "below"


def with_a_strangers_ledger(folder: Path) -> Path:
    (folder / "sekha").mkdir()
    (folder / "sekha" / "ledger.sqlite3").write_text("this is no database\n" * 100)
    return folder


@pytest.mark.parametrize("unusable", [in_a_file, with_a_strangers_ledger])
def test_a_state_folder_that_cannot_be_used_is_one_line_and_no_start(
    unusable: Callable[[Path], Path], tmp_path: Path
) -> None:
    environ = {"SEKHA_STATE_DIR": str(unusable(tmp_path))}

    for storage in (StorageConfig(), StorageConfig(on_unavailable="deny")):
        with pytest.raises(ConfigError) as refusal:
            usable_state(storage, environ, "sekha", print)
        assert environ["SEKHA_STATE_DIR"] in str(refusal.value)
        assert "storage.on_unavailable: allow" in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_who_has_written_to_go_on_without_a_ledger_is_told_that_there_is_none(tmp_path: Path) -> None:
    said: list[str] = []
    environ = {"SEKHA_STATE_DIR": str(in_a_file(tmp_path))}

    assert usable_state(StorageConfig(on_unavailable="allow"), environ, "sekha", said.append) is None
    assert "spending is not recorded" in said[0]


def test_a_state_folder_is_tried_and_left_as_it_was_found(tmp_path: Path) -> None:
    folder = usable_state(StorageConfig(), {"SEKHA_STATE_DIR": str(tmp_path)}, "sekha", print)

    assert folder == tmp_path / "sekha"
    assert [path.name for path in folder.glob("*") if not path.name.startswith("ledger")] == []


# --- the token of Ray's ports -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["disabled", "DISABLED", "k8s", " none "])
def test_ray_without_a_token_is_refused_unless_somebody_insists(mode: str, tmp_path: Path) -> None:
    environ = {"RAY_AUTH_MODE": mode, "HOME": str(tmp_path)}

    with pytest.raises(ConfigError, match="--insecure"):
        require_token(environ, tmp_path, insecure=False)
    warning = require_token(environ, tmp_path, insecure=True)

    assert warning is not None
    assert mode in warning
    assert environ["RAY_AUTH_MODE"] == mode


def test_a_token_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    require_token(environ, tmp_path, insecure=False)
    token = tmp_path / ".ray" / "auth_token"
    made = token.read_text()
    token.chmod(0o644)  # as Ray's own command leaves it

    require_token(environ, tmp_path, insecure=True)

    assert environ == {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    assert len(made) >= 32
    assert token.read_text() == made
    assert mode_of(token) == 0o600


@pytest.mark.parametrize("home", ["", "/proc/nowhere"])
def test_without_a_home_the_token_is_in_the_folder_of_the_run(home: str, tmp_path: Path) -> None:
    environ = {"HOME": home, "RAY_AUTH_TOKEN": " "}

    require_token(environ, tmp_path, insecure=False)

    assert environ["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "auth_token")
    assert mode_of(tmp_path / "auth_token") == 0o600
    assert "RAY_AUTH_TOKEN" not in environ


def test_an_operators_own_token_is_used_and_a_file_without_one_is_refused(tmp_path: Path) -> None:
    environ = {"RAY_AUTH_TOKEN": "mine", "HOME": str(tmp_path)}
    require_token(environ, tmp_path, insecure=False)
    assert environ == {"RAY_AUTH_TOKEN": "mine", "HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}

    (tmp_path / "empty").write_text("\n")
    for file, reason in (("empty", "empty"), ("missing", "No such file")):
        with pytest.raises(ConfigError, match=reason):
            require_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / file)}, tmp_path, insecure=False)


# --- what Serve reads ---------------------------------------------------------------------------------


def test_haproxys_files_are_in_the_folder_of_the_run_whatever_the_environment_says(tmp_path: Path) -> None:
    environ = dict.fromkeys(HAPROXY_FILES, "/tmp/elsewhere") | {
        "RAY_SERVE_HAPROXY_BINARY_PATH": "/opt/haproxy",
        "RAY_SERVE_HAPROXY_MAXCONN": "100",
    }

    set_up(environ, tmp_path, "0.0.0.0")

    assert all(environ[name].startswith(str(tmp_path)) for name in HAPROXY_FILES)
    assert environ["RAY_SERVE_HAPROXY_MAXCONN"] == "100"
    # The operator's HAProxy is used, but through the launcher.
    assert Path(environ["RAY_SERVE_HAPROXY_BINARY_PATH"]).name == "sekha-haproxy"
    assert environ["SEKHA_HAPROXY_BINARY"] == "/opt/haproxy"
    again = dict(environ)
    set_up(again, tmp_path, "127.0.0.1")
    assert again["SEKHA_HAPROXY_BINARY"] == "/opt/haproxy"


# --- what is written where ----------------------------------------------------------------------------

OURS = '{"time":"2026-11-30T15:34:53.928+00:00","level":"INFO","logger":"sekha.requests","message":"é"}'


class Captured(Console):
    """A console whose two streams are kept."""

    def __init__(self) -> None:
        self._out, self._err = io.StringIO(), io.StringIO()
        self._held = []

    @property
    def errors(self) -> list[str]:
        return self._err.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_the_gateways_lines_are_plain_json_in_a_file_and_rays_are_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, console = LogFiles(tmp_path, 5001), Captured()
    lines = WorkerLines(files, console)

    lines({"actor_name": "ServeReplica:sekha:router", "pid": 7, "lines": [OURS, "Ray's own", '{"time": 1}']})
    lines({"pid": "autoscaler", "lines": ["every few seconds"]})
    lines({"pid": 8})

    assert files.gateway.read_text() == f"{OURS}\n"
    assert capsys.readouterr().err.splitlines() == [
        "(ServeReplica:sekha:router) Ray's own",
        '(ServeReplica:sekha:router) {"time": 1}',
    ]
    assert console.errors == []  # not before the gateway has said that it is ready
    console.release()
    lines({"lines": [OURS]})
    assert console.errors == [OURS, OURS]


def test_rays_file_is_bounded_while_others_go_on_writing_to_it(tmp_path: Path) -> None:
    path = tmp_path / "ray-5001.log"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, b"early\n")

    begin_anew_above(6, file, path)
    os.write(file, b"late\n")
    begin_anew_above(6, file, path)
    os.write(file, b"later\n")
    os.close(file)

    assert (tmp_path / "ray-5001.log.1").read_text() == "early\nlate\n"
    assert path.read_text() == "later\n"
    assert mode_of(tmp_path / "ray-5001.log.1") == 0o600


def test_a_terminal_that_is_gone_hears_nothing_and_breaks_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    standard = sys.stdout, sys.stderr
    with os.fdopen(writing, "w") as gone:
        sys.stdout = sys.stderr = gone
        try:
            console = Console()
        finally:
            sys.stdout, sys.stderr = standard
        console.say("Stopping")
        console.complain("Stopping")
