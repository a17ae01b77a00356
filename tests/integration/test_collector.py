"""The garbage collector of the processes that serve (docs/decisions/0014)."""

import gc
from typing import Any

import pytest
import ray

from serve_app.deployments.gc_tuning import THRESHOLDS, set_aside, tune_gc
from tests.support.api import Api

THE_GATEWAYS_OWN = 50_000  # objects of its modules and settings; Python itself sets a few hundred aside


def collector(_: Any) -> tuple[tuple[int, int, int], int]:
    """What is set, and how many objects are never looked at; asked within a process."""
    return gc.get_threshold(), gc.get_freeze_count()


@pytest.mark.parametrize(
    "process",
    ["SERVE_REPLICA::local#router#", "SERVE_REPLICA::local#provider-ollama_local#", "sekha-control:local"],
)
def test_every_process_that_serves_collects_seldom_and_not_what_it_started_with(
    local: Api, process: str
) -> None:
    assert local.get("/health").status_code == 200
    named = ray.util.list_named_actors(all_namespaces=True)
    (of_it,) = [actor for actor in named if actor["name"].startswith(process)]
    actor = ray.get_actor(of_it["name"], of_it["namespace"])

    thresholds, frozen = ray.get(actor.__ray_call__.remote(collector))

    assert thresholds == THRESHOLDS
    assert frozen > THE_GATEWAYS_OWN


def test_a_process_that_is_not_ours_is_left_as_it_is(cluster: object) -> None:
    before = collector(None)

    tune_gc()
    set_aside()

    assert collector(None) == before
