"""Test runs in processes that are forked off, where whatever a mutant does ends with the process."""

import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TypeAlias

import pytest

# What most tests import and no mutant changes: a forked process has it already.
SHARED = (
    "alembic.command",
    "anyio.pytest_plugin",
    "fastapi",
    "httpx",
    "hypothesis.stateful",
    "litellm",
    "numpy",
    "orjson",
    "prometheus_client",
    "pydantic",
    "ray.serve",
    "sqlalchemy.orm",
    "typer.testing",
    "yaml",
)
# Of no use to these tests, and slow to load: Schemathesis.
OPTIONS = (
    "-p",
    "no:cacheprovider",
    "-p",
    "no:schemathesis",
    "--tb=line",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)

Place: TypeAlias = tuple[str, str]  # a module's path, and the name of a function in it
FORK = multiprocessing.get_context("fork")


class Verdict(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Test:
    """One test that passes: how long it takes, and the functions it calls."""

    name: str
    took_s: float
    places: frozenset[Place]

    @property
    def file(self) -> str:
        """The file it is in."""
        return self.name.partition("::")[0]

    def calls_into(self, path: str) -> bool:
        """Whether it calls anything in this module."""
        return any(place[0] == path for place in self.places)


class Watch:
    """Notes, as pytest's plugin, what each test calls, how long it takes, and whether it passes."""

    def __init__(self, folder: Path) -> None:
        self.places: dict[str, set[Place]] = {}
        self.took_s: dict[str, float] = {}
        self.failed: set[str] = set()
        self._prefix = f"{folder}/serve_app/"
        self._cut = len(f"{folder}/")
        self._names: dict[str, str | None] = {}
        self._now: set[Place] = set()

    def called(self, frame: FrameType, event: str, argument: object) -> None:
        """Note a call; None, so that nobody looks at the function's lines."""
        code = frame.f_code
        name = self._names.get(code.co_filename, "")
        if name == "":
            is_ours = code.co_filename.startswith(self._prefix)
            name = self._names[code.co_filename] = code.co_filename[self._cut :] if is_ours else None
        if name is not None:
            self._now.add((name, code.co_qualname.partition(".<locals>")[0]))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._now = self.places[item.nodeid] = set()
        began = monotonic()
        threading.settrace(self.called)
        sys.settrace(self.called)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            self.took_s[item.nodeid] = monotonic() - began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)


class Chosen:
    """Runs, as pytest's plugin, these tests alone, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._rank = {test: n for n, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._rank), key=lambda item: self._rank[item.nodeid]
        )


def import_shared() -> None:
    """Import what the forked processes have in common; LiteLLM without a look at the network."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    for name in SHARED:
        with suppress(ImportError):
            importlib.import_module(name)


def watched(folder: Path, files: Collection[str]) -> list[Test]:
    """These files' tests, on the code as it is; what fails there proves nothing, and is left out."""
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_watch, args=(folder, sorted(files), there))
    process.start()
    there.close()
    try:
        places, took_s, failed = here.recv()
    except EOFError:
        said = (folder / "output").read_text()[-2_000:]
        raise RuntimeError(f"the tests could not be run:\n{said}") from None
    finally:
        process.join()
    for name in sorted(failed):
        print(f"left out, as it fails without any change: {name}", file=sys.stderr, flush=True)
    return [Test(name, took_s[name], frozenset(places[name])) for name in took_s if name not in failed]


def judged(folder: Path, tests: Sequence[str], limit_s: float) -> Verdict:
    """Whether one of these tests fails, or hangs for too long."""
    process = FORK.Process(target=_judge, args=(folder, tests))
    process.start()
    process.join(limit_s)
    if process.exitcode is None:
        assert process.pid is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return Verdict.TIMED_OUT
    if process.exitcode in (pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.USAGE_ERROR):
        said = (folder / "output").read_text()[-2_000:]
        raise RuntimeError(f"the tests have changed since the run that is reused:\n{said}")
    return Verdict.SURVIVED if process.exitcode == 0 else Verdict.KILLED


def _watch(folder: Path, files: Sequence[str], there: Connection) -> None:
    _settle_in(folder)
    watch = Watch(folder)
    pytest.main([*OPTIONS, *files], plugins=[watch])
    there.send((watch.places, watch.took_s, watch.failed))


def _judge(folder: Path, tests: Sequence[str]) -> None:
    _settle_in(folder)
    sys.dont_write_bytecode = True
    files = sorted({test.partition("::")[0] for test in tests})
    os._exit(pytest.main([*OPTIONS, "-x", *files], plugins=[Chosen(tests)]))


def _settle_in(folder: Path) -> None:
    """Become a process of its own group, which imports the code in this folder, and says nothing."""
    os.setsid()
    os.chdir(folder)
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "serve_app")]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    import serve_app

    assert Path(str(serve_app.__file__)).is_relative_to(folder)
