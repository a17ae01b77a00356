"""
Every way in leads to the same gateway: `sekha serve`, `serve run`, `serve deploy`, a handle, no cluster.

Commands run as a user would run them, each in a process group of its own.
"""

import json
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.api import Api, eventually, frames_of, streamed_text, text_of
from tests.support.commands import Command, run
from tests.support.serving import HOST, child_environment, free_port, gateway_config, inline
from tests.support.upstream import ScriptedUpstream
from tests.support.ways import assert_leaving_ends_the_stream, assert_request_id_comes_back_once

ANSWER = "Hello from gpt-4o: which way?"
SHIPPED = Path(__file__).parents[2] / "configs" / "serve.yaml"
STOPS_WITHIN_S = 15


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def config(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file: one provider, in a deployment of its own."""
    model = {"model_id": "gpt-4o", "task": "chat_smart"}
    provider = inline("openai_cloud", upstream.url, model, transport="handle")
    file = tmp_path_factory.mktemp("config") / "gateway.yaml"
    file.write_text(yaml.safe_dump(gateway_config(provider)))
    return file


def ask(api: Api) -> str:
    answer = api.chat("which way?", model="gpt-4o")
    assert answer.status_code == 200, answer.text
    return text_of(answer)


# --- sekha serve --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sekha_serve(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Command, Api]]:
    """The command, ready, with Serve's production switches on."""
    port = free_port()
    command = ["sekha", "serve", "--config", str(config), "--port", str(port)]
    output = tmp_path_factory.mktemp("serve") / "output"
    with Command(command, child_environment(), output) as running:
        running.says("is ready")
        yield running, Api(f"http://{HOST}:{port}")


def test_sekha_serve_answers(sekha_serve: tuple[Command, Api]) -> None:
    _, api = sekha_serve

    assert ask(api) == ANSWER
    stream = api.chat("which way?", stream=True)
    assert streamed_text(stream) == ANSWER
    assert frames_of(stream)[-1] == "[DONE]"


def test_sekha_serve_repeats_the_request_id_once(sekha_serve: tuple[Command, Api]) -> None:
    _, api = sekha_serve

    assert_request_id_comes_back_once(api)


def test_sekha_serve_ends_the_stream_of_a_caller_who_left(
    sekha_serve: tuple[Command, Api], upstream: ScriptedUpstream
) -> None:
    _, api = sekha_serve

    assert_leaving_ends_the_stream(api, upstream)


def test_sekha_serve_lets_a_stream_finish_and_ends_in_peace_when_told_to(
    sekha_serve: tuple[Command, Api],
) -> None:
    running, api = sekha_serve
    slowly = {"role": "user", "content": '[[{"chunk_delay_s": 0.1, "chunks": 40}]]'}
    body = {"model": "gpt-4o", "stream": True, "messages": [slowly]}

    with httpx.stream("POST", f"{api.url}/v1/chat/completions", json=body, timeout=30) as stream:
        chunks = stream.iter_raw()
        received = next(chunks)
        running.tell(signal.SIGTERM)
        received += b"".join(chunks)

    assert received.endswith(b"data: [DONE]\n\n")
    assert running.ends(within_s=STOPS_WITHIN_S) == 0
    assert "graceful_shutdown failed" not in running.output
    with pytest.raises(httpx.ConnectError):
        api.get("/health")


def test_sekha_serve_refuses_a_port_that_is_taken(config: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = str(other.getsockname()[1])

        ended = run("sekha", "serve", "--config", str(config), "--port", port, env=child_environment())

    assert ended.returncode != 0
    assert port in ended.stderr


def test_sekha_serve_refuses_a_configuration_that_makes_no_sense(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("llm_providers: [{id: a, type: openai, modles: []}]\ndefault_models: {}\n")

    ended = run("sekha", "serve", "--config", str(wrong), env=child_environment())

    assert ended.returncode != 0
    assert "modles" in ended.stderr


def test_sekha_serve_refuses_to_face_the_world_without_keys(config: Path) -> None:
    command = ("sekha", "serve", "--config", str(config), "--host", "0.0.0.0", "--port", str(free_port()))

    ended = run(*command, env=child_environment())

    assert ended.returncode != 0
    assert "no caller keys" in ended.stderr


# --- a cluster that is already running ----------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """A Ray cluster of one node. Whoever serves there first, serves on `port`."""

    address: str
    dashboard: str
    port: int
    env: dict[str, str]


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    folder = tempfile.mkdtemp(prefix="sekha-")  # short: sockets live in it
    gcs, dashboard = free_port(), free_port()
    env = child_environment(
        RAY_ADDRESS=f"{HOST}:{gcs}",
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN=secrets.token_hex(32),
        RAY_USAGE_STATS_ENABLED="0",
    )
    command = ["ray", "start", "--head", "--block", f"--port={gcs}", f"--node-ip-address={HOST}"]
    ports = (
        f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={free_port()}",
        f"--ray-client-server-port={free_port()}",
    )
    command += [*ports, f"--dashboard-host={HOST}", "--num-cpus=4", f"--temp-dir={folder}"]
    starting = {name: value for name, value in env.items() if name != "RAY_ADDRESS"}
    try:
        with Command(command, starting, Path(folder) / "output", patience_s=2) as running:
            running.says("Ray runtime started")
            yield Head(f"{HOST}:{gcs}", f"http://{HOST}:{dashboard}", free_port(), env)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def deployed(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Api:
    """The shipped Serve config file, on another port."""
    shipped = yaml.safe_load(SHIPPED.read_text())
    shipped["http_options"]["port"] = head.port
    copy = tmp_path_factory.mktemp("deploy") / "serve.yaml"
    copy.write_text(yaml.safe_dump(shipped))

    ended = run("serve", "deploy", str(copy), "--address", head.dashboard, env=head.env)

    assert ended.returncode == 0, ended.stderr
    api = Api(f"http://{HOST}:{head.port}")
    eventually(lambda: answers(api), within_s=120, every_s=0.5)
    return api


def answers(api: Api) -> bool:
    try:
        return api.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_serve_deploy_brings_up_the_shipped_file(deployed: Api) -> None:
    whole, stream = deployed.chat("which way?"), deployed.chat("which way?", stream=True)

    assert whole.headers["x-sekha-model"] == "sim-smart"
    assert streamed_text(stream) == text_of(whole)


def test_a_handle_from_another_job_gets_the_same_answer(deployed: Api, head: Head) -> None:
    script = (
        "import json\n"
        "from serve_app.clients.gateway import GatewayClient\n"
        "print('ANSWER', json.dumps(GatewayClient().chat_sync('which way?')['choices']))\n"
    )

    ended = run(sys.executable, "-c", script, env=head.env)

    assert ended.returncode == 0, ended.stderr
    answer = ended.stdout.rpartition("ANSWER")[2]
    assert json.loads(answer) == deployed.chat("which way?").json()["choices"]


def test_serve_run_answers_under_its_prefix(head: Head, config: Path, tmp_path: Path) -> None:
    started = run("serve", "start", "--http-host", HOST, "--http-port", str(head.port), env=head.env)
    assert started.returncode == 0, started.stderr
    command = ["serve", "run", "--name", "mine", "--route-prefix", "/mine"]
    command += ["serve_app.app:build", f"config={config}"]

    with Command(command, head.env, tmp_path / "output") as running:
        api = Api(f"http://{HOST}:{head.port}/mine")
        eventually(lambda: answers(api), within_s=120, every_s=0.5)

        assert ask(api) == ANSWER
        assert running.stop(signal.SIGINT, within_s=60) == 0


def test_an_application_on_a_cluster_without_a_token_says_so() -> None:
    script = (
        "import ray, sys\n"
        "from serve_app.app import BuildArgs, build\n"
        "ray.init(address='local', num_cpus=1, include_dashboard=False, log_to_driver=False)\n"
        "build(BuildArgs(config=sys.argv[1]))\n"
    )
    demo = str(SHIPPED.with_name("demo.yaml"))

    warned = run(sys.executable, "-c", script, demo, env=child_environment(RAY_AUTH_MODE="disabled"))

    assert warned.returncode == 0, warned.stderr
    assert "requires no token" in warned.stderr


# --- without a cluster --------------------------------------------------------------------------------


def test_the_graph_runs_in_a_tests_own_process(config: Path) -> None:
    script = (
        "import json, sys\n"
        "from ray import serve\n"
        "from serve_app.app import BuildArgs, build\n"
        "handle = serve.run(build(BuildArgs(config=sys.argv[1])), _local_testing_mode=True)\n"
        "body = {'model': 'gpt-4o', 'messages': [{'role': 'user', 'content': 'which way?'}]}\n"
        "answer = handle.chat.remote(json.dumps(body).encode(), 'a-request').result()\n"
        "print('ANSWER', answer.decode())\n"
    )

    ended = run(sys.executable, "-c", script, str(config), env=child_environment())

    assert ended.returncode == 0, ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout.rpartition("ANSWER")[2])
    assert answer["choices"][0]["message"]["content"] == ANSWER
