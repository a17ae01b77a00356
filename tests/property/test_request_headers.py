"""
No header, however odd, is a failure of ours or of a provider, opens a door, or comes back broken.

Requests that would be answered have a few of their headers changed and go through the whole application, as
Serve hands them over, to providers that call an upstream over HTTP. `SEKHA_FUZZ_EXAMPLES` says how many are
tried; with many, `--timeout 0`.
"""

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from tests.support.asgi import OURS, Answered, Question, Running, Upstream

EXAMPLES = int(os.environ.get("SEKHA_FUZZ_EXAMPLES", "200"))

USER, ADMIN, READER = "sk-user-0123456789abcdef", "sk-admin-0123456789abcdef", "sk-reader-0123456789abcdef"
SECRET = "a secret of more than thirty-two bytes"
NOW = 1_000_000


# Tokens


def part(said: Any) -> str:
    raw = said if isinstance(said, bytes) else json.dumps(said).encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(header: Any, claims: Any, secret: str = SECRET, hashed: str = "sha256") -> str:
    """A token signed with this secret, whatever it says about how it is signed."""
    told = f"{part(header)}.{part(claims)}"
    return f"{told}.{part(hmac.digest(secret.encode(), told.encode(), hashed))}"


HS256 = {"alg": "HS256", "typ": "JWT"}
CLAIMS: dict[str, Any] = {"sub": "ann", "exp": NOW + 10**9, "role": "user", "tenant": "default"}
TOKEN = token(HS256, CLAIMS)
GOOD = (USER, ADMIN, TOKEN)  # what lets somebody call a model

ODD_JSON = st.sampled_from([
    None, True, -1, 0, 1e308, float("inf"), float("-inf"), float("nan"), -0.0, 10**400, "", "x", "\ud800",
    "\0", "none", "HS384", "RS256", "config:admin-key-1", "../../etc/passwd", "a" * 5000, [], ["a"], {},
    {"a": 1}, "http://127.0.0.1:1/jwks",
])  # fmt: skip
IN_HEADER = st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jku", "x5u", "jwk", "cty", "zip", "enc"])
IN_CLAIMS = st.sampled_from(["exp", "nbf", "iat", "sub", "role", "tenant", "sekha_key", "aud", "iss", "jti"])


@st.composite
def tokens(draw: st.DrawFn) -> str:
    """A token that was good before something in it was changed; it may be good still."""
    header = {**HS256, **draw(st.dictionaries(IN_HEADER, ODD_JSON, max_size=2))}
    claims = {**CLAIMS, **draw(st.dictionaries(IN_CLAIMS, ODD_JSON, max_size=2))}
    made = draw(st.sampled_from([
        token(header, claims), token(header, claims, "another secret of thirty-two bytes"),
        token(header, claims, hashed="sha512"), token([header], claims), token(header, [claims]),
        token(b"\xff{", claims), token(header, b'{"exp":1e309,"sub":"a"}'), token(b"[" * 3000, claims),
        token(HS256, {**CLAIMS, "exp": 1}), f"{part({'alg': 'none'})}.{part(CLAIMS)}.", "..", "a.b.c",
        "\u00ff.\u00ff.\u00ff", f"{TOKEN}.{TOKEN}", f"{TOKEN}=", TOKEN.replace(".", ". "), TOKEN,
    ]))  # fmt: skip
    at = draw(st.integers(0, len(made)))
    return made[:at] + draw(st.sampled_from(["", "", "", "A", ".", "=", "\xa0", "\n"])) + made[at:]


def is_signed(text: str) -> bool:
    """Whether something in a text is signed as the gateway's own identity provider signs."""
    for told, signature in re.findall(r"(?=([\w-]+\.[\w-]+)\.([\w-]{43}))", text):
        right = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), told.encode(), hashlib.sha256))
        if signature[:42] == right.decode()[:42]:
            return True
    return False


# Headers

ODD = st.sampled_from([
    b"", b" ", b"\0", b"\xff", b"\xa0", b"a\0b", b"a\r\nset-cookie: x=1", b"a\nb", b"\x7f", b"x" * 100_000,
    "\u0661\u0662".encode(), "\uff11".encode(), b"\xb2", b"null", b"*", b"{}", b"%00", b"1, 1", b"\t1",
    b"'\"<>",
]) | st.binary(max_size=20)  # fmt: skip
NUMBERS = st.sampled_from([
    b"5", b"0.5", b"0.001", b"1e-9", b"1e309", b"-1e309", b"nan", b"NaN", b"inf", b"-0", b"0", b"-1",
    b"1_000", b"0x10", b"1e-320", b"1e300", b"+7", b" 7 ", b"7s", b"\xbd", b"9" * 400, b"1" * 5000, b"1,5",
    b"1e3", b".5", b"5.",
])  # fmt: skip


def shaken(valid: bytes) -> st.SearchStrategy[bytes]:
    """A valid value with one thing put before, into or behind it, or in another case."""
    odd = st.sampled_from(
        [b" ", b"\t", b",", b", ", b"\0", b"\r\n", b"\xa0", b"x", b"\xff", b"\x85", b";", b'"']
    )
    put = st.builds(lambda at, what: valid[:at] + what + valid[at:], st.integers(0, len(valid)), odd)
    return put | st.sampled_from([
        valid, valid, valid.upper(), valid.swapcase(), valid + b", " + valid, valid * 2, valid[:-1],
        valid[::-1],
    ])  # fmt: skip


def credentials() -> st.SearchStrategy[tuple[bytes, bytes]]:
    """A key or token, good or not, under a scheme, good or not."""
    keys = st.sampled_from([USER, ADMIN, READER, TOKEN, USER[:-1], USER + "x", "sk-sekha-ab-cd", "nobody"])
    schemes = st.sampled_from([
        b"Bearer ", b"Bearer ", b"bearer ", b"BEARER  ", b"Bearer", b"Bearer\t", b"Bearer\xa0",
        b"Bearer \xa0", b"Basic ", b"Bearer Bearer ", b"Bearer,", b"Bearer: ", b" Bearer ", b"Token ", b"",
        b"Bearer \x85",
    ])  # fmt: skip
    bearers = st.builds(lambda scheme, key: scheme + key.encode("latin-1"), schemes, keys | tokens())
    return (
        st.tuples(st.just(b"authorization"), bearers | bearers.flatmap(shaken))
        | st.tuples(st.just(b"x-api-key"), (keys | tokens()).map(lambda key: key.encode("latin-1")))
        | st.tuples(st.just(b"x-api-key"), keys.map(str.encode).flatmap(shaken))
        | st.tuples(st.sampled_from([b"authorization", b"x-api-key"]), ODD)
    )


VALID: dict[bytes, st.SearchStrategy[bytes]] = {
    b"host": st.sampled_from([b"localhost", b"127.0.0.1:5001", b"[::1]:1", b"gateway.example"]),
    b"origin": st.sampled_from([b"http://localhost:3000", b"https://[::1]", b"https://app.example"]),
    b"x-request-id": st.sampled_from([b"abc-1", b"a b", b"a ", b"~" * 128]),
    b"x-sekha-timeout": NUMBERS,
    b"x-sekha-on-stream-failure": st.sampled_from([b"error", b"resume", b"hold"]),
    b"content-type": st.sampled_from([b"text/plain; charset=utf-16", b"multipart/form-data"]),
    b"content-encoding": st.sampled_from([b"gzip", b"identity", b"x-gzip", b"zstd", b"br", b"gzip, gzip"]),
    b"content-length": NUMBERS,
    b"accept": st.sampled_from([b"*/*", b"text/event-stream", b"application/json;q=nan"]),
    b"accept-encoding": st.sampled_from([b"gzip", b"br;q=1e309", b"*;q=0"]),
    b"expect": st.sampled_from([b"100-continue", b"200-maybe"]),
    b"if-match": st.sampled_from([b"*", b'"0"', b'W/"1"', b'"99999999999999999999"']),
    b"access-control-request-method": st.sampled_from([b"POST", b"DELETE"]),
    b"access-control-request-headers": st.sampled_from([b"authorization, x-api-key", b"content-type"]),
    b"idempotency-key": st.sampled_from([b"1", b"a" * 300]),
    b"traceparent": st.sampled_from([b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    b"cookie": st.sampled_from([b"a=b", b"\xff=\xff; =;"]),
    b"range": st.sampled_from([b"bytes=0-1", b"bytes=-1e309"]),
    b"transfer-encoding": st.sampled_from([b"chunked", b"identity"]),
    b"x-forwarded-for": st.sampled_from([b"127.0.0.1", b"evil"]),
    b"x-forwarded-host": st.sampled_from([b"localhost", b"evil"]),
    b"forwarded": st.sampled_from([b"for=127.0.0.1;host=localhost"]),
    b"x-session-id": st.sampled_from([b"1"]),
    b"x-sekha-provider": st.sampled_from([b"second"]),
    b"openai-organization": st.sampled_from([b"org-1"]),
}  # fmt: skip
NAMES = st.sampled_from([*VALID, *[b"host", b"origin", b"x-request-id", b"x-sekha-timeout"] * 3])
HEADERS = (
    credentials()
    | credentials()
    | NAMES.flatmap(
        lambda name: st.tuples(st.just(name), VALID[name] | VALID[name].flatmap(shaken) | NUMBERS | ODD)
    )
)

CHAT = {"model": "first/first-chat", "messages": [{"role": "user", "content": "hi"}]}
EMBED = {"model": "first-embed", "input": "hi"}
ASKED: list[tuple[str, str, Any]] = [
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
    ("POST", "/api/v1/chat/completions", CHAT),
    ("POST", "/v1/embeddings", EMBED),
]
ELSEWHERE: list[tuple[str, str, Any]] = [
    ("GET", "/v1/models", None), ("GET", "/v1/models/first-chat", None), ("HEAD", "/health", None),
    ("POST", "/api/v1/route", {"task": "chat_smart"}), ("GET", "/api/v1/health/providers", None),
    ("GET", "/metrics", None), ("GET", "/api/admin/limits", None), ("GET", "/api/admin/keys", None),
    ("POST", "/api/admin/budget", {"budget_limit": 10}), ("PUT", "/api/admin/tenants/a", {}),
    ("OPTIONS", "/v1/chat/completions", None), ("DELETE", "/v1/embeddings", None),
    ("POST", "/v1/messages", CHAT),
]  # fmt: skip


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """A request that would be answered, before a few of its headers were changed."""
    method, path, told = draw(st.sampled_from(ASKED) | st.sampled_from(ASKED + ELSEWHERE))
    body = b"" if told is None else orjson.dumps(told)
    key = draw(st.sampled_from([USER, ADMIN, TOKEN])).encode()
    shown = draw(st.sampled_from([(b"authorization", b"Bearer " + key), (b"x-api-key", key)]))
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), shown]
    if body and draw(st.booleans()):
        body = gzip.compress(body, mtime=0)
        headers.append((b"content-encoding", b"gzip"))
    for name, value in draw(st.lists(HEADERS, max_size=3)):
        kept = headers if draw(st.booleans()) else [pair for pair in headers if pair[0] != name]
        kept = [pair for pair in kept if pair[0] != shown[0]] if not draw(st.integers(0, 9)) else kept
        at = draw(st.integers(0, len(kept)))
        headers = [*kept[:at], (name, value), *kept[at:]]
    return Question(method, path, headers, body)


# What holds, for gateways of every kind


class Gateways:
    """Gateways of every kind, in an event loop of their own."""

    def __init__(self, jwks: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.reached: Counter[str] = Counter()
        self.upstream = Upstream()
        self.loop.run_until_complete(self.upstream.open())
        reader = {"key": READER, "role": "read"}
        keys = {
            "api_keys": [USER, reader], "admin_keys": [ADMIN], "jwt": {"secret": SECRET, "jwks": str(jwks)},
        }  # fmt: skip
        own = {"allowed_hosts": ["localhost", "gateway.example"], "cors_origins": ["https://app.example"]}
        made: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
            "keyless": ({}, {}), "keyed": (keys, {}), "keyed, with its own hosts": (keys, own),
            "keyless, for any page": ({}, {"cors_origins": ["*"], "allowed_hosts": ["*"]}),
        }  # fmt: skip
        self.all = {name: Running(self.upstream, *told) for name, told in made.items()}
        for running in self.all.values():
            self.loop.run_until_complete(running.open())

    def close(self) -> None:
        for running in self.all.values():
            self.loop.run_until_complete(running.close())
        self.loop.run_until_complete(self.upstream.close())
        self.loop.close()

    def asked(self, name: str, question: Question) -> tuple[Running, Answered]:
        running = self.all[name]
        answer = self.loop.run_until_complete(running.asked(question))
        self.reached[name] += bool(running.upstream.seen)
        self.reached["all"] += 1
        return running, answer


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    key = rsa.generate_private_key(65537, 2048)
    public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    path = tmp_path_factory.mktemp("jwks") / "jwks.json"
    path.write_text(json.dumps({"keys": [{**public, "kid": "one", "use": "sig"}]}))
    made = Gateways(path)
    yield made
    made.close()


LOOPBACK = re.compile(rb"[ \t]*(localhost|127\.0\.0\.1|\[::1\])(:\d*)?[ \t]*", re.IGNORECASE)
TOLD_NAME = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+", re.IGNORECASE)
TOLD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def check_answer(question: Question, answer: Answered) -> None:
    """It is whole, in one of the shapes, and could be sent over a wire."""
    told = dict(answer.headers)
    assert answer.is_whole
    for name, value in answer.headers:
        is_own = name == b"x-request-id" and answer.status == 400  # as Serve repeats it
        assert TOLD_NAME.fullmatch(name)
        assert is_own or TOLD_VALUE.fullmatch(value), (name, value)
    if answer.status < 400:
        return
    changes = question.method in ("POST", "PUT") and question.path.startswith("/api/admin/")
    assert answer.status < 500 or answer.status == 504 or (changes and b"the store is not" in answer.body), (
        answer.body
    )
    if question.method == "HEAD":
        assert answer.body == b""
        return
    assert told[b"content-type"] == b"application/json"
    said = orjson.loads(answer.body)
    if question.path.startswith("/v1/messages"):
        assert said["type"] == "error"
        assert said["error"]["type"]
        assert said["error"]["message"]
        return
    assert said["detail"]
    if "/v1/chat" in question.path or question.path.startswith("/v1/"):
        assert said["error"]["code"]
        assert said["error"]["message"]
    if question.path.startswith("/api/admin/"):
        assert said["code"]
        assert said["message"]
    if answer.status == 504:
        assert question.all(b"x-sekha-timeout"), answer.body


def check_upstream(running: Running, question: Question) -> None:
    """The upstream knows the gateway's key, and nothing of the caller's but the request's id and the body."""
    for headers, body in running.upstream.seen:
        assert headers["authorization"] == f"Bearer {OURS}"
        assert {name.lower() for name in headers} <= {
            "host", "authorization", "content-type", "content-length", "accept", "accept-encoding",
            "user-agent", "x-request-id",
        }  # fmt: skip
        assert json.loads(body)["messages" if "messages" in json.loads(body) else "input"]
        sent = (
            repr({name: value for name, value in headers.items() if name.lower() != "x-request-id"}).encode()
            + body
        )
        assert not any(key.encode() in sent for key in (*GOOD, READER, ADMIN))


def check_id(running: Running, answer: Answered) -> None:
    """The id in the answer is the one in the log, and at the upstream, and can be printed."""
    told = [value.decode("latin-1") for name, value in answer.headers if name == b"x-request-id"]
    logged = [e.request_id for e in running.harness.events if hasattr(e, "request_id")]
    known = logged + [headers["x-request-id"] for headers, _ in running.upstream.seen]
    assert known == told[:1] * len(known)
    if answer.status == 200 or known:
        assert len(told) == 1
        assert re.fullmatch(r"[ -~]{1,128}", told[0])


def may_be_let_in(question: Question) -> bool:
    """Whether a good key or token is anywhere in the two headers it belongs into, as it is written there."""
    bearer = re.compile(rb"bearer +\t* *(.*?)[ \t]*", re.IGNORECASE | re.DOTALL)
    shown = [m[1] for value in question.all(b"authorization") if (m := bearer.fullmatch(value))]
    shown += question.all(b"x-api-key")
    return any(value.decode("latin-1") in GOOD or is_signed(value.decode("latin-1")) for value in shown)


KINDS = ["keyed"] * 3 + ["keyless", "keyed, with its own hosts", "keyless, for any page"]


def test_no_header_is_a_failure_opens_a_door_or_comes_back_broken(gateways: Gateways) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(question=questions(), kind=st.sampled_from(KINDS))
    def holds(question: Question, kind: str) -> None:
        running, answer = gateways.asked(kind, question)

        check_answer(question, answer)
        check_upstream(running, question)
        check_id(running, answer)
        if running.upstream.seen and kind.startswith("keyed"):
            assert may_be_let_in(question)
        if running.upstream.seen and kind == "keyless":
            assert all(map(LOOPBACK.fullmatch, question.all(b"host")))
        assert [running.harness.control.breakers.of(name).failure_count for name in ("first", "second")] == [
            0,
            0,
        ]

    holds()

    assert all(gateways.reached[kind] for kind in KINDS), gateways.reached
    assert sum(gateways.reached[kind] for kind in set(KINDS)) > gateways.reached["all"] / 5, gateways.reached
