"""Who may reach a gateway by which name, and from which web page."""

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.api.app import build_api
from serve_app.api.auth import Keyring
from serve_app.api.origins import Origins, is_loopback
from serve_app.config.settings import RouterConfig
from serve_app.errors import Forbidden
from serve_app.observability.metrics import exposition
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from tests.support.clock import FakeClock
from tests.support.harness import Harness, ListedProvider
from tests.support.keyrings import keyring
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio

ANSWER = Answer(b'{"id":"1","object":"chat.completion"}', Usage(10, 5), 0.1)
HI = {"messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


def app_for(keys: Keyring, **router: Any) -> Any:
    harness = Harness(
        two_providers(router=router), {n: ListedProvider(ANSWER) for n in ("first", "second")}, FakeClock()
    )
    return build_api(harness.running, keys, exposition)


KEYLESS = app_for(keyring())
KEYED = app_for(keyring("right"))


@pytest.fixture
async def http() -> Any:
    """Send one request to an application, by default one without keys."""

    async def send(
        method: str = "POST", path: str = CHAT, app: Any = KEYLESS, **headers: str
    ) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, json=HI, headers=named)

    return send


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:5001", "127.0.0.1:5001", "127.9.9.9", "[::1]:5001", "app.localhost"]
)
async def test_a_gateway_without_keys_answers_under_the_names_of_loopback(http: Any, host: str) -> None:
    assert (await http(host=host)).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil", "evil:5001", "localhost.evil", "127.0.0.1.evil", "10.0.0.1", "0.0.0.0", "[::]",
        "[::ffff:8.8.8.8]", "169.254.169.254", "localhost:x", "localhost:80@evil", "[::1", "",
        "evil#localhost", "lo\xa0calhost", "\xa0localhost", "localhost\x85",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("GET", "/v1/models"), ("GET", "/")])
async def test_a_gateway_without_keys_answers_under_no_other_name(
    http: Any, host: str, method: str, path: str
) -> None:
    answer = await http(method, path, host=host.encode("latin-1"))

    assert answer.status_code == 403
    assert "host_not_allowed" in answer.text or "router.allowed_hosts" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez"])
async def test_a_probe_may_use_the_address_of_a_pod(http: Any, path: str) -> None:
    assert (await http("GET", path, host="10.1.2.3:8000")).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://localhost.evil", "null", "file://", "http://["]
)
async def test_a_page_from_elsewhere_cannot_use_a_gateway_without_keys(http: Any, origin: str) -> None:
    answer = await http(origin=origin, content_type="text/plain")

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "origin_not_allowed"
    assert "access-control-allow-origin" not in answer.headers


async def test_a_page_of_this_machine_may_use_and_read_a_gateway_without_keys(http: Any) -> None:
    answer = await http(origin="http://localhost:3000")

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert answer.headers["vary"] == "origin"
    assert "x-sekha-provider" in answer.headers["access-control-expose-headers"]


async def test_any_page_may_use_a_gateway_that_asks_for_keys(http: Any) -> None:
    answer = await http(app=KEYED, host="gateway.example", origin="https://app.example", x_api_key="right")

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_what_the_configuration_allows_is_allowed_and_nothing_else(http: Any) -> None:
    router = {"allowed_hosts": ["gateway.example"], "cors_origins": ["https://app.example"]}
    keyless, keyed = app_for(keyring(), **router), app_for(keyring("right"), **router)

    for app in (keyless, keyed):
        known = {"host": "gateway.example", "x_api_key": "right"}
        allowed = await http(app=app, **known, origin="https://app.example")
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert (await http(app=app, host="evil", x_api_key="right")).status_code == 403
    foreign = await http(app=keyless, **known, origin="https://evil.example")
    assert foreign.status_code == 403
    unread = await http(app=keyed, **known, origin="https://evil.example")
    assert "access-control-allow-origin" not in unread.headers


@pytest.mark.parametrize(
    "odd", ["http://localhost\r\nset-cookie: a=b", "\0http://localhost", "http://localhost\xff"]
)
@pytest.mark.parametrize("router", [{}, {"cors_origins": ["*"]}])
async def test_an_origin_that_no_browser_writes_is_not_sent_back(
    http: Any, odd: str, router: dict[str, Any]
) -> None:
    answer = await http(app=app_for(keyring(), **router), origin=odd.encode("latin-1"))

    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_a_preflight_sends_back_no_names_that_could_break_the_answers_head(http: Any) -> None:
    answer = await http(
        "OPTIONS", app=KEYED, origin="https://app.example", access_control_request_method="POST",
        access_control_request_headers="a\r\nset-cookie: a=b",
    )  # fmt: skip

    assert answer.status_code == 200
    assert "access-control-allow-headers" not in answer.headers


async def test_a_star_allows_every_host_and_page(http: Any) -> None:
    app = app_for(keyring(), allowed_hosts=["*"], cors_origins=["*"])

    assert (await http(app=app, host="anything", origin="https://anywhere.example")).status_code == 200


@pytest.mark.parametrize(("app", "allowed"), [(KEYED, True), (KEYLESS, False)])
async def test_a_preflight_is_answered_where_the_page_may_send(http: Any, app: Any, allowed: bool) -> None:
    answer = await http(
        "OPTIONS", app=app, origin="https://app.example", access_control_request_method="POST",
        access_control_request_headers="authorization, x-sekha-timeout",
    )  # fmt: skip

    assert answer.status_code == (200 if allowed else 403)
    assert ("access-control-allow-origin" in answer.headers) is allowed
    if allowed:
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == "authorization, x-sekha-timeout"


@given(host=st.text(max_size=40), origin=st.none() | st.text(max_size=40), needs_key=st.booleans())
def test_no_header_breaks_the_check(host: str, origin: str | None, needs_key: bool) -> None:
    headers = [(b"host", host.encode("utf-8", "replace"))]
    if origin is not None:
        headers.append((b"origin", origin.encode("utf-8", "replace")))
    scope = {"headers": headers, "method": "POST"}
    origins = Origins(RouterConfig())
    refusal = None
    try:
        origins.check(scope, "/v1/models", needs_key)
    except Forbidden as error:
        refusal = error
    origins.answer_headers(scope, needs_key)

    name = host.strip(" \t").lower().partition(":")[0]
    if refusal is None:
        assert needs_key or is_loopback(name) or host.strip(" \t").startswith("[")
    else:
        assert not needs_key
        assert refusal.message.isascii()
        assert refusal.message.isprintable()
