"""
What Serve says of itself, in a process of its own: `python -m tests.chaos.witness GCS_ADDRESS`.

On stdout goes a Sighting as a line of JSON, twice a second. It ends with its parent's pipe, or when the
cluster does not answer in time; its parent starts it again.
"""

import json
import logging
import os
import select
import signal
import sys
import time
from dataclasses import asdict, dataclass, field

EVERY_S = 0.5
PATIENCE_S = 15  # a question to a controller that has died is never answered


@dataclass(frozen=True)
class Sighting:
    """How many replicas run, by deployment; how many proxies are healthy; how many nodes are alive."""

    at: float
    replicas: dict[str, int] = field(default_factory=dict)
    proxies: int = 0
    nodes: int = 0


def look() -> Sighting:
    import ray
    from ray import serve

    status = serve.status()
    return Sighting(
        at=time.monotonic(),
        replicas={
            name: deployment.replica_states.get("RUNNING", 0)
            for application in status.applications.values()
            for name, deployment in application.deployments.items()
        },
        proxies=sum(str(proxy.value) == "HEALTHY" for proxy in status.proxies.values()),
        nodes=sum(node["Alive"] for node in ray.nodes()),
    )


def main() -> None:
    import ray

    signal.alarm(2 * PATIENCE_S)
    ray.init(sys.argv[1], log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        signal.alarm(PATIENCE_S)
        print(json.dumps(asdict(look())), flush=True)
    os._exit(0)  # a driver whose cluster is going away would take its time


if __name__ == "__main__":
    main()
