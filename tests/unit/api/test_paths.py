"""Every method at every path has an honest answer."""

import logging
from typing import Any

import httpx
import pytest

from serve_app.api.app import build_api
from serve_app.api.unknown_path import hint_for
from serve_app.events import HttpAnswered
from serve_app.observability.metrics import exposition
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.keyrings import keyring
from tests.support.settings import two_providers
from tests.unit.api.test_security import app_for, routes_of

pytestmark = pytest.mark.anyio

APP: Any = app_for(keyring())
TAKEN = sorted(set(routes_of(APP)))
PATHS = sorted({path for _, path in TAKEN if "{" not in path})
READ = sorted({path for method, path in TAKEN if method == "GET" and "{" not in path})


async def asked(method: str, path: str, app: Any = APP, **headers: str | bytes) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize("path", READ)
async def test_head_is_answered_as_get_is_without_a_body(path: str) -> None:
    whole, head = await asked("GET", path), await asked("HEAD", path)

    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


async def test_head_is_counted_under_the_route_that_answered_it() -> None:
    harness = Harness(two_providers(), {name: ListedProvider() for name in ("first", "second")}, FakeClock())
    app = build_api(harness.running, keyring(), exposition)

    await asked("HEAD", "/v1/models/nobody/has-it", app)

    assert harness.events == [HttpAnswered("HEAD", "/v1/models/{name:path}", 404)]


@pytest.mark.parametrize("path", PATHS)
async def test_a_method_that_a_path_does_not_take_is_told_all_that_it_takes(path: str) -> None:
    taken = {method for method, of in TAKEN if of == path}
    expected = taken | ({"HEAD"} if "GET" in taken else set())

    answer = await asked("TRACE", path)

    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == expected


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/health"])
async def test_the_usual_probes_are_answered(path: str) -> None:
    assert (await asked("GET", path)).status_code == 200


async def test_a_gateway_that_knows_no_state_of_the_control_plane_is_not_ready() -> None:
    assert (await asked("GET", "/readyz", app_for(keyring()))).status_code == 503


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/messages/batches", "batches"),
        ("/api/v1/messages", "/v1"),
        ("/v1/responses/resp_1/steer", "Responses"),
        ("/responses", "/v1"),
        ("/completions", "/v1"),
        ("/chat/completions", "/v1"),
        ("/v1/v1/chat/completions", "twice"),
        ("/api/chat", "Ollama"),
        ("/api/tags", "Ollama"),
        ("/v1beta/models/gemini-2.5-pro:generateContent", "Gemini"),
        ("/openai/deployments/gpt-4o/chat/completions", "Azure"),
        ("/v1/audio/voices", "not served"),
        ("/v1/images/variations", "dall-e-2"),
        ("/images/variations", "dall-e-2"),
        ("/images/edits", "/v1"),
    ],
)
async def test_a_known_clients_unknown_path_is_logged_and_told_what_to_change(
    path: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sekha.api"):
        answer = await asked("POST", path)

    assert answer.status_code == 404
    assert word in answer.text
    assert f"404 POST {path}" in caplog.text
    assert word in caplog.text


@pytest.mark.parametrize("body", [b"--x\r\n\x89PNG", b"{", b"x" * 3_000_000], ids=["form", "json", "large"])
async def test_a_known_clients_unknown_path_is_a_404_whatever_is_sent_there(body: bytes) -> None:
    transport = httpx.ASGITransport(APP, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/v1/images/variations", content=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")


async def test_an_unknown_path_is_logged_in_one_short_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="sekha.api"):
        await asked("GET", "/x%0a%1b[31m" + "y" * 1000 + "?key=secret")

    [line] = [record.getMessage() for record in caplog.records if record.name == "sekha.api"]
    assert line.isprintable()
    assert len(line) < 250
    assert "secret" not in line


@pytest.mark.parametrize("path", sorted({path for _, path in TAKEN}))
def test_no_path_that_is_served_has_a_hint(path: str) -> None:
    if path not in {"/v1/models", "/v1/embeddings", "/v1/chat/completions"}:
        assert hint_for(path) is None


@pytest.mark.parametrize("given", ["x" * 129, "caf\xe9", "\xff", "tab\there", "", " ", "a ", " a"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/chat/completions"), ("GET", "/health")])
async def test_a_request_id_that_could_not_be_logged_is_refused(method: str, path: str, given: str) -> None:
    answer = await asked(method, path, **{"x-request-id": given.encode("latin-1")})

    assert answer.status_code == 400
    assert "x-request-id" in answer.text
