"""What an operator changes through one router counts at the other, and outlives the control actor."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest

from tests.support.api import Api, eventually, user
from tests.support.serving import TWO_REPLICAS, Gateway, gateway_config, inline
from tests.support.upstream import ScriptedUpstream

ADMIN, USER = "sk-admin-of-the-test", "sk-user-of-the-test"
SPREAD = 20  # so many answers over connections of their own come from both replicas
HAS_HEARD_WITHIN_S = 10.0


@dataclass(frozen=True)
class Scene:
    """A gateway of two routers, its two upstreams, and the process of its control actor."""

    api: Api
    cloud: ScriptedUpstream
    vllm: ScriptedUpstream
    control_actor: int

    def ask(self, method: str, path: str, body: Any = None, key: str = ADMIN) -> httpx.Response:
        """Over a connection of its own, so that any router may answer."""
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=self.api.url, headers=headers, timeout=60, trust_env=False) as http:
            return http.request(method, path, json=body)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", f"/api/admin{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.ask("POST", f"/api/admin{path}", body)

    def chat(self, model: str) -> str:
        """Who answered, or the status where nobody did."""
        body = {"messages": [user("hi")], "max_tokens": 5, "model": model}
        answer = self.ask("POST", "/v1/chat/completions", body, USER)
        return str(answer.headers.get("x-sekha-provider", answer.status_code))

    def chats(self, model: str = "auto") -> set[str]:
        """What both routers say."""
        return {self.chat(model) for _ in range(SPREAD)}


def control_actors() -> set[int]:
    """The processes of all gateways' control actors."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and "ControlActor" in " ".join(process.cmdline()):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def scene(gateway: Gateway) -> Iterator[Scene]:
    with ScriptedUpstream() as cloud, ScriptedUpstream() as vllm:
        dear = {"model_id": "dear", "task": "chat_large", "cost_per_1k_input": 1, "cost_per_1k_output": 1}
        free = {"model_id": "free", "task": "chat_smart", "cost_per_1k_input": 0, "cost_per_1k_output": 0}
        first = inline("cloud", cloud.url, dear, free, priority=1)
        own = inline("own", vllm.url, {"model_id": "llama", "task": "chat_smart"}, priority=2, type="vllm")
        before = control_actors()
        api = gateway(
            gateway_config(
                first,
                own,
                router=TWO_REPLICAS,
                budgets=[{"limit": 0.000001, "window": "total"}],
                auth={"api_keys": [USER], "admin_keys": [ADMIN]},
            )
        )
        [control_actor] = control_actors() - before
        scene = Scene(api, cloud, vllm, control_actor)
        both = "sekha_router_replicas 2.0"
        eventually(lambda: both in scene.ask("GET", "/metrics").text)
        yield scene


def test_what_is_changed_through_one_router_counts_at_the_other_and_outlives_a_kill(scene: Scene) -> None:
    assert scene.chats("chat_large") == {"402"}
    assert not scene.cloud.asked
    assert scene.chats() == {"cloud"}

    raised = scene.post("/budget", {"budget_limit": 150})
    assert (raised.status_code, raised.json()["previous_limit"]) == (200, 0.000001)
    eventually(lambda: scene.chats("chat_large") == {"cloud"}, within_s=HAS_HEARD_WITHIN_S)

    switched = scene.post("/backend/switch", {"backend": "vllm"})
    assert (switched.status_code, switched.json()["success"]) == (200, True)
    eventually(lambda: scene.chats() == {"own"}, within_s=HAS_HEARD_WITHIN_S)

    eventually(lambda: scene.get("/costs")["total"] > 0)  # the ledger has it by then
    spent = scene.get("/costs")["total"]
    os.kill(scene.control_actor, signal.SIGKILL)

    eventually(lambda: scene.ask("GET", "/api/admin/status").status_code == 200, within_s=60)
    assert scene.chats() == {"own"}
    assert scene.get("/backend/current")["current_backend"] == "vllm"
    costs = scene.get("/costs")
    assert (costs["budget_limit"], costs["total"] >= spent) == (150.0, True)
    changes = scene.get("/audit")["changes"]
    assert [change["action"] for change in changes] == ["backend_switched", "budget_changed"]
    assert {change["user_id"] for change in changes} == {"config:admin-key-1"}

    # One switch was before the kill, and it still counts.
    answers = [scene.post("/backend/switch", {"backend": "vllm"}) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 9 + [429]
    assert answers[9].headers["x-ratelimit-remaining"] == "0"


def test_operators_and_users_are_told_apart_by_every_router(scene: Scene) -> None:
    statuses = {
        key: {scene.ask("GET", "/api/admin/config", key=key).status_code for _ in range(SPREAD)}
        for key in (ADMIN, USER, "sk-nobody")
    }

    assert statuses == {ADMIN: {200}, USER: {403}, "sk-nobody": {401}}
