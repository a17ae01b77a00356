"""Keys of a gateway with two routers: good everywhere at once, and refused for ever, whatever dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray
from ray import serve

from serve_app.config.load import load_settings
from serve_app.deployments.control import NAMESPACE, name_of
from tests.support.api import Api, eventually, user
from tests.support.serving import TWO_REPLICAS, Cluster, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

ADMIN_KEY = "an-admins-key-for-this-test"
NAME = "keyed"
SPREAD = 16  # so many answers over connections of their own come from both routers
WITHIN_S = 5.0  # a second on a machine with nothing else to do
RESTARTS_WITHIN_S = 60.0


class Keyed:
    """A gateway that takes keys, and what can happen to it."""

    def __init__(self, cluster: Cluster, config: dict[str, Any]) -> None:
        self._cluster = cluster
        self._config = config
        self.start()

    def start(self) -> None:
        """Deploy it; it is ready when both routers are."""
        settings = load_settings(self._config, {})
        self.admin = Api(self._cluster.gateway(settings, NAME).url, ADMIN_KEY)
        eventually(lambda: "sekha_router_replicas 2.0" in self.admin.get("/metrics").text, RESTARTS_WITHIN_S)

    def stop(self) -> None:
        """Nothing of it is left but its store."""
        serve.delete(NAME)
        ray.kill(self._control(), no_restart=True)

    def kill_control(self) -> int:
        """Kill -9; the process that was."""
        pid = self._control_pid()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: self._control_pid() != pid, RESTARTS_WITHIN_S, every_s=0.2)
        return pid

    def answers(self, key: str) -> set[int]:
        """What so many routers say to this key, each over a connection of its own."""
        return {self._chat(key) for _ in range(SPREAD)}

    def says(self, key: str, status: int, within_s: float = WITHIN_S) -> None:
        """All routers say that, soon."""
        eventually(lambda: self.answers(key) == {status}, within_s)

    def _chat(self, key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=self.admin.url, headers=headers, timeout=60, trust_env=False) as http:
            return http.post("/v1/chat/completions", json={"messages": [user("hi")]}).status_code

    def _control(self) -> Any:
        return ray.get_actor(name_of(NAME), NAMESPACE)

    def _control_pid(self) -> int | None:
        try:
            asked = self._control().__ray_call__.remote(lambda _: os.getpid())
            return int(ray.get(asked, timeout=2.0))
        except (ray.exceptions.RayError, ValueError):
            return None  # it is just being started anew


@pytest.fixture
def keyed(cluster: Cluster, tmp_path: Path) -> Iterator[Keyed]:
    with ScriptedUpstream() as upstream:
        provider = inline("only", upstream.url, {"model_id": "gpt-4o", "task": "chat_smart"})
        config = gateway_config(
            provider,
            router=TWO_REPLICAS,
            auth={"admin_keys": [ADMIN_KEY]},
            storage={"url": f"sqlite:///{tmp_path}/ledger.db"},
        )
        gateway = Keyed(cluster, config)
        yield gateway
        gateway.stop()


def test_a_key_works_at_all_routers_at_once_and_revoked_at_none_whatever_dies(keyed: Keyed) -> None:
    made = keyed.admin.post("/api/admin/keys", {"id": "short_lived"})
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    keyed.says(key, 200)
    other = keyed.admin.post("/api/admin/keys", {"id": "stays"}).json()["key"]
    keyed.says(other, 200)

    assert keyed.admin.http.delete("/api/admin/keys/short_lived").status_code == 200
    keyed.says(key, 401)

    keyed.kill_control()
    assert keyed.answers(key) == {401}  # while the actor comes back
    keyed.says(other, 200)
    eventually(lambda: keyed.admin.get("/api/admin/keys").status_code == 200, RESTARTS_WITHIN_S)
    assert keyed.answers(key) == {401}  # and when it is back
    assert keyed.admin.post("/api/admin/keys", {"id": "short_lived"}).status_code == 409

    keyed.stop()
    keyed.start()

    keyed.says(other, 200)
    assert keyed.answers(key) == {401}
    told = keyed.admin.get("/api/admin/keys").json()["keys"]
    assert {k["id"]: k["revoked_at"] is None for k in told} == {"short_lived": False, "stays": True}
    assert [line["action"] for line in keyed.admin.get("/api/admin/audit").json()["changes"]] == [
        "key_revoked",
        "key_created",
        "key_created",
    ]
