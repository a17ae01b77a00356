"""
A real Ray Serve for the tests of a whole gateway: one cluster a session, gateways end with their module.

Serve runs in its default mode, as under `serve run`: the switches of `sekha serve` are tried in
`tests/e2e/test_ways_in.py`. This is a pytest plugin, so that integration and end-to-end tests share the
cluster; nothing is started before a test asks for it.
"""

import itertools
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from serve_app.config.load import load_settings
from serve_app.config.settings import Settings
from tests.support.api import Api
from tests.support.settings import HYBRID, LOCAL
from tests.support.upstream import ScriptedUpstream

HOST = "127.0.0.1"
NOWHERE = f"http://{HOST}:9"  # nobody listens there: connections are refused
CPUS = 8  # logical: replicas reserve shares of them and mostly wait
ONE_REPLICA = {"autoscaling": {"min_replicas": 1, "max_replicas": 1}}
TWO_REPLICAS = {"autoscaling": {"min_replicas": 2, "max_replicas": 2}}

# Known to every process of the cluster, as keys are on a real one.
CANARIES = {
    "SEKHA_TEST_PROVIDER_KEY": "sk-canary-provider-5f1d0c2b7e",
    "SEKHA_TEST_CALLER_KEY": "sk-canary-caller-91aa40be63",
    "SEKHA_TEST_READER_KEY": "sk-canary-reader-77d3e2f01b",
    "SEKHA_TEST_ADMIN_KEY": "sk-canary-admin-c04b5a9e18",
    "SEKHA_TEST_JWT_SECRET": "canary-jwt-secret-8e17bd5522-of-more-than-32-bytes",
    "SEKHA_TEST_STORE_URL": "postgresql://sekha:canary-store-2f6ac1@127.0.0.1:9/ledger",  # nobody listens
}


class Cluster:
    """Serve on a port of its own. `logs` is where Ray and all replicas write."""

    def __init__(self, port: int, logs: Path) -> None:
        self.port = port
        self.logs = logs
        self._deployed: dict[str, Api] = {}
        self._passing: set[str] = set()
        self._numbers = itertools.count()

    def gateway(self, settings: Settings, name: str, for_the_session: bool = False) -> Api:
        """An application of that name, ready to answer; it ends with the module, or with the session."""
        from ray import serve

        from serve_app.app import graph

        if not for_the_session:
            self._passing.add(name)
        serve.run(graph(settings), name=name, route_prefix=f"/{name}")
        return Api(f"http://{HOST}:{self.port}/{name}")

    def gateway_for(self, config: dict[str, Any]) -> Api:
        """The gateway of that configuration, started when it is first asked for."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._deployed:
            name = f"gateway{next(self._numbers)}"
            self._deployed[key] = self.gateway(load_settings(config, {}), name)
        return self._deployed[key]

    def end_module(self) -> None:
        """
        Delete the applications of a module, and their control actors.

        Idle, a gateway takes a few percent of a core: thirty of them would take all there is from the rest.
        """
        import ray
        from ray import serve

        from serve_app.deployments.control import NAMESPACE, name_of

        for name in self._passing & serve.status().applications.keys():
            serve.delete(name)
        for name in self._passing:
            with suppress(ValueError):  # it has none, or none any more
                ray.kill(ray.get_actor(name_of(name), namespace=NAMESPACE))
        self._passing.clear()
        self._deployed.clear()

    def written(self) -> dict[str, bytes]:
        """Every file that this session of Ray has written, by name; the logs of all replicas are there."""
        files = (path for path in self.logs.rglob("*") if path.is_file() and not path.is_symlink())
        return {str(path.relative_to(self.logs)): path.read_bytes() for path in files}

    def log_lines(self, word: str) -> list[dict[str, Any]]:
        """The gateway's log lines in which the word appears."""
        lines = (line for text in self.written().values() for line in text.splitlines())
        return [json.loads(line) for line in lines if line.startswith(b'{"time"') and word.encode() in line]


Gateway = Callable[[dict[str, Any]], Api]
CLUSTER = pytest.StashKey[Cluster]()


def replicas_of(app: str, deployment: str) -> list[psutil.Process]:
    """The processes of one deployment's replicas."""
    title = f"ServeReplica:{app}:{deployment}"
    return [p for p in psutil.process_iter(["cmdline"]) if title in " ".join(p.info["cmdline"] or ())]


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def inline(provider_id: str, upstream: str, /, *models: dict[str, Any], **more: Any) -> dict[str, Any]:
    """
    A provider within the router's process; it speaks OpenAI's words and costs no process of its own.

    Nobody is asked twice, unless `retry` says so.
    """
    return {
        "id": provider_id,
        "type": "openai",
        "base_url": f"{upstream}/v1",
        "api_key": "sk-test",
        "transport": "inline",
        "retry": {"max_retries": 0},
        "models": list(models),
        **more,
    }


def gateway_config(*providers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """
    A small gateway in front of these providers.

    Its breakers count failures in a row only: tests that fail on purpose, one right after the other, reach
    half of the last ten seconds' calls at a pace that depends on the machine.
    """
    breaker = {"failure_rate": None, **more.pop("circuit_breaker", {})}
    usual = {"default_models": {}, "router": ONE_REPLICA}
    return {"llm_providers": list(providers), **usual, "circuit_breaker": breaker, **more}


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions

    folder = tempfile.mkdtemp(prefix="sekha-")  # short: sockets live in it
    port = free_port()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in CANARIES.items():
            environment.setenv(name, value)
        ray.init(
            address="local",
            num_cpus=CPUS,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            _temp_dir=folder,
            _node_ip_address=HOST,
        )
        try:
            serve.start(http_options=HTTPOptions(host=HOST, port=port))
            request.config.stash[CLUSTER] = started = Cluster(port, Path(folder))
            yield started
            del request.config.stash[CLUSTER]
            serve.shutdown()
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _gateways_end_with_their_module(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if (cluster := request.config.stash.get(CLUSTER, None)) is not None:
        cluster.end_module()


@pytest.fixture(scope="session")
def gateway(cluster: Cluster) -> Gateway:
    """`gateway(config)`: a gateway of that configuration, kept for the module."""
    return cluster.gateway_for


@pytest.fixture(scope="session")
def ollama_upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def openai_upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def local(cluster: Cluster, ollama_upstream: ScriptedUpstream) -> Api:
    """LOCAL: two environment variables and no file."""
    provider = {**LOCAL["llm_providers"][0], "base_url": ollama_upstream.url}
    environ = {
        "SEKHA__LLM_PROVIDERS": json.dumps([provider]),
        "SEKHA__DEFAULT_MODELS": json.dumps(LOCAL["default_models"]),
    }
    return cluster.gateway(load_settings(None, environ), "local", for_the_session=True)


@pytest.fixture(scope="session")
def hybrid(cluster: Cluster, ollama_upstream: ScriptedUpstream, openai_upstream: ScriptedUpstream) -> Api:
    """HYBRID: embeddings and small chats at Ollama, the rest at OpenAI."""
    at_home, in_the_cloud = HYBRID["llm_providers"]
    providers = [
        {**at_home, "base_url": ollama_upstream.url},
        {**in_the_cloud, "base_url": f"{openai_upstream.url}/v1"},
    ]
    settings = load_settings({**HYBRID, "llm_providers": providers}, {})
    return cluster.gateway(settings, "hybrid", for_the_session=True)


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a command under test: nothing of ours or Ray's but what is said here."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("SEKHA", "RAY_", "OPENAI", "ANTHROPIC"))}
    return {**kept, **more}
