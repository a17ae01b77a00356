"""What every test shares."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from random import randrange
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("no clocks", deadline=None)  # no test says how long something may take
settings.load_profile("no clocks")

# Compiled tests are kept between runs, and by every process that a test starts: a third of collecting them.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """
    A shell has whatever it starts in the background ignore Ctrl-C, and what that starts as well.

    Some tests stop what they have started so, and have to get through. Processes that share the tests have
    one order of sets, another one each run: they must find the same tests.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if getattr(config.option, "numprocesses", None):  # xdist's processes, still to be started
        os.environ.setdefault("PYTHONHASHSEED", str(randrange(2**32)))


def _is_of_this_test(record: logging.LogRecord) -> bool:
    """Return False for a client that an earlier test never closed: garbage is found at any time."""
    return not record.getMessage().startswith(("Unclosed connector", "Unclosed client session"))


logging.getLogger("asyncio").addFilter(_is_of_this_test)


def pytest_collection_finish() -> None:
    """
    Look for garbage less often, and not among modules and tests, of which there are millions of objects.

    They stay until the process ends; going through them again and again took a fifth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.hookimpl(optionalhook=True)  # xdist's: there only where tests are shared out between processes
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.support.sharing import FilesAndOneCluster

    return FilesAndOneCluster(config, log)


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the gateway does."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test leaves anything in the home folder, nor does a process that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEKHA_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield
