"""
Secrets stay where they belong.

Canaries of every kind (providers' keys, callers' keys, tokens, the store's password, the webhook's address)
go through everything that can happen to a request, before an upstream that repeats whatever key it is shown.
Then every place is searched that people and machines read: answers, logs, ledger, what the cluster tells.
"""

import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
import psutil
import pytest

from serve_app.config.key import digest_of
from serve_app.config.load import load_settings
from tests.support.api import Api, eventually, user
from tests.support.key_echo_upstream import KeyEchoUpstream
from tests.support.serving import CANARIES, Cluster, gateway_config, inline

PROVIDER, CALLER = CANARIES["SEKHA_TEST_PROVIDER_KEY"], CANARIES["SEKHA_TEST_CALLER_KEY"]
READER, ADMIN = CANARIES["SEKHA_TEST_READER_KEY"], CANARIES["SEKHA_TEST_ADMIN_KEY"]
JWT_SECRET = CANARIES["SEKHA_TEST_JWT_SECRET"]
LITERAL = "sk-canary-literal-0d9e8f7a6b"
HOOK = "canary-webhook-4417d0c9"

TASKS = ("chat_smart", "chat_small", "chat_large")  # each is another provider's
ORDERS = ("good", "400", "401", "402", "403", "404", "413", "422", "429", "500", "503", "529")
FAULTS = ("stream", "broken", "page", "drop")
LAST = "the-last-request-of-all"


@dataclass
class Scene:
    """Two gateways, one of them without its store; what they answered, and what nobody may find."""

    api: Api
    storeless: Api
    key_echo_upstream: KeyEchoUpstream
    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    answers: list[httpx.Response] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, key: str | None = CALLER, **more: Any) -> Any:
        """The answer, which is kept; over a connection of its own."""
        return self._kept(self.api, method, path, body, key, **more)

    def ask_storeless(self, method: str, path: str, body: Any = None, key: str = ADMIN) -> Any:
        return self._kept(self.storeless, method, path, body, key)

    def chat(
        self, task: str, order: str, key: str = CALLER, request_id: str = "one-of-many", **more: Any
    ) -> httpx.Response:
        body = {"model": task, "messages": [user(f"hi [[{order}]]")], "max_tokens": 1, **more}
        return self.ask("POST", "/v1/chat/completions", body, key, headers={"x-request-id": request_id})

    def made(self, **wanted: Any) -> str:
        """A key made while the gateway runs. The answer to that is the one place where it stands."""
        made = self.ask("POST", "/api/admin/keys", wanted, ADMIN)
        assert made.status_code == 201, made.text
        self.answers.remove(made)
        key = str(made.json()["key"])
        self.secrets[f"run-time key {made.json()['id']}"] = key
        return key

    def _kept(
        self, api: Api, method: str, path: str, body: Any, key: str | None, **more: Any
    ) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **more.pop("headers", {})}
        with httpx.Client(base_url=api.url, timeout=60, trust_env=False) as http:
            answer = http.request(method, path, headers=headers, **({"json": body} if body else {}), **more)
        self.answers.append(answer)
        return answer


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Everything has happened; what is left is to look for traces."""
    folder = tmp_path_factory.mktemp("ledger")
    with KeyEchoUpstream() as key_echo_upstream:
        (hook := folder.parent / "hook").write_text(f"{key_echo_upstream.url}/hook/{HOOK}")
        config = _config(key_echo_upstream.url)
        settings = {**config, "storage": {"folder": str(folder)}, "alerts": {"webhook": f"${{file:{hook}}}"}}
        api = cluster.gateway(load_settings(settings, {}), "guarded")
        storage = {"url": "${SEKHA_TEST_STORE_URL}", "folder": str(folder / "other"), "timeout_s": 1}
        storeless = cluster.gateway(load_settings({**config, "storage": storage}, {}), "storeless")
        scene = Scene(api, storeless, key_echo_upstream, folder)
        scene.secrets = {
            **{name: text for name, text in CANARIES.items() if name != "SEKHA_TEST_STORE_URL"},
            "the store's password": "canary-store-2f6ac1",
            "a literal key": LITERAL,
            "the webhook's address": HOOK,
        }
        _everything_happens(scene)
        for last in (LAST.encode(), b"could not be posted to"):  # the webhook is given up after some seconds
            eventually(lambda last=last: any(last in text for text in cluster.written().values()))
        yield scene


def _config(url: str) -> dict[str, Any]:
    handle = {"transport": "handle", "autoscaling": {"min_replicas": 1, "max_replicas": 1}}
    dear = {"cost_per_1k_input": 0, "cost_per_1k_output": 1}  # half a dollar for each good answer
    return gateway_config(
        inline(
            "by_reference",
            url,
            {"model_id": "gpt-4o", "task": "chat_smart", **dear},
            {"model_id": "text-embedding-3-small", "task": "embedding"},
            api_key="${SEKHA_TEST_PROVIDER_KEY}",
            **handle,
        ),
        inline("literal", url, {"model_id": "gpt-4o-mini", "task": "chat_small"}, api_key=LITERAL),
        inline(
            "translated",
            url,
            {"model_id": "claude-3-opus-20240229", "task": "chat_large"},
            type="anthropic",
            base_url=url,
            api_key="${SEKHA_TEST_PROVIDER_KEY}",
            **handle,
        ),
        auth={
            "api_keys": [
                "${SEKHA_TEST_CALLER_KEY}",
                {"key": "${SEKHA_TEST_READER_KEY}", "role": "read", "id": "reader"},
            ],
            "admin_keys": ["${SEKHA_TEST_ADMIN_KEY}"],
            "jwt": {"secret": "${SEKHA_TEST_JWT_SECRET}"},
        },
        routing={"auto_fallback": False},
        circuit_breaker={"reset_timeout": 0},
        admin={"changes_per_hour": 1000},
    )


def _everything_happens(scene: Scene) -> None:
    _upstreams_answer_and_fail(scene)
    _callers_are_refused(scene)
    _secrets_come_where_they_have_no_business(scene)
    _operators_look_and_change(scene)
    _tokens_are_shown(scene)
    _a_store_is_missing(scene)
    _replicas_are_killed(scene)
    _money_runs_out(scene)
    scene.chat("chat_small", "500", request_id=LAST)


def _upstreams_answer_and_fail(scene: Scene) -> None:
    for task in TASKS:
        for order in (*ORDERS, *FAULTS):
            scene.chat(task, order)
        for order in ("good", "stream", "401", "drop"):
            scene.chat(task, order, stream=True)
    for words in ("good", "[[401]]", "[[broken]]"):
        scene.ask("POST", "/v1/embeddings", {"input": words})


def _callers_are_refused(scene: Scene) -> None:
    tight = scene.made(id="tight", rates={"requests_per_minute": 1})
    for _ in range(2):
        scene.chat("chat_small", "400", tight)  # 429 the second time
    poor = scene.made(id="poor", budgets={"limit": 0.000001, "window": "total"})
    scene.chat("chat_smart", "good", poor)  # 402
    narrow = scene.made(id="narrow", models=["gpt-4o-mini"])
    scene.chat("gpt-4o", "good", narrow)  # 403
    scene.chat("chat_smart", "good", READER)  # 403
    scene.chat("no-such-model", "good")  # 404
    for wrong in (None, f"{CALLER}x", f"{ADMIN}x", f"{CALLER}' OR '1'='1"):
        scene.ask("GET", "/v1/models", key=wrong)  # 401
        scene.ask("POST", "/v1/chat/completions", {"messages": []}, wrong)
    scene.ask("DELETE", "/v1/models")  # 405
    scene.ask("POST", "/v1/chat/completions", {"messages": CALLER})  # 422
    scene.ask("POST", "/api/v1/route", {"task": [PROVIDER]})
    scene.ask("POST", "/api/v1/route", {"task": "chat_smart", "padding": "x" * 1_100_000})  # 413
    scene.ask("POST", "/api/v1/route", {"task": "audio", "require_audio": True})  # 503


def _secrets_come_where_they_have_no_business(scene: Scene) -> None:
    for field_ in ("api_key", "api_base", "extra_headers"):
        body = {"messages": [user("hi")], "deep": [{field_: PROVIDER}]}
        scene.ask("POST", "/v1/chat/completions", body)  # 400
    for text in (f'{{"api_key": "{PROVIDER}"', f'["{CALLER}"]'):
        scene.ask("POST", "/v1/chat/completions", content=text)
    hostile = {
        "cookie": f"key={CALLER}",
        "referer": f"http://x/?key={CALLER}",
        "user-agent": CALLER,
        "x-forwarded-for": CALLER,
        "x-forwarded-authorization": f"Bearer {CALLER}",
        "host": f"{CALLER}:80",
    }
    for path in (
        "/",
        "/health",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/v1/models",
        "/api/v1/health/providers",
    ):
        scene.ask("GET", path, headers=hostile, params={"key": CALLER, "api_key": ADMIN, "token": PROVIDER})
    scene.ask("GET", "/api/admin/costs", headers=hostile, params={"key": ADMIN})  # 403
    scene.ask("GET", "/nothing/here", params={"key": CALLER})
    for form in (f"Basic {CALLER}", CALLER, "Bearer", f"Bearer {CALLER} {ADMIN}"):
        scene.ask("GET", "/v1/models", key=None, headers={"authorization": form})
        scene.ask("GET", "/api/admin/costs", key=None, headers={"authorization": form})
    scene.chat("chat_smart", "401", user="somebody")


def _operators_look_and_change(scene: Scene) -> None:
    made = scene.made(id="mine", note="for the test")
    scene.chat("chat_smart", "good", made)
    scene.ask("POST", "/api/admin/keys", {"id": "mine"}, ADMIN)  # 409
    scene.ask("PATCH", "/api/admin/keys/mine", {"note": "changed"}, ADMIN)
    scene.ask("PATCH", "/api/admin/keys/mine", {"note": "x"}, ADMIN, headers={"if-match": '"1"'})  # 412
    scene.ask("PATCH", "/api/admin/keys/mine", {"digest": digest_of(made)}, ADMIN)  # 422
    scene.ask("PUT", "/api/admin/tenants/them", {"budgets": {"limit": 5}}, ADMIN)
    scene.ask("POST", "/api/admin/backend/switch", {"backend": "vllm"}, ADMIN)
    scene.ask("POST", "/api/admin/vllm/endpoint", {"endpoint": f"http://x:{ADMIN}@127.0.0.1:9"}, ADMIN)  # 400
    scene.ask("POST", "/api/admin/vllm/endpoint", {"endpoint": scene.key_echo_upstream.url}, ADMIN)
    paths = scene.ask("GET", "/openapi.json").json()["paths"]
    for path in [path for path, methods in paths.items() if "/admin/" in path and "get" in methods]:
        for key in (ADMIN, READER, CALLER, None):
            scene.ask("GET", path.replace("{id}", "mine").replace("{name}", "anthropic"), key=key)
    scene.ask("DELETE", "/api/admin/keys/mine", key=ADMIN)
    scene.chat("chat_smart", "good", made)  # 401, when the router has heard of it


def _tokens_are_shown(scene: Scene) -> None:
    given = scene.ask("POST", "/api/admin/login", key=ADMIN)
    scene.answers.remove(given)  # it is for this bearer, as a new key is
    soon = int(time.time()) + 600
    tokens = {
        "given out": given.json()["access_token"],
        "good": jwt.encode({"sub": "ann", "exp": soon, "role": "admin"}, JWT_SECRET),
        "of no tenant": jwt.encode({"sub": "ann", "exp": soon, "tenant": "nowhere"}, JWT_SECRET),
        "over": jwt.encode({"sub": "ann", "exp": 1}, JWT_SECRET),
        "forged": jwt.encode({"sub": "ann", "exp": soon}, JWT_SECRET + "!"),
    }
    for name, token in tokens.items():
        scene.secrets[f"token {name}"] = token
        scene.secrets[f"signature of token {name}"] = token.rpartition(".")[2]
        scene.chat("chat_smart", "401", token)
        scene.chat("chat_small", "good", token)
        scene.ask("GET", "/api/admin/audit", key=token)
        scene.ask("GET", "/v1/models", key=None, headers={"x-api-key": token})
    scene.ask("POST", "/api/admin/budget", {"budget_limit": 1000}, tokens["good"])


def _a_store_is_missing(scene: Scene) -> None:
    body = {"model": "chat_smart", "messages": [user("hi [[good]]")]}
    scene.ask_storeless("POST", "/v1/chat/completions", body, CALLER)
    for path in ("audit", "keys", "config", "status", "costs", "limits"):
        scene.ask_storeless("GET", f"/api/admin/{path}")
    scene.ask_storeless("POST", "/api/admin/keys", {"id": "mine"})
    scene.ask_storeless("POST", "/api/admin/budget", {"budget_limit": 5})


def _replicas_are_killed(scene: Scene) -> None:
    for part in ("provider-by_reference", "router"):
        [process] = [p for p in _children() if f"ServeReplica:guarded:{part}" in _title(p)]
        os.kill(process.pid, signal.SIGKILL)
        scene.chat("chat_smart", "401")
        eventually(lambda: scene.chat("chat_smart", "good").status_code == 200, within_s=60, every_s=0.5)


def _money_runs_out(scene: Scene) -> None:
    eventually(lambda: scene.ask("GET", "/api/admin/costs", key=ADMIN).json()["total"] > 0)
    spent = scene.ask("GET", "/api/admin/costs", key=ADMIN).json()["total"]
    scene.ask("POST", "/api/admin/budget", {"budget_limit": spent + 0.1}, ADMIN)
    eventually(lambda: scene.chat("chat_smart", "good").status_code == 402)
    eventually(lambda: f"/hook/{HOOK}" in scene.key_echo_upstream.heard.paths)


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def found_in(secrets: dict[str, str], sinks: dict[str, bytes]) -> list[tuple[str, str]]:
    """Which secret is in which sink."""
    return [
        (sink, name)
        for sink, text in sinks.items()
        for name, secret in secrets.items()
        if secret.encode() in text
    ]


def as_sinks(answers: list[httpx.Response]) -> dict[str, bytes]:
    return {
        f"{n}: {answer.request.method} {answer.request.url.path} -> {answer.status_code}": (
            f"{answer.reason_phrase}\n{answer.headers.multi_items()}\n".encode() + answer.content
        )
        for n, answer in enumerate(answers)
    }


def digests(scene: Scene) -> dict[str, str]:
    """By what keys and tokens are looked up."""
    return {f"digest of {name}": digest_of(secret) for name, secret in scene.secrets.items()}


def test_everything_happened_that_can_happen_to_a_request(scene: Scene) -> None:
    statuses = {answer.status_code for answer in scene.answers}
    heard = scene.key_echo_upstream.heard

    assert statuses >= {200, 400, 401, 402, 403, 404, 405, 409, 412, 413, 422, 429, 502, 503}
    assert heard.keys == {PROVIDER, LITERAL}  # the keys were used, so there was something to leak


def test_an_upstream_hears_its_own_key_and_nobody_elses(scene: Scene) -> None:
    others = {name: s for name, s in scene.secrets.items() if s not in (PROVIDER, LITERAL, HOOK)}
    heard = {str(n): text.encode() for n, text in enumerate(scene.key_echo_upstream.heard.all)}

    assert found_in(others, heard) == []


@pytest.mark.contract(62)
def test_a_secret_appears_in_no_answer(scene: Scene) -> None:
    assert found_in({**scene.secrets, **digests(scene)}, as_sinks(scene.answers)) == []


@pytest.mark.contract(62)
def test_a_secret_appears_in_no_log(scene: Scene, cluster: Cluster) -> None:
    """The session's folder holds what every process wrote: stdout, stderr, replicas, workers, Ray itself."""
    written = cluster.written()

    assert any(b"Incorrect API key provided: ***" in text for text in written.values())  # what was left of it
    assert any(b"the store at postgresql://127.0.0.1:9/ledger" in text for text in written.values())
    assert found_in({**scene.secrets, **digests(scene)}, written) == []


def test_a_secret_appears_in_no_file_of_the_ledger(scene: Scene) -> None:
    files = {str(path): path.read_bytes() for path in scene.folder.rglob("*") if path.is_file()}
    kept = (
        sqlite3.connect(next(scene.folder.glob("*/ledger.sqlite3")))
        .execute("SELECT body FROM records")
        .fetchall()
    )

    assert any(name.endswith(".jsonl") for name in files)
    assert any(b"key_revoked" in text for text in files.values())  # the audit is in there
    assert found_in(scene.secrets, files) == []
    made = {name for name in scene.secrets if name.startswith("run-time key")}
    looked_up = {name: digest for name, digest in digests(scene).items() if name[len("digest of ") :] in made}
    assert {name for _, name in found_in(looked_up, {"": str(kept).encode()})} == set(looked_up)
    others = {name: digest for name, digest in digests(scene).items() if name not in looked_up}
    assert found_in(others, files) == []


def test_a_secret_appears_in_nothing_that_the_cluster_tells(scene: Scene) -> None:
    """What the dashboard, `ray list` and `serve status` are made from, and Serve's own checkpoint."""
    told = what_the_cluster_tells()
    travels = "a literal key"  # with the configuration, as docs/configuration.md says

    assert "ServeReplica" in told["actors"].decode()
    assert "provider-by_reference" in told["status"].decode()
    assert found_in({**scene.secrets, **digests(scene)}, told) == []
    by_reference = {name: secret for name, secret in scene.secrets.items() if name != travels}
    assert found_in({**by_reference, **digests(scene)}, what_the_cluster_keeps()) == []


def what_the_cluster_tells() -> dict[str, bytes]:
    import ray
    from ray import serve
    from ray._private import state
    from ray.serve.context import _get_global_client

    details = ray.get(_get_global_client()._controller.get_serve_instance_details.remote())
    return {
        "actors": json.dumps(state.actors(), default=str).encode(),
        "names": json.dumps(ray.util.list_named_actors(all_namespaces=True)).encode(),
        "jobs": json.dumps(state.jobs(), default=str).encode(),
        "nodes": json.dumps(ray.nodes(), default=str).encode(),
        "status": repr(serve.status()).encode(),
        "details": repr(details).encode(),
        **{f"command line of {child.pid}": _title(child).encode() for child in _children()},
    }


def what_the_cluster_keeps() -> dict[str, bytes]:
    """Everything in the cluster's key-value store: runtime environments, Serve's checkpoints."""
    from ray._private.worker import global_worker

    gcs = global_worker.gcs_client
    kept = {}
    for namespace in (None, b"serve", b"job", b"fun", b"session", b"cluster", b"usage_stats", b"dashboard"):
        for key in gcs.internal_kv_keys(b"", namespace):
            kept[f"{namespace} {re.sub(rb'[^ -~]', b'?', key).decode()}"] = (
                gcs.internal_kv_get(key, namespace) or b""
            )
    assert kept
    return kept
