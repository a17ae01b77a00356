"""JSON Web Tokens: what makes one good, and the ways to make a bad one."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from serve_app.api.jwks import FETCH_AT_MOST_EVERY_S, FRESH_FOR_S, LARGEST, KeySet, keys_in, read_source
from serve_app.api.tokens import MOST_KEPT, Tokens
from serve_app.caller import Role
from serve_app.config.auth import JwtConfig
from serve_app.config.key import digest_of
from serve_app.errors import Forbidden, JwksUnavailable, Unauthenticated
from tests.support.clock import FakeClock
from tests.support.keyrings import SECRET

pytestmark = pytest.mark.anyio

NOW = 1_000_000.0
ANN = {"sub": "ann", "exp": NOW + 60, "role": "admin", "tenant": "a"}
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_fields(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
    fields = orjson.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**fields, "kid": kid, "use": "sig", "alg": "RS256"}


def jwks(*pairs: tuple[rsa.RSAPrivateKey, str]) -> bytes:
    return orjson.dumps({"keys": [public_fields(key, kid) for key, kid in pairs]})


class Provider:
    """An identity provider's server: what it says, whether it is there, how often it was asked."""

    def __init__(self, contents: bytes) -> None:
        self.contents = contents
        self.is_down = False
        self.asked = 0

    def read(self, source: str) -> bytes:
        self.asked += 1
        if self.is_down:
            raise ConnectionRefusedError
        return self.contents


class Desk:
    """Tokens as they are checked with a secret, with public keys, or with both."""

    def __init__(self, secret: str | None = SECRET, provider: Provider | None = None, **more: Any) -> None:
        self.clock = FakeClock(NOW)
        config = JwtConfig.model_validate({"secret": secret, "jwks": "https://idp.example/keys", **more})
        keys = KeySet("https://idp.example/keys", self.clock, provider.read) if provider else None
        self.tokens = Tokens(config, secret, keys, self.clock)

    async def claims(self, token: str) -> Any:
        return await self.tokens.claims(token, digest_of(token))


def rs256(claims: dict[str, Any], key: rsa.RSAPrivateKey = PRIVATE, kid: str | None = "one") -> str:
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid} if kid else None)


async def test_a_good_token_says_who_its_bearer_is() -> None:
    claims = await Desk().claims(jwt.encode(ANN, SECRET))

    assert (claims.name, claims.tenant, claims.role) == ("jwt:ann", "a", Role.ADMIN)


async def test_without_claims_of_its_own_it_is_a_user_of_the_default_tenant() -> None:
    claims = await Desk().claims(jwt.encode({"exp": NOW + 60}, SECRET))

    assert (claims.tenant, claims.role) == ("default", Role.USER)


async def test_the_claims_names_can_be_chosen() -> None:
    desk = Desk(role_claim="https://x/role", tenant_claim="org")

    claims = await desk.claims(jwt.encode({"exp": NOW + 60, "https://x/role": "read", "org": "b"}, SECRET))

    assert (claims.tenant, claims.role) == ("b", Role.READ)


@pytest.mark.parametrize("role", ["root", "ADMIN", ["admin"], {"admin": True}, 1, None])
async def test_a_role_that_there_is_not_gives_no_rights(role: Any) -> None:
    with pytest.raises(Forbidden):
        await Desk().claims(jwt.encode({**ANN, "role": role}, SECRET))


def unsigned(header: dict[str, Any], claims: dict[str, Any], key: bytes | None = None) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = f"{part(orjson.dumps(header))}.{part(orjson.dumps(claims))}"
    return f"{text}.{part(hmac.digest(key, text.encode(), 'sha256')) if key else ''}"


PUBLIC_PEM = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)

BAD: dict[str, Callable[[], str]] = {
    "signed with another secret": lambda: jwt.encode(ANN, SECRET + "!"),
    "signed with another key": lambda: rs256(ANN, OTHER),
    "signed with nothing": lambda: unsigned({"alg": "none"}, ANN),
    "signed with nothing, in capitals": lambda: unsigned({"alg": "None"}, ANN),
    "our public key taken for a secret": lambda: unsigned({"alg": "HS256", "kid": "one"}, ANN, PUBLIC_PEM),
    "our public key as JSON taken for a secret": lambda: unsigned(
        {"alg": "HS256", "kid": "one"}, ANN, orjson.dumps(public_fields(PRIVATE, "one"))
    ),
    "HS512 with our own secret": lambda: jwt.encode(ANN, SECRET * 2, algorithm="HS512"),
    "RS512 with the right key": lambda: jwt.encode(ANN, PRIVATE, algorithm="RS512", headers={"kid": "one"}),
    "a key that the token brings along": lambda: jwt.encode(
        ANN, OTHER, algorithm="RS256", headers={"jwk": public_fields(OTHER, "x"), "kid": "x"}
    ),
    "a place where the token says its key is": lambda: jwt.encode(
        ANN, OTHER, algorithm="RS256", headers={"jku": "https://evil.example/k", "x5u": "https://e.example"}
    ),
    "without an end": lambda: jwt.encode({"sub": "ann"}, SECRET),
    "with an end that is no time": lambda: jwt.encode({"sub": "ann", "exp": "tomorrow"}, SECRET),
    "with an end that never comes": lambda: unsigned({"alg": "HS256"}, {"exp": 1e300}, SECRET.encode()),
    "over": lambda: jwt.encode({**ANN, "exp": NOW - 11}, SECRET),
    "not begun": lambda: jwt.encode({**ANN, "nbf": NOW + 11}, SECRET),
    "changed after it was signed": lambda: jwt.encode(ANN, SECRET)[:-3] + "AAA",
    "too long": lambda: jwt.encode({**ANN, "x": "x" * 10_000}, SECRET),
    "a header nested too deeply": lambda: (
        base64.urlsafe_b64encode(b"[" * 5_000).rstrip(b"=").decode() + ".e30.e30"
    ),
    "a kid that is no text": lambda: unsigned({"alg": "RS256", "kid": ["one"]}, ANN),
    "no JSON": lambda: "a.b.c",
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_is_a_401(kind: str) -> None:
    desk = Desk(provider=Provider(jwks((PRIVATE, "one"))))
    await desk.claims(rs256(ANN))

    with pytest.raises(Unauthenticated):
        await desk.claims(BAD[kind]())


async def test_a_gateway_with_a_secret_only_takes_no_rs256_and_the_other_way_round() -> None:
    with pytest.raises(Unauthenticated):
        await Desk().claims(rs256(ANN))
    with pytest.raises(Unauthenticated):
        await Desk(secret=None, provider=Provider(jwks((PRIVATE, "one")))).claims(jwt.encode(ANN, SECRET))


async def test_issuer_and_audience_must_fit_where_they_are_configured() -> None:
    desk = Desk(issuer="https://idp.example", audience="sekha")
    good = {**ANN, "iss": "https://idp.example", "aud": ["other", "sekha"]}

    assert (await desk.claims(jwt.encode(good, SECRET))).name == "jwt:ann"
    for wrong in ({"iss": "https://evil.example"}, {"aud": "other"}):
        with pytest.raises(Unauthenticated):
            await desk.claims(jwt.encode({**good, **wrong}, SECRET))
    for missing in ("iss", "aud"):
        with pytest.raises(Unauthenticated):
            await desk.claims(jwt.encode({k: v for k, v in good.items() if k != missing}, SECRET))


async def test_two_tokens_with_the_same_beginning_are_two_bearers() -> None:
    desk = Desk()
    ann, ben = (jwt.encode({"aaa": "x" * 200, **ANN, "sub": who}, SECRET) for who in ("ann", "ben"))
    assert ann[:200] == ben[:200]

    names = [(await desk.claims(token)).name for token in (ann, ben, ann)]

    assert names == ["jwt:ann", "jwt:ben", "jwt:ann"]


async def test_a_token_that_was_good_is_over_when_it_is_over() -> None:
    desk = Desk()
    token = jwt.encode(ANN, SECRET)
    await desk.claims(token)

    desk.clock.advance(60 + 10)

    with pytest.raises(Unauthenticated, match="expired"):
        await desk.claims(token)


async def test_no_more_tokens_are_remembered_than_there_is_room_for() -> None:
    desk = Desk()
    token = jwt.encode(ANN, SECRET)

    for number in range(MOST_KEPT + 10):
        await desk.tokens.claims(token, str(number))

    assert len(desk.tokens._known) == MOST_KEPT


async def test_a_token_of_ours_is_good_for_as_long_as_is_configured() -> None:
    desk = Desk(issuer="sekha", audience="sekha", expires_in=100)
    token = desk.tokens.issue("k1")

    assert (await desk.claims(token)).key == "k1"
    assert (await desk.claims(token)).expires_at == NOW + 100


# The keys of an identity provider


async def test_a_key_is_fetched_when_it_is_first_needed_and_then_known() -> None:
    provider = Provider(jwks((PRIVATE, "one"), (OTHER, "two")))
    desk = Desk(provider=provider)

    assert (await desk.claims(rs256(ANN))).name == "jwt:ann"
    assert (await desk.claims(rs256({**ANN, "sub": "ben"}, OTHER, "two"))).name == "jwt:ben"
    assert provider.asked == 1


async def test_a_token_without_a_key_id_is_checked_with_the_only_key() -> None:
    assert (await Desk(provider=Provider(jwks((PRIVATE, "one")))).claims(rs256(ANN, kid=None))).name


async def test_a_new_key_is_found_and_strangers_do_not_make_us_ask_too_often() -> None:
    provider = Provider(jwks((PRIVATE, "one")))
    desk = Desk(provider=provider)
    await desk.claims(rs256(ANN))
    provider.contents = jwks((PRIVATE, "one"), (OTHER, "two"))

    for _ in range(20):
        with pytest.raises(Unauthenticated):
            await desk.claims(rs256(ANN, OTHER, "two"))
    assert provider.asked == 1

    desk.clock.advance(FETCH_AT_MOST_EVERY_S)
    assert (await desk.claims(rs256(ANN, OTHER, "two"))).name == "jwt:ann"
    assert provider.asked == 2


async def test_while_the_server_is_away_known_keys_are_good_and_unknown_ones_a_503() -> None:
    provider = Provider(jwks((PRIVATE, "one")))
    desk = Desk(provider=provider)
    await desk.claims(rs256(ANN))
    provider.is_down = True
    desk.clock.advance(FETCH_AT_MOST_EVERY_S)

    with pytest.raises(JwksUnavailable) as refused:
        await desk.claims(rs256(ANN, OTHER, "two"))

    assert (refused.value.status, refused.value.code) == (503, "jwks_unavailable")
    assert (await desk.claims(rs256({**ANN, "sub": "ben"}))).name == "jwt:ben"


async def test_a_server_that_was_never_there_is_a_503() -> None:
    provider = Provider(b"")
    provider.is_down = True

    with pytest.raises(JwksUnavailable):
        await Desk(provider=provider).claims(rs256(ANN))


@pytest.mark.parametrize("contents", [b"", b"<html>", b"[]", b'{"keys":5}', b"\xff"])
async def test_a_server_that_talks_nonsense_is_as_good_as_none(contents: bytes) -> None:
    with pytest.raises(JwksUnavailable):
        await Desk(provider=Provider(contents)).claims(rs256(ANN))


async def test_a_key_that_was_taken_away_makes_its_tokens_bad() -> None:
    provider = Provider(jwks((PRIVATE, "one"), (OTHER, "two")))
    desk = Desk(provider=provider)
    claims = {**ANN, "exp": NOW + 5_000}
    await desk.claims(rs256(claims))
    provider.contents = jwks((OTHER, "two"))

    desk.clock.advance(FRESH_FOR_S)
    await desk.claims(rs256(claims))  # believed once more, and the reason to look
    keys = desk.tokens._keys
    assert keys is not None
    assert keys._fetching is not None
    await keys._fetching

    with pytest.raises(Unauthenticated):
        await desk.claims(rs256(claims))


def test_only_keys_that_check_rs256_signatures_are_taken() -> None:
    good = public_fields(PRIVATE, "good")
    others = [
        {**good, "kid": "encrypts", "use": "enc"},
        {**good, "kid": "other", "alg": "RS512"},
        {**good, "kid": ["list"]},
        {**good, "kid": "broken", "n": "!"},
        {"kty": "oct", "kid": "secret", "k": base64.urlsafe_b64encode(hashlib.sha256(b"").digest()).decode()},
        "nonsense",
    ]

    assert set(keys_in(orjson.dumps({"keys": [good, *others]}))) == {"good"}


# Where the keys are read from


class Elsewhere(BaseHTTPRequestHandler):
    """A server that has keys, sends people on from one address, and talks too much at another."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/keys")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * (LARGEST + 1) if self.path == "/large" else b"{}")

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_keys_are_read_from_the_address_itself(server: str) -> None:
    assert read_source(f"{server}/keys") == b"{}"


@pytest.mark.parametrize("path", ["/moved", "/large"])
def test_no_detour_is_made_and_no_flood_is_read(server: str, path: str) -> None:
    with pytest.raises(OSError, match=r"302|large"):
        read_source(server + path)


def test_keys_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(jwks((PRIVATE, "one")))

    assert set(keys_in(read_source(str(tmp_path / "jwks.json")))) == {"one"}
    with pytest.raises(OSError):  # noqa: PT011 - whatever the machine says of it
        read_source(str(tmp_path / "none.json"))
