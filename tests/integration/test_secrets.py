"""
Keys stay where they belong (contract 2.1, case 62; architecture D11).

Canary keys go to three kinds of provider, whose upstream repeats whatever key it is shown, as some do when
they refuse it. Then every answer, the metrics and every log file of the session are searched.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from serve_app.config.load import load_settings
from tests.support.api import Api, eventually
from tests.support.serving import CANARIES, HOST, Cluster, gateway_config, inline

BY_REFERENCE, CALLER = CANARIES["SEKHA_TEST_PROVIDER_KEY"], CANARIES["SEKHA_TEST_CALLER_KEY"]
LITERAL = "sk-canary-literal-0d9e8f7a6b"
SECRETS = (BY_REFERENCE, CALLER, LITERAL)


class Gossip(BaseHTTPRequestHandler):
    """Refuses every key and repeats it, in the answer's body and in a header."""

    heard: set[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        shown = self.headers.get("authorization", "").removeprefix("Bearer ") or self.headers["x-api-key"]
        self.heard.add(shown)
        error = {"type": "authentication_error", "message": f"Incorrect API key provided: {shown}."}
        body = json.dumps({"type": "error", "error": error}).encode()
        self.send_response(401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-echo", shown)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - the name is http.server's

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


@pytest.fixture(scope="module")
def gossip() -> Iterator[tuple[str, set[str]]]:
    """An upstream that repeats keys, and the keys it was shown."""
    handler = type("Handler", (Gossip,), {"heard": set()})
    server = ThreadingHTTPServer((HOST, 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://{HOST}:{server.server_port}", handler.heard
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def guarded(cluster: Cluster, gossip: tuple[str, set[str]]) -> Api:
    """A gateway with a caller key, and a provider of each kind whose key is refused."""
    url, _ = gossip
    handle = {"transport": "handle", "autoscaling": {"min_replicas": 1, "max_replicas": 1}}
    config = gateway_config(
        inline(
            "by_reference",
            url,
            {"model_id": "gpt-4o", "task": "chat_smart"},
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
        auth={"api_keys": ["${SEKHA_TEST_CALLER_KEY}"]},
        routing={"auto_fallback": False},
    )
    api = cluster.gateway(load_settings(config, {}), "guarded")
    return Api(api.url, key=CALLER)


def test_case_62_a_key_appears_in_no_answer(guarded: Api, gossip: tuple[str, set[str]]) -> None:
    answers = [
        *(guarded.chat(model=task) for task in ("chat_smart", "chat_small", "chat_large")),
        *(guarded.chat(model=task, stream=True) for task in ("chat_smart", "chat_small", "chat_large")),
        guarded.post("/v1/embeddings", {"input": "hi"}),
        guarded.chat(model="no-such-model"),
        guarded.post("/v1/chat/completions", {"messages": CALLER}),
        Api(guarded.url, key=f"{CALLER}x").chat(),
        Api(guarded.url).chat(),
        *(guarded.get(path) for path in ("/", "/health", "/metrics", "/openapi.json", "/v1/models")),
        *(guarded.get(f"/api/v1/{path}") for path in ("models", "health", "health/providers")),
        guarded.route("chat_smart"),
    ]

    _, heard = gossip
    assert heard == {BY_REFERENCE, LITERAL}  # the keys were used, so there was something to leak
    assert [answer.status_code for answer in answers[:7]] == [502] * 7
    assert [leak for answer in answers for leak in SECRETS if leak in everything_in(answer)] == []


def test_case_62_a_key_appears_in_no_log(guarded: Api, cluster: Cluster) -> None:
    for task in ("chat_smart", "chat_small", "chat_large"):
        guarded.chat(model=task, headers={"x-request-id": f"refused-{task}"})
    eventually(lambda: any(b"refused-chat_large" in text for text in cluster.written().values()))

    written = cluster.written()

    assert any(b"Incorrect API key provided: ***" in text for text in written.values())  # what was left of it
    assert [(path, leak) for path, text in written.items() for leak in SECRETS if leak.encode() in text] == []


def everything_in(answer: httpx.Response) -> str:
    return f"{answer.headers.multi_items()}\n{answer.text}"
