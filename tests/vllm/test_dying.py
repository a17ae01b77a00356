"""An engine that dies: its breaker opens, the cloud serves, and the engine that comes after it is used."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.api import Api, eventually
from tests.support.serving import Cluster
from tests.support.upstream import ScriptedUpstream
from tests.vllm.graph import STARTS_WITHIN_S, cloudy, deployed, hosted, served_by

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def home(cluster: Cluster, weights: Path, cloud: ScriptedUpstream) -> Iterator[Api]:
    small = {"model_id": "tiny", "task": "chat_small"}
    eventually(lambda: not engines(), within_s=60)  # those of the tests before
    with deployed(cluster, "dying", hosted(weights, small), cloudy(cloud.url)) as api:
        yield api


def engines() -> list[psutil.Process]:
    """The processes of vLLM's engines that this test has started, through Ray, and that run."""
    return [p for p in psutil.Process().children(recursive=True) if "EngineCore" in " ".join(words_of(p))]


def words_of(process: psutil.Process) -> list[str]:
    """A process's command; nothing where it has ended, also while its parent has not asked for its end."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie is one, too
        return []


def test_a_dead_engine_opens_the_breaker_and_the_next_one_is_used(home: Api) -> None:
    assert served_by(home.chat("hello", model="chat_small", max_tokens=4)) == "home"
    (engine,) = engines()

    engine.kill()
    served: Counter[str] = Counter()
    states, until = set(), time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and not (served["cloud"] and served["home"]):
        answer = home.chat("hello", model="chat_small", max_tokens=4)
        assert answer.status_code == 200, answer.text
        served[served_by(answer)] += 1
        states.add(home.breaker("home")["state"])
        time.sleep(0.1)

    assert "open" in states
    assert served["cloud"] > 0 < served["home"]
    assert engines()
    assert engines()[0].pid != engine.pid
