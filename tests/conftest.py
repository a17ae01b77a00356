"""What every test shares."""

from collections.abc import Iterator

import pytest


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
