"""Keys over the admin API: made once, never shown again, revoked for ever."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from serve_app.api.admin.keys import KeyChange, WantedKey
from tests.support.operators import Office

pytestmark = pytest.mark.anyio

HI = {"messages": [{"role": "user", "content": "hi"}]}


async def made(office: Office, **fields: Any) -> dict[str, Any]:
    answer = await office.client().post("/api/admin/keys", json=fields)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def chat(office: Office, key: str, router: int = 0) -> int:
    return (await office.client(key, router).post("/v1/chat/completions", json=HI)).status_code


async def becomes(office: Office, key: str, status: int, router: int) -> None:
    """Within a second (here: two, for slow machines) that is what the router answers."""
    deadline = time.monotonic() + 2.0
    while (found := await chat(office, key, router)) != status:
        assert time.monotonic() < deadline, f"still {found}"
        await asyncio.sleep(0.01)


async def test_a_key_that_was_made_is_good_at_every_router(office: Office) -> None:
    key = await made(office, note="for the tests")

    assert await chat(office, key["key"]) == 200
    await becomes(office, key["key"], 200, router=1)


async def test_the_key_itself_is_shown_once_and_its_digest_never(office: Office) -> None:
    answer = await office.client().post("/api/admin/keys", json={"id": "mine"})
    key = answer.json()["key"]

    assert answer.headers["cache-control"] == "no-store"
    told = [
        (await office.client().get("/api/admin/keys")).text,
        (await office.client().get("/api/admin/keys/mine")).text,
        (await office.client().patch("/api/admin/keys/mine", json={"note": "x"})).text,
        (await office.client().get("/api/admin/audit")).text,
        (await office.client().delete("/api/admin/keys/mine")).text,
    ]
    digest = office.routers[0][0].runtime_config.keys["mine"].digest
    for text in told:
        assert key not in text
        assert digest not in text
        assert "digest" not in text
    assert "digest" not in answer.text


async def test_a_revoked_key_is_refused_by_every_router_and_its_record_stays(office: Office) -> None:
    key = await made(office)
    await becomes(office, key["key"], 200, router=1)

    answer = await office.client().delete(f"/api/admin/keys/{key['id']}")

    assert answer.status_code == 200
    assert answer.json()["revoked_at"] is not None
    assert await chat(office, key["key"]) == 401
    await becomes(office, key["key"], 401, router=1)
    listed = (await office.client().get("/api/admin/keys")).json()["keys"]
    assert [k["id"] for k in listed] == [key["id"]]


async def test_the_id_of_a_revoked_key_is_never_given_out_again(office: Office) -> None:
    key = await made(office, id="mine")
    await office.client().delete("/api/admin/keys/mine")

    again = await office.client().post("/api/admin/keys", json={"id": "mine"})

    assert again.status_code == 409
    assert again.json()["code"] == "KEY_EXISTS"
    assert await chat(office, key["key"]) == 401


async def test_a_revoked_key_can_be_changed_no_more(office: Office) -> None:
    await made(office, id="mine")
    await office.client().delete("/api/admin/keys/mine")

    answer = await office.client().patch("/api/admin/keys/mine", json={"expires_at": None})

    assert answer.status_code == 409
    assert answer.json()["code"] == "KEY_REVOKED"


async def test_a_key_that_is_changed_while_it_is_revoked_stays_revoked(office: Office) -> None:
    """Whoever comes last of two routers that both read the key before: it is never written back as it was."""
    for number in range(10):
        key = await made(office, id=f"k{number}")
        path = f"/api/admin/keys/k{number}"
        await asyncio.gather(
            office.client().patch(path, json={"note": "a"}),
            office.client(router=1).delete(path),
            office.client().patch(path, json={"note": "b"}),
        )
        assert (await office.client(router=1).get(path)).json()["revoked_at"] is not None
        await becomes(office, key["key"], 401, router=0)
        await becomes(office, key["key"], 401, router=1)


async def test_two_admins_at_once_the_last_one_wins_and_both_are_in_the_audit(office: Office) -> None:
    await made(office, id="mine", note="0")

    await asyncio.gather(
        office.client().patch("/api/admin/keys/mine", json={"note": "1"}),
        office.client(router=1).patch("/api/admin/keys/mine", json={"note": "2"}),
    )

    lines = (await office.client().get("/api/admin/audit")).json()["changes"]
    notes = [
        (line["details"]["before"]["note"], line["details"]["after"]["note"])
        for line in reversed(lines)
        if line["action"] == "key_changed"
    ]
    assert notes in ([("0", "1"), ("1", "2")], [("0", "2"), ("2", "1")])
    assert (await office.client().get("/api/admin/keys/mine")).json()["note"] == notes[-1][1]


async def test_a_change_of_what_somebody_else_has_changed_is_refused_when_asked_to(office: Office) -> None:
    await made(office, id="mine")
    seen = (await office.client().get("/api/admin/keys/mine")).headers["etag"]
    await office.client().patch("/api/admin/keys/mine", json={"note": "theirs"})

    stale = await office.client().patch(
        "/api/admin/keys/mine", json={"note": "ours"}, headers={"if-match": seen}
    )

    assert stale.status_code == 412
    assert stale.json()["code"] == "CHANGED_MEANWHILE"
    nonsense = await office.client().patch(
        "/api/admin/keys/mine", json={"note": "ours"}, headers={"if-match": "yesterday"}
    )
    assert nonsense.status_code == 400
    assert (await office.client().get("/api/admin/keys/mine")).json()["note"] == "theirs"


async def test_what_is_not_named_in_a_change_stays_and_null_takes_a_bound_away(office: Office) -> None:
    await made(office, id="mine", models=["first-chat"], note="n", budgets=[{"limit": 5}])

    await office.client().patch("/api/admin/keys/mine", json={"models": None})

    key = (await office.client().get("/api/admin/keys/mine")).json()
    assert key["models"] is None
    assert key["note"] == "n"
    assert key["budgets"][0]["limit"] == 5


async def test_a_keys_new_models_count_with_the_next_request(office: Office) -> None:
    key = await made(office, id="mine")

    await office.client().patch("/api/admin/keys/mine", json={"models": ["second-chat"]})

    caller = office.client(key["key"])
    refused = await caller.post("/v1/chat/completions", json={**HI, "model": "first-chat"})
    assert refused.status_code == 403
    assert (await caller.post("/v1/chat/completions", json=HI)).headers["x-sekha-provider"] == "second"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "../x"}, 422),
        ({"id": "UPPER"}, 422),
        ({"id": "a\n"}, 422),
        ({"id": ""}, 422),
        ({"id": "x" * 65}, 422),
        ({"role": "root"}, 422),
        ({"tenant": "nobody_knows"}, 422),
        ({"models": ["gpt-99"]}, 422),
        ({"tasks": ["mining"]}, 422),
        ({"budgets": [{"limit": -1}]}, 422),
        ({"budgets": [{"limit": 1, "provider": "nowhere"}]}, 422),
        ({"budgets": [{"limit": 1}, {"limit": 2}]}, 422),
        ({"rates": [{"requests_per_minute": 0}]}, 422),
        ({"expires_at": 1.0}, 422),
        ({"expires_at": 1e300}, 422),
        ({"note": "x" * 501}, 422),
        ({"digest": "0" * 64}, 422),
        ({"allowed_routes": ["*"]}, 422),
        ({"user_role": "admin"}, 422),
        ({"created_at": 0}, 422),
        ([], 422),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused_with_the_reason(
    office: Office, body: Any, status: int
) -> None:
    answer = await office.client().post("/api/admin/keys", json=body)

    assert answer.status_code == status, answer.text
    assert answer.json().keys() >= {"code", "message", "details"}
    assert (await office.client().get("/api/admin/keys")).json()["count"] == 0


@pytest.mark.parametrize("field", ["role", "tenant", "id", "digest", "revoked_at", "created_at", "anything"])
async def test_a_change_cannot_smuggle_in_what_a_key_keeps_for_ever(office: Office, field: str) -> None:
    key = await made(office, id="mine")
    values = {"role": "admin", "digest": "0" * 64}

    answer = await office.client().patch("/api/admin/keys/mine", json={field: values.get(field)})

    assert answer.status_code == 422
    after = (await office.client().get("/api/admin/keys/mine")).json()
    assert after == {name: value for name, value in key.items() if name != "key"}


def test_no_field_of_a_wish_holds_what_only_the_gateway_decides() -> None:
    assert not {"role", "tenant", "digest", "revoked_at"} & KeyChange.model_fields.keys()
    assert not {"digest", "revoked_at", "created_at"} & WantedKey.model_fields.keys()


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_key_that_is_not_there_is_a_404(office: Office, method: str) -> None:
    body = {"note": "x"} if method == "PATCH" else None
    for id_ in ("nobody", "%2e%2e", "'; DROP TABLE records; --", "x" * 3000, "\u2028"):
        url = httpx.URL("/api/admin/keys/", path="/api/admin/keys/" + id_)

        answer = await office.client().request(method, url, json=body)

        assert (answer.status_code, answer.json()["code"]) == (404, "KEY_NOT_FOUND"), id_


ADMINS_ONLY = [
    ("GET", "/api/admin/keys"),
    ("GET", "/api/admin/keys/mine"),
    ("POST", "/api/admin/keys"),
    ("PATCH", "/api/admin/keys/mine"),
    ("DELETE", "/api/admin/keys/mine"),
    ("GET", "/api/admin/tenants"),
    ("PUT", "/api/admin/tenants/a"),
    ("DELETE", "/api/admin/tenants/configured"),
    ("PUT", "/api/admin/prices/first/first-chat"),
    ("DELETE", "/api/admin/prices/first/first-chat"),
    ("GET", "/api/admin/providers"),
    ("PATCH", "/api/admin/providers/first"),
    ("POST", "/api/admin/breakers/first/reset"),
]


@pytest.mark.parametrize(("key", "status"), [("reads", 403), ("calls", 403), ("wrong", 401)])
async def test_nobody_but_an_admin_gets_there(office: Office, key: str, status: int) -> None:
    kept = {name: value for name, value in (await made(office, id="mine")).items() if name != "key"}

    for method, path in ADMINS_ONLY:
        answer = await office.client(key).request(method, path, json={})

        assert answer.status_code == status, f"{method} {path}"
        assert (await office.client().get("/api/admin/keys/mine")).json() == kept, f"{method} {path}"


async def test_a_key_of_the_book_with_role_admin_may_do_what_admins_do_until_it_is_revoked(
    office: Office,
) -> None:
    key = await made(office, id="boss", role="admin")
    boss = office.client(key["key"])
    assert (await boss.get("/api/admin/keys")).status_code == 200

    assert (await boss.delete("/api/admin/keys/boss")).status_code == 200

    assert (await boss.get("/api/admin/keys")).status_code == 401


async def test_who_changed_what_is_in_the_audit(office: Office) -> None:
    await made(office, id="mine", note="before")
    await office.client().patch("/api/admin/keys/mine", json={"note": "after"})
    await office.client().delete("/api/admin/keys/mine")

    lines = (await office.client().get("/api/admin/audit")).json()["changes"]

    assert [line["action"] for line in lines] == ["key_revoked", "key_changed", "key_created"]
    assert {line["user_id"] for line in lines} == {"config:admin-key-1"}
    assert {line["subject"] for line in lines} == {"key:mine"}
    assert lines[1]["details"]["before"]["note"] == "before"
    assert lines[1]["details"]["after"]["note"] == "after"
    assert lines[2]["details"]["before"] is None


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    fields=st.dictionaries(
        st.sampled_from(
            ["role", "tenant", "digest", "revoked_at", "note", "models", "budgets", "id", "extra"]
        ),
        st.none()
        | st.text(max_size=8)
        | st.integers(-(2**53), 2**53)
        | st.lists(st.text(max_size=4), max_size=2),
    )
)
async def test_whatever_is_sent_a_revoked_key_is_still_revoked_and_a_role_still_the_same(
    office: Office, fields: dict[str, Any]
) -> None:
    known = (await office.client().get("/api/admin/keys")).json()["keys"]
    if not known:
        await made(office, id="gone")
        await office.client().delete("/api/admin/keys/gone")
        await made(office, id="mine")

    for id_ in ("gone", "mine"):
        answer = await office.client().patch(f"/api/admin/keys/{id_}", json=fields)
        assert answer.status_code < 500

    assert (await office.client().get("/api/admin/keys/gone")).json()["revoked_at"] is not None
    mine = (await office.client().get("/api/admin/keys/mine")).json()
    assert (mine["role"], mine["tenant"], mine["revoked_at"]) == ("user", "default", None)


HARMFUL = [
    "' OR '1'='1' --",
    "'; DROP TABLE records; --",
    "x' UNION SELECT body FROM records --",
    "\\'; SELECT pg_sleep(10); --",
    "sk-sekha-mine-' OR digest LIKE '%",
]


@pytest.mark.parametrize("sent", HARMFUL)
async def test_no_key_that_is_shown_ever_reaches_the_database(office: Office, sent: str) -> None:
    await made(office, id="mine")
    statements: list[str] = []
    engine = office.store._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *seen: statements.append(repr(seen[2:4])))

    for path in ("/v1/models", "/api/admin/keys", "/api/admin/audit", "/nothing"):
        for headers in ({"authorization": f"Bearer {sent}"}, {"authorization": sent}, {"x-api-key": sent}):
            answer = await office.client(None).get(path, headers=headers)
            assert answer.status_code in (400, 401)
            assert sent not in answer.text

    assert [statement for statement in statements if "OR '1'" in statement or sent in statement] == []
    assert (await office.client().get("/api/admin/keys")).json()["count"] == 1


@pytest.mark.parametrize("sent", HARMFUL)
async def test_what_an_operator_asks_for_is_a_value_and_never_sql(office: Office, sent: str) -> None:
    await made(office, id="mine")
    statements: list[tuple[str, str]] = []
    engine = office.store._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *s: statements.append((s[2], repr(s[3]))))

    found = await office.client().get("/api/admin/costs/recent", params={"tenant": sent})
    noted = await office.client().patch("/api/admin/keys/mine", json={"note": sent})

    assert (found.status_code, found.json()["count"]) == (200, 0)
    assert noted.json()["note"] == sent
    assert any(sent in values or repr(sent)[1:-1] in values for _, values in statements)
    assert not any(sent in statement for statement, _ in statements)
    assert (await office.client().get("/api/admin/keys")).json()["count"] == 1


roles = st.sampled_from(["user", "read", "admin"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    grantor=roles,
    wanted=st.fixed_dictionaries(
        {"role": roles},
        optional={
            "tenant": st.sampled_from(["default", "configured"]),
            "models": st.none() | st.lists(st.sampled_from(["first-chat", "second-chat"]), max_size=2),
            "budgets": st.just([{"limit": 1e6}]),
        },
    ),
    at_their_own=st.booleans(),
)
async def test_nobody_grants_more_than_they_have(
    office: Office, grantor: str, wanted: dict[str, Any], at_their_own: bool
) -> None:
    theirs = await made(office, role=grantor, models=["first-chat"])
    before = (await office.client().get("/api/admin/keys")).json()
    client = office.client(theirs["key"])
    await becomes_known(office, theirs["id"])

    if at_their_own:
        answer = await client.patch(f"/api/admin/keys/{theirs['id']}", json={"models": None})
    else:
        answer = await client.post("/api/admin/keys", json=wanted)

    after = (await office.client().get("/api/admin/keys")).json()
    if grantor == "admin":
        assert answer.status_code in (200, 201)
    else:
        assert answer.status_code == 403
        assert after == before
    assert {key["role"] for key in after["keys"] if key["id"] == theirs["id"]} == {grantor}


async def becomes_known(office: Office, id_: str) -> None:
    """The first router has heard of the key."""
    deadline = time.monotonic() + 2.0
    while id_ not in office.routers[0][0].runtime_config.keys:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
