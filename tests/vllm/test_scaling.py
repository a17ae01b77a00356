"""A hosted model that starts when it is needed: the cloud serves meanwhile, and no request is lost."""

import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api, eventually
from tests.support.serving import Cluster
from tests.support.upstream import ScriptedUpstream
from tests.vllm.graph import STARTS_WITHIN_S, at_home, cloudy, deployed, hosted, served_by

pytestmark = pytest.mark.timeout(900)

NANO_DOLLARS_PER_MS = 1000  # 3.6 dollars an hour
FROM_ZERO = {"min_replicas": 0, "max_replicas": 1, "downscale_delay_s": 5}


@pytest.fixture(scope="module")
def home(cluster: Cluster, weights: Path, cloud: ScriptedUpstream) -> Iterator[Api]:
    """The model serves `chat_small`, as the cloud does, and alone `chat_large`."""
    provider = hosted(
        weights,
        {"model_id": "tiny", "task": "chat_small"},
        {"model_id": "tiny", "task": "chat_large"},
        autoscaling=FROM_ZERO,
        hourly_rate=3.6,
    )
    with deployed(cluster, "scaling", provider, cloudy(cloud.url)) as api:
        yield api


class Waiting(threading.Thread):
    """A caller of what only the hosted model does."""

    def __init__(self, api: Api) -> None:
        super().__init__(daemon=True)
        self._api = api
        self.status = 0

    def run(self) -> None:
        self.status = self._api.chat("hello", model="chat_large", max_tokens=4).status_code


def test_the_cloud_serves_until_the_machine_is_warm_and_nothing_is_lost(home: Api) -> None:
    assert at_home(home)["state"] == "cold"
    waiting = Waiting(home)
    served: Counter[str] = Counter()
    states = set()
    until = time.monotonic() + STARTS_WITHIN_S

    first = home.chat("hello", model="chat_small", max_tokens=4)
    waiting.start()  # may only be served here, so it waits
    while not served["home"] and time.monotonic() < until:
        states.add(at_home(home)["state"])
        answer = home.chat("hello", model="chat_small", max_tokens=4)
        assert answer.status_code == 200, answer.text
        served[served_by(answer)] += 1
        time.sleep(0.2)
    waiting.join(30)

    assert served_by(first) == "cloud"
    assert served["cloud"] > 0 < served["home"]
    assert {"starting"} <= states
    assert waiting.status == 200
    assert at_home(home)["state"] == "warm"


def test_a_machine_that_nobody_needs_is_given_back_and_comes_again(home: Api) -> None:
    eventually(lambda: at_home(home)["state"] == "cold", within_s=STARTS_WITHIN_S, every_s=1.0)

    meanwhile = home.chat("hello", model="chat_small", max_tokens=4)
    eventually(lambda: at_home(home)["state"] == "warm", within_s=STARTS_WITHIN_S, every_s=0.5)
    again = home.chat("hello", model="chat_small", max_tokens=4)

    assert served_by(meanwhile) == "cloud"
    assert served_by(again) == "home"


def test_all_of_the_machines_time_is_in_the_ledger_whoever_had_it(home: Api) -> None:
    """After the tests above: one life of the machine is over and written down, another goes on."""
    file = Path(os.environ["SEKHA_STATE_DIR"], "scaling", "ledger.sqlite3")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as ledger:
        rows = ledger.execute(
            "select operation, cost, json_extract(usage, '$.machine_ms'), output_tokens"
            " from entries where provider_id = 'home'"
        ).fetchall()

    served = [row for row in rows if row[0] == "chat"]
    assert served
    assert "idle" in {operation for operation, *_ in rows}
    assert all(cost == machine_ms * NANO_DOLLARS_PER_MS > 0 for _, cost, machine_ms, _ in rows)
    assert all(tokens > 0 for *_, tokens in served)
