"""Who is calling: keys, roles, revocation, and a gateway without keys."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.api.auth import Keyring
from serve_app.api.tokens import KEY_CLAIM
from serve_app.caller import ANYONE, Role
from serve_app.config.key import new_key, revoked
from serve_app.errors import Forbidden, GatewayError, InvalidRequest, Unauthenticated
from tests.support.clock import FakeClock
from tests.support.keyrings import SECRET, book_with, keyring

pytestmark = pytest.mark.anyio


def bearer(key: str) -> dict[str, Any]:
    return {"headers": [(b"authorization", b"Bearer " + key.encode("latin-1"))]}


def header_of(key: str) -> dict[str, Any]:
    return {"headers": [(b"x-api-key", key.encode("latin-1"))]}


async def refusal(keys: Keyring, scope: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        await keys.caller(scope)
    return refused.value


async def test_a_key_is_taken_from_either_header() -> None:
    keys = keyring("right")

    assert (await keys.caller(bearer("right"))).name == "config:api-key-1"
    assert (await keys.caller(header_of("right"))).name == "config:api-key-1"


@pytest.mark.contract(97)
async def test_what_each_kind_of_wrong_header_is_told() -> None:
    keys = keyring("right")

    assert isinstance(await refusal(keys, {"headers": []}), Unauthenticated)
    assert isinstance(await refusal(keys, bearer("wrong")), Unauthenticated)
    other = await refusal(keys, {"headers": [(b"authorization", b"Basic cmlnaHQ=")]})
    assert isinstance(other, InvalidRequest)
    assert other.status == 400


@pytest.mark.parametrize("space", ["\xa0", "\x85", "\x1c", "\n"])
async def test_only_spaces_and_tabs_may_surround_a_key(space: str) -> None:
    keys = keyring("right")

    assert (await keys.caller(bearer(" right\t"))).name == "config:api-key-1"
    for odd in (f"{space}right", f"right{space}"):
        assert (await refusal(keys, bearer(odd))).status == 401


async def test_where_no_key_is_configured_anyone_may_call_models() -> None:
    assert await keyring().model_caller({"headers": []}) == ANYONE
    assert await keyring().model_caller(bearer("whatever")) == ANYONE


async def test_without_keys_everyone_has_the_default_tenants_right_to_the_accounts_at_vendors() -> None:
    trusting = keyring(tenants=[{"id": "default", "vendor_objects": True}])

    assert (await trusting.model_caller({"headers": []})).vendor_objects
    assert not (await keyring().model_caller({"headers": []})).vendor_objects


async def test_a_key_of_the_configuration_may_have_a_tenant_and_a_role() -> None:
    keys = keyring(
        api_keys=["plain", {"key": "told", "id": "mine", "tenant": "a", "role": "read"}],
        tenants=[{"id": "a", "models": ["first-chat"]}],
    )

    caller = await keys.caller(bearer("told"))

    assert (caller.name, caller.tenant, caller.role) == ("config:mine", "a", Role.READ)
    assert caller.models == {"first/first-chat"}


async def test_several_keys_behind_one_reference_have_names_of_their_own() -> None:
    keys = keyring(api_keys=[{"key": "one, two", "id": "mine"}], admin_keys=["three,four"])

    names = [(await keys.caller(bearer(key))).name for key in ("one", "two", "three", "four")]

    assert names == ["config:mine", "config:mine-2", "config:admin-key-1", "config:admin-key-2"]


async def test_a_key_of_the_book_has_the_rights_that_stand_there() -> None:
    key, kept = new_key(0.0, tenant="a", models=("second-chat",), tasks=("chat_smart",))  # type: ignore[arg-type]
    keys = keyring("right")
    keys.take(book_with(kept, tenants=[{"id": "a", "models": ["first-chat", "second-chat"]}]))

    caller = await keys.caller(bearer(key))

    assert (caller.name, caller.tenant, caller.role) == (kept.id, "a", Role.USER)
    assert caller.models == {"second/second-chat"}
    assert caller.tasks == {"chat_smart"}
    assert (await keys.caller(bearer("right"))).name == "config:api-key-1"


async def test_a_revoked_key_is_refused_from_the_moment_the_book_is_taken() -> None:
    key, kept = new_key(0.0)
    keys = keyring("right")
    keys.take(book_with(kept))
    await keys.caller(bearer(key))

    keys.take(book_with(revoked(kept, 5.0), revision=2))

    assert isinstance(await refusal(keys, bearer(key)), Unauthenticated)


async def test_a_key_that_was_revoked_is_refused_even_when_it_is_configured_as_well() -> None:
    key, kept = new_key(0.0)
    keys = keyring("right", key)

    keys.take(book_with(revoked(kept, 5.0)))

    assert isinstance(await refusal(keys, bearer(key)), Unauthenticated)


async def test_a_key_that_has_expired_is_refused_and_says_so() -> None:
    clock = FakeClock(100.0)
    key, kept = new_key(0.0, expires_at=150.0)
    keys = keyring("right", clock=clock)
    keys.take(book_with(kept))
    await keys.caller(bearer(key))

    clock.advance(50.0)

    refused = await refusal(keys, bearer(key))
    assert refused.status == 401
    assert "expired" in refused.message


async def test_keys_in_the_book_close_a_gateway_that_was_open() -> None:
    keys = keyring()
    keys.take(book_with(new_key(0.0)[1]))

    assert isinstance(await refusal(keys, {"headers": []}), Unauthenticated)


async def test_a_key_that_may_only_read_calls_no_model() -> None:
    keys = keyring(api_keys=[{"key": "reads", "role": "read"}], admin_keys=["rules"])

    with pytest.raises(Forbidden):
        await keys.model_caller(bearer("reads"))
    assert (await keys.model_caller(bearer("rules"))).role is Role.ADMIN


class Asked:
    """A request, as far as a dependency looks at it."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope


ROLES = {"user": {"user"}, "read": {"read"}, "admin": {"user", "read", "admin"}}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("wanted", ["user", "read", "admin"])
async def test_a_route_is_for_its_role_and_for_admins(role: str, wanted: str) -> None:
    keys = keyring(api_keys=[{"key": "mine", "role": role}])
    authorised = keys.require(Role(wanted))(Asked(bearer("mine")))  # type: ignore[arg-type]

    if wanted in ROLES[role]:
        assert (await authorised).role == role
    else:
        with pytest.raises(Forbidden):
            await authorised


@pytest.mark.parametrize("role", [Role.ADMIN, Role.READ])
async def test_an_open_gateway_is_closed_to_those_who_would_be_admins(role: Role) -> None:
    with pytest.raises(Unauthenticated, match="SEKHA_ADMIN_KEYS"):
        await keyring().require(role)(Asked({"headers": []}))  # type: ignore[arg-type]


async def test_who_finds_no_admins_key_configured_is_told_how_to_make_one() -> None:
    with pytest.raises(Forbidden, match="SEKHA_ADMIN_KEYS"):
        await keyring("right").require(Role.ADMIN)(Asked(bearer("right")))  # type: ignore[arg-type]


async def test_a_token_given_out_for_a_key_is_good_as_long_as_the_key_is() -> None:
    key, kept = new_key(0.0, role=Role.ADMIN)
    keys = keyring("right", jwt={"secret": SECRET})
    keys.take(book_with(kept))
    caller = await keys.caller(bearer(key))

    token = keys.token_for(caller)

    assert await keys.caller(bearer(token)) == caller
    keys.take(book_with(revoked(kept, 5.0), revision=2))
    assert isinstance(await refusal(keys, bearer(token)), Unauthenticated)


async def test_a_token_of_somebody_else_cannot_borrow_a_key() -> None:
    import jwt

    keys = keyring(admin_keys=["rules"], jwt={"secret": SECRET})
    said = {"sub": "mallory", "exp": 2_000_000, KEY_CLAIM: "config:admin-key-1"}

    caller = await keys.caller(bearer(jwt.encode(said, SECRET)))

    assert (caller.name, caller.role) == ("jwt:mallory", Role.USER)


async def test_no_token_is_given_out_without_a_secret() -> None:
    keys = keyring("right")

    with pytest.raises(Forbidden):
        keys.token_for(await keys.caller(bearer("right")))


NASTY = st.one_of(
    st.binary(max_size=200),
    st.binary(min_size=10_000, max_size=10_100),
    st.sampled_from([
        b"' OR '1'='1' --",
        b"'; DROP TABLE keys; --",
        b"\x00\xff\xfe",
        b"..",
        b"a.b.c",
        b"W10.W10.W10",
        b"eyJhbGciOiJub25lIn0.eyJleHAiOjk5OTk5OTk5OTl9.",
        b"%s%n%x" * 100,
        "ключ".encode(),
    ]),
)  # fmt: skip
KEYS = keyring("right", jwt={"secret": SECRET})


@given(NASTY, st.sampled_from([b"authorization", b"x-api-key"]))
async def test_whatever_is_sent_as_a_key_is_a_401_and_nothing_else(nasty: bytes, header: bytes) -> None:
    sent = b"Bearer " + nasty if header == b"authorization" else nasty

    refused = await refusal(KEYS, {"headers": [(header, sent)]})

    assert refused.status == 401
    assert not re.search("DROP|OR '1'", refused.message)


@given(st.binary(max_size=300))
async def test_whatever_is_sent_as_authorization_is_refused(nasty: bytes) -> None:
    refused = await refusal(KEYS, {"headers": [(b"authorization", nasty)]})

    assert refused.status in (400, 401)
