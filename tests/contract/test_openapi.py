"""The gateway does what its OpenAPI document says, for whatever requests the document allows or forbids."""

import asyncio
import os
import re
import socket
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import schemathesis.generation.body_overrides
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from serve_app.config.model import ModelTask
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer, Call, Health, HealthStatus, StreamEnd, StreamHead, StreamItem
from serve_app.providers.catalogue.wire_format import WireFormat
from tests.support import operators
from tests.support.keyrings import keyring
from tests.support.operators import ADMIN
from tests.support.settings import two_providers
from tests.unit.api.test_security import app_for

# Imported here: schemathesis would do it at the first body, beside the gateway's thread, where CPython 3.11's
# compiler can fail ("AST constructor recursion depth mismatch").
assert schemathesis.generation.body_overrides

EXAMPLES = int(os.environ.get("SEKHA_FUZZ_EXAMPLES", "5"))
CHUNK = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
TASK_ANSWERS = {
    WireFormat.RERANK: b'{"results":[{"index":0,"relevance_score":0.5}]}',
    WireFormat.OPENAI_TRANSCRIPTION: b'{"text":"hi"}',
    WireFormat.OPENAI_TRANSLATION: b'{"text":"hi"}',
    WireFormat.OPENAI_MODERATIONS: b'{"results":[{"flagged":false}]}',
    WireFormat.OPENAI_IMAGE_EDITS: b'{"data":[{"url":"https://example.org/1.png"}]}',
    WireFormat.OPENAI_IMAGES: b'{"data":[{"url":"https://example.org/1.png"}]}',
}
MODEL = {"supports_vision": True, "supports_audio": True}


class Answering:
    """A provider that answers whatever it is asked."""

    async def chat(self, call: Call) -> Answer:
        said = b'[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]'
        return Answer(b'{"id":"1","object":"chat.completion","choices":%b}' % said, Usage(10, 5), 0.1)

    async def embed(self, call: Call) -> Answer:
        return Answer(b'{"object":"list","data":[{"index":0,"embedding":[0.5]}]}', Usage(10), 0.1)

    async def perform(self, call: Call) -> Answer:
        return Answer(TASK_ANSWERS[call.format], Usage(10), 0.1)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        yield StreamHead(0.1)
        yield CHUNK
        yield StreamEnd(Usage(10, 5), 0.2, 2)

    async def health(self) -> Health:
        return Health(HealthStatus.HEALTHY, 0.0, None, (), 0.0)

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway over real HTTP, with its ledger and a budget, and operators who may do a lot in an hour."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(lambda scope: None, log_level="warning", lifespan="off"))
    folder = tmp_path_factory.mktemp("openapi")

    async def serve() -> None:
        configured = two_providers(
            {
                "models": [{**MODEL, "model_id": f"m-{task}", "task": task} for task in ModelTask],
                "type": "vllm",
                "base_url": "http://localhost:9/v1",
                "formats": ["openai_chat", "openai_completions", "openai_embeddings"],
            },
            default_models={},
            auth={"admin_keys": [ADMIN], "api_keys": ["a key of a user"], "jwt": {"secret": "s" * 40}},
            tenants=[{"id": "acme", "budgets": {"limit": 7}}],
            budgets=[{"limit": 1e6}],
            admin={"changes_per_hour": 10_000, "requests_per_hour": 100_000, "switches_per_hour": 1000},
        )
        providers = {name: Answering() for name in ("first", "second")}
        async with operators.office(Path(folder), configured, providers) as office:
            server.config.app = office.app()
            await server.serve([listening])

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    host, port = listening.getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    thread.join(30)
    listening.close()


DOCUMENT: dict[str, Any] = app_for(keyring("a user's key"))._rest._app.openapi()  # type: ignore[attr-defined]
# The admin's key goes with every request: made-up ones are 401, and whoever shows many has to wait.
CONFIG = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
OPERATIONS = [
    found.ok() for found in schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG).get_all_operations()
]


def may_be_wrong(operation: Any) -> bool:
    """Whether the document forbids any request: a part of a path that is just a text cannot be wrong."""
    return bool(operation.body) or any(
        parameter.location != "path" or parameter.definition["schema"].keys() - {"type", "title"}
        for parameter in operation.iter_parameters()
    )


CASES = [
    pytest.param(operation, mode, id=f"{operation.label}-{mode.value}")
    for operation in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or may_be_wrong(operation)
]
# Whose bodies name models, providers, tenants, addresses, sums or moments that the document does not know.
NAMING = {
    ("POST", "/api/admin/keys"),
    ("PATCH", "/api/admin/keys/{id}"),
    ("PUT", "/api/admin/tenants/{id}"),
    ("PATCH", "/api/admin/tenants/{id}"),
    ("POST", "/api/admin/backend/vllm/endpoint"),
    ("POST", "/api/admin/ledger/corrections"),
}


def is_undocumented(case: Any, answer: Any) -> bool:
    """Whether a refusal is about a field that the document leaves open and the gateway reads."""
    body = DOCUMENT["paths"][case.operation.path][case.method.lower()].get("requestBody", {"content": {}})
    schema = body["content"].get("application/json", {}).get("schema", {})
    error = answer.json().get("error") if answer.status_code in (400, 422) else None
    param = error.get("param") if isinstance(error, dict) else None
    return isinstance(param, str) and re.split(r"[.\[]", param)[0] not in schema.get("properties", {param: 0})


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_every_answer_is_as_documented(operation: Any, mode: GenerationMode, address: str) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        answer = case.call(base_url=address, headers={"Authorization": f"Bearer {ADMIN}"})
        unchecked = [ignored_auth]  # which guesses at keys, too; `test_security.py` asks every route without
        is_unknown = "o provider '" in answer.text or is_undocumented(case, answer)
        if answer.status_code == 412 or is_unknown or (case.method.upper(), case.operation.path) in NAMING:
            unchecked.append(positive_data_acceptance)
        if case.media_type == "multipart/form-data":  # where every value is text, and any text is a file
            unchecked += [positive_data_acceptance, negative_data_rejection]
        if answer.status_code == 503 and answer.text.startswith('{"detail":"No providers available'):
            unchecked.append(not_a_server_error)  # nothing configured can do what was asked
        case.validate_response(answer, excluded_checks=unchecked)

    check()
