"""Who is measured: the gateway by each of its transports, and LiteLLM's proxy."""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import ROOT, WORK, DidNotStart, Family, Server, server
from tests.bench.wire import KEY, Address, chat_request

START_S = 120.0
PEER = "litellm[proxy]==1.106.2"
PEER_ENVIRONMENT = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
}

HANDLE, INLINE = "gpt-4o-mini", "gpt-4.1-mini"  # one gateway: the model says by which transport


@dataclass(frozen=True)
class Subject:
    """One column of the table; callers show this key."""

    name: str
    url: str
    model: str
    family: Family
    start_s: float | None = None
    key: str | None = KEY


@dataclass(frozen=True)
class Kind:
    """A server that can be started, and the subjects it stands for; those who are `keyless` show no key."""

    name: str
    models: Mapping[str, str]  # subject -> the model that its requests name
    health: str
    command: Callable[[str, int], Sequence[str]]  # given the upstream's URL and a free port
    environment: Mapping[str, str]
    keyless: frozenset[str] = frozenset()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_config(name: str, content: object) -> Path:
    """JSON is YAML, too."""
    WORK.mkdir(exist_ok=True)
    path = WORK / name
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


# Everything that holds a caller back, and holds back nobody here: what is measured is the looking.
GOVERNED = {
    "auth": {"api_keys": [{"key": KEY, "id": "bench", "tenant": "bench"}]},
    "tenants": [
        {
            "id": "bench",
            "budgets": [
                {"limit": 1e6},
                {"limit": 1e5, "window": "day"},
                {"limit": 1e7, "window": "total"},
            ],
            "rates": {
                "requests_per_minute": 10**7,
                "tokens_per_minute": 10**10,
                "concurrent_requests": 10**4,
            },
        }
    ],
}


def governed_command(upstream: str, port: int) -> Sequence[str]:
    """For those with a key a tenant, budgets, rates and a ledger; for those without, nothing of it."""
    _, *words = gateway_command(upstream, port, "governed", **GOVERNED)
    return [sys.executable, "-m", "tests.bench.unaccounted", *words]


def gateway_command(upstream: str, port: int, name: str = "sekha", **more: object) -> Sequence[str]:
    """One replica of each deployment: what is measured is the code, not how soon it has copies."""
    alone = {"min_replicas": 1, "max_replicas": 1}
    providers = [
        {
            "id": transport,
            "type": "openai",
            "base_url": f"{upstream}/v1",
            "api_key": "bench",
            "priority": 1,
            "transport": transport,
            "autoscaling": alone,
            "models": [
                {"model_id": model, "task": task, "context_window": 128_000}
                for task in ("chat_small", "chat_smart")
            ],
        }
        for transport, model in (("handle", HANDLE), ("inline", INLINE))
    ]
    config = {
        "version": "2.0",
        "host": "127.0.0.1",
        "log_level": "WARNING",
        "llm_providers": providers,
        "default_models": {"chat_fast": HANDLE, "chat_smart": HANDLE},
        "router": {"autoscaling": alone},
        "storage": {"folder": str(WORK / "state" / name)},
        **more,
    }
    sekha, file = Path(sys.executable).with_name("sekha"), write_config(f"{name}.yaml", config)
    return [str(sekha), "serve", "--config", str(file), "--port", str(port)]


def peer_command(upstream: str, port: int) -> Sequence[str]:
    """LiteLLM's proxy as small as it gets: one worker, no database, no callbacks, no key."""
    served = {"model": f"openai/{HANDLE}", "api_base": f"{upstream}/v1", "api_key": "bench"}
    config = {
        "model_list": [{"model_name": HANDLE, "litellm_params": served}],
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
    }
    quiet = {
        "version": 1,
        "disable_existing_loggers": False,
        "loggers": {"uvicorn.access": {"level": "ERROR"}},
    }
    files = [
        *("--config", str(write_config("litellm.yaml", config))),
        *("--log_config", str(write_config("litellm-logging.json", quiet))),
    ]
    return [str(install_peer()), *files, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]


def install_peer() -> Path:
    """In an environment of its own, once; the path of its program."""
    home = WORK / "litellm"
    installed = home / "installed"
    if not installed.exists() or installed.read_text() != PEER:
        print(f"installing {PEER} ...", file=sys.stderr)
        log = WORK / "litellm-install.log"
        WORK.mkdir(exist_ok=True)
        with log.open("wb") as output:
            for command in (
                [sys.executable, "-m", "venv", str(home)],
                [str(home / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", PEER],
            ):
                if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT).returncode:
                    raise DidNotStart(f"{PEER} could not be installed: see {log.relative_to(ROOT)}")
        installed.write_text(PEER)
    return home / "bin/litellm"


SEKHA = Kind("sekha", {"sekha": HANDLE, "sekha, inline": INLINE}, "/health", gateway_command, {})
GOVERNED_SEKHA = Kind(
    "governed",
    {
        "unaccounted": HANDLE,
        "governed": HANDLE,
        "unaccounted, inline": INLINE,
        "governed, inline": INLINE,
    },
    "/health",
    governed_command,
    {},
    keyless=frozenset({"unaccounted", "unaccounted, inline"}),
)
LITELLM = Kind("litellm", {"LiteLLM": HANDLE}, "/health/liveliness", peer_command, PEER_ENVIRONMENT)


def status_of(url: str, path: str = "", request: bytes = b"") -> int:
    """The status of a GET of `path`, or of a prepared request; 0 when nobody answers."""
    address = Address.of(url)
    try:
        with socket.create_connection((address.host, address.port), timeout=10) as connection:
            plain = f"GET {path} HTTP/1.1\r\nhost: {address.host}\r\nconnection: close\r\n\r\n".encode()
            connection.sendall(request or plain)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return response.status
    except (OSError, http.client.HTTPException):
        return 0


def wait_until_serving(kind: Kind, url: str, running: Server) -> None:
    """Until it says it is healthy and its first chat is answered."""
    first_chat = chat_request(url, next(iter(kind.models.values())))
    questions: dict[str, Callable[[], int]] = {
        kind.health: lambda: status_of(url, kind.health),
        "a chat": lambda: status_of(url, request=first_chat),
    }
    give_up = time.monotonic() + START_S
    for name, question in questions.items():
        while (status := question()) != 200:
            if running.process.poll() is not None:
                raise DidNotStart(f"it ended with {running.process.returncode}: {running.last_lines()}")
            if time.monotonic() > give_up:
                raise DidNotStart(f"{name} answered {status} for {START_S:.0f} s: {running.last_lines()}")
            time.sleep(0.05)


@contextlib.contextmanager
def started(kind: Kind, upstream: str) -> Iterator[list[Subject]]:
    """Run a server of this kind; the subjects it stands for."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = kind.command(upstream, port)
    exec_at = time.monotonic()
    with server(kind.name, command, kind.environment) as running:
        wait_until_serving(kind, url, running)
        start_s = time.monotonic() - exec_at
        yield [
            Subject(name, url, model, running.family, start_s, None if name in kind.keyless else KEY)
            for name, model in kind.models.items()
        ]
