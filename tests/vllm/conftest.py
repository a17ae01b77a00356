"""
The real vLLM under the real graph, on a model of random weights: `make test-vllm`.

On a machine without it there is nothing to collect here: its packages take gigabytes, and have a target of
their own. With SEKHA_TEST_GPU set (`make test-vllm GPU=1`, or GPU=L4 for one kind) the model runs on a GPU.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.upstream import ScriptedUpstream

collect_ignore = [] if find_spec("vllm") else [path.name for path in Path(__file__).parent.glob("test_*.py")]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.serving")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model."""
    from tests.vllm.tiny import make_model

    return make_model(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def cloud() -> Iterator[ScriptedUpstream]:
    """Whom the provider in the cloud asks."""
    with ScriptedUpstream() as upstream:
        yield upstream
