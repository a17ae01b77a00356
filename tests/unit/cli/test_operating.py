"""The commands that speak to a running gateway, against a real one over real HTTP."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from click.testing import Result
from rich.cells import cell_len
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.cli.rows import Format, show_rows
from serve_app.pricing.usage import Usage
from serve_app.providers.base import Answer
from tests.support.api import eventually
from tests.support.harness import ListedProvider
from tests.support.operators import ADMIN
from tests.support.running import running
from tests.support.serving import NOWHERE
from tests.support.settings import two_providers

Sekha = Callable[..., Result]
HI = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    settings = two_providers(
        auth={"admin_keys": [ADMIN], "api_keys": [{"key": "reads", "role": "read"}]},
        budgets=[{"limit": 100}],
    )
    answer = Answer(b'{"id":"1","object":"chat.completion"}', Usage(10, 5), 0.1)
    with running(settings, {n: ListedProvider(answer) for n in ("first", "second")}, tmp_path) as url:
        yield url


@pytest.fixture
def sekha(url: str, monkeypatch: pytest.MonkeyPatch) -> Sekha:
    """`sekha("keys", "list")`: the command, told where the gateway is and whose key to show."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("SEKHA_URL", url)
    monkeypatch.setenv("SEKHA_ADMIN_KEY", ADMIN)
    return lambda *words: CliRunner().invoke(app, list(words))


def said(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return str(result.output)


def refusal(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    return str(result.output)


def chat(url: str, key: str) -> int:
    answer = httpx.post(
        f"{url}/v1/chat/completions", json=HI, headers={"authorization": f"Bearer {key}"}, trust_env=False
    )
    return answer.status_code


def test_from_a_tenant_with_a_budget_to_what_its_key_has_cost(sekha: Sekha, url: str) -> None:
    """The six lines of the README."""
    said(sekha("tenants", "set", "team-a", "--budget", "50", "--budget", "5/day", "--rpm", "600"))
    made = sekha("keys", "create", "--tenant", "team-a", "--id", "theirs", "--expires", "90d", "--note", "n")
    key = made.stdout.strip()
    assert re.fullmatch(r"sk-sekha-theirs-[\w-]{43}", key)  # nothing else, so that a script can take it
    assert "shown only once" in made.stderr
    assert chat(url, key) == 200

    listed = said(sekha("keys", "list"))
    assert "theirs" in listed
    assert "good" in listed
    assert key not in listed
    told = json.loads(said(sekha("limits", "--format", "json")))
    assert {"tenant:team-a/month", "tenant:team-a/day"} <= {limit["id"] for limit in told}
    eventually(lambda: "first-chat" in said(sekha("costs")))

    assert "revoked" in said(sekha("keys", "revoke", "theirs"))
    assert chat(url, key) == 401
    assert "revoked" in said(sekha("keys", "list"))
    assert json.loads(said(sekha("keys", "show", "theirs")))[0]["revoked_at"]
    actions = [line["action"] for line in json.loads(said(sekha("audit", "--format", "json")))]
    assert actions == ["key_revoked", "key_created", "tenant_set"]
    assert "removed" in said(sekha("tenants", "delete", "team-a"))
    assert "team-a" not in said(sekha("tenants", "list"))


def test_costs_are_a_table_csv_or_json_by_what_is_asked_for(sekha: Sekha, url: str) -> None:
    key = sekha("keys", "create").stdout.strip()
    assert chat(url, key) == 200
    eventually(lambda: "first" in said(sekha("costs", "--by", "provider")))

    rows = list(csv.DictReader(io.StringIO(said(sekha("costs", "--by", "day,model", "--format", "csv")))))
    assert [(row["model"], row["attempts"], row["input_tokens"]) for row in rows] == [
        ("first-chat", "1", "10")
    ]
    assert json.loads(said(sekha("costs", "--by", "tenant", "--format", "json")))[0]["tenant"] == "default"
    assert "Total $0.000000" in said(sekha("costs"))
    assert json.loads(said(sekha("costs", "--until", "2020-01-01", "--format", "json"))) == []
    assert "day, provider" in refusal(sekha("costs", "--by", "moon"))
    assert "since" in refusal(sekha("costs", "--since", "yesterday"))


def tenant(sekha: Sekha, id_: str) -> dict[str, Any]:
    [found] = [t for t in json.loads(said(sekha("tenants", "list", "--format", "json"))) if t["id"] == id_]
    return {
        name: found[name] for name in ("budgets", "rates", "models", "tasks", "data_policy", "vendor_objects")
    }


def test_setting_one_bound_of_a_tenant_leaves_the_others_and_clear_removes_what_it_names(
    sekha: Sekha, url: str
) -> None:
    narrow = {"limit": 7.0, "window": "month", "provider": "first", "model": None}
    whole = {
        "budgets": [{"limit": 50}, {"limit": 5, "window": "day"}, narrow],
        "rates": [{"tokens_per_minute": 900, "concurrent_requests": 4}],
        "models": ["first-chat"],
        "tasks": ["chat_small"],
    }
    told = httpx.put(f"{url}/api/admin/tenants/a", json=whole, headers={"x-api-key": ADMIN}, trust_env=False)
    assert told.status_code == 200
    before = tenant(sekha, "a")

    assert before["data_policy"] is None
    said(sekha("tenants", "set", "a", "--data-policy", "local"))
    assert tenant(sekha, "a") == {**before, "data_policy": "local"}
    said(sekha("tenants", "set", "a", "--rpm", "7"))
    assert tenant(sekha, "a")["data_policy"] == "local", "no other change may loosen it"
    said(sekha("tenants", "set", "a", "--clear", "data_policy"))
    assert tenant(sekha, "a")["data_policy"] is None

    said(sekha("tenants", "set", "a", "--vendor-objects"))
    said(sekha("tenants", "set", "a", "--rpm", "8"))
    assert tenant(sekha, "a")["vendor_objects"] is True
    said(sekha("tenants", "set", "a", "--no-vendor-objects"))
    assert tenant(sekha, "a")["vendor_objects"] is False

    said(sekha("tenants", "set", "a", "--rpm", "5"))
    [rate] = tenant(sekha, "a")["rates"]
    assert (rate["requests_per_minute"], rate["tokens_per_minute"], rate["concurrent_requests"]) == (
        5,
        900,
        4,
    )
    assert {**tenant(sekha, "a"), "rates": before["rates"]} == before

    said(sekha("tenants", "set", "a", "--budget", "6/day", "--model", "second-chat", "--clear", "rpm"))
    after = tenant(sekha, "a")
    assert sorted((b["window"], b["limit"]) for b in after["budgets"]) == [
        ("day", 6.0), ("month", 7.0), ("month", 50.0)
    ]  # fmt: skip
    assert narrow in after["budgets"]
    assert (after["rates"], after["models"], after["tasks"]) == (
        before["rates"],
        ["second-chat"],
        ["chat_small"],
    )

    said(sekha("tenants", "set", "a", "--clear", "month", "--clear", "tasks", "--clear", "rates"))
    assert (tenant(sekha, "a")["tasks"], tenant(sekha, "a")["rates"]) == (None, [])
    assert [b["limit"] for b in tenant(sekha, "a")["budgets"]] == [7.0, 6.0]
    assert "is unchanged" in said(sekha("tenants", "set", "a"))
    assert "cannot be cleared" in refusal(sekha("tenants", "set", "a", "--clear", "everything"))


def test_every_table_fits_eighty_columns_and_cuts_no_name(
    sekha: Sekha, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "a-tenant-with-a-name-of-the-most-characters-that-are-allowed-64"
    note = "what a key is for, " * 20
    said(sekha("tenants", "set", long, "--budget", "50", "--budget", "5/day", "--rpm", "6", "--tpm", "7"))
    said(sekha("keys", "create", "--tenant", long, "--model", "first/first-chat", "--note", note))
    monkeypatch.setenv("COLUMNS", "80")

    for words in (
        ["tenants", "list"],
        ["keys", "list"],
        ["limits"],
        ["audit"],
        ["breakers", "list"],
        ["costs"],
    ):
        shown = said(sekha(*words))
        assert max(map(cell_len, shown.splitlines())) <= 80, shown
        if words[0] in ("tenants", "keys", "limits", "audit"):
            assert long in re.sub(r"[\s│]", "", shown)


def test_breakers_are_listed_and_reset(sekha: Sekha) -> None:
    assert "closed" in said(sekha("breakers", "list"))
    assert "is closed" in said(sekha("breakers", "reset", "first"))
    assert "There is no provider 'third'" in refusal(sekha("breakers", "reset", "third"))


def test_the_key_may_stand_in_a_file(sekha: Sekha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEKHA_ADMIN_KEY")
    file = tmp_path / "key"
    file.write_text(f"{ADMIN}\n")

    assert "first" in said(sekha("breakers", "list", "--admin-key-file", str(file)))
    assert "cannot read" in refusal(sekha("breakers", "list", "--admin-key-file", str(tmp_path / "other")))


def test_without_a_key_the_command_says_where_to_put_one(
    sekha: Sekha, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEKHA_ADMIN_KEY")

    told = refusal(sekha("keys", "list"))

    assert "SEKHA_ADMIN_KEYS" in told
    assert "--admin-key-file" in told


def test_a_wrong_key_is_told_what_a_right_one_is_and_never_repeated(
    sekha: Sekha, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEKHA_ADMIN_KEY", "not-the-right-one")

    told = refusal(sekha("keys", "list"))

    assert "SEKHA_ADMIN_KEYS" in told
    assert "not-the-right-one" not in told


def test_a_key_that_may_only_read_is_told_what_it_lacks(
    sekha: Sekha, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEKHA_ADMIN_KEY", "reads")

    assert "role admin" in refusal(sekha("keys", "list"))
    assert "gateway/month" in said(sekha("limits"))


def test_where_nobody_answers_the_command_says_how_to_start_one(sekha: Sekha) -> None:
    told = refusal(sekha("keys", "list", "--url", NOWHERE))

    assert NOWHERE in told
    assert "sekha serve" in told
    assert "not the address" in refusal(sekha("keys", "list", "--url", "localhost:5001"))


def test_a_key_is_never_an_option_of_a_command(sekha: Sekha) -> None:
    for words in (["keys", "create"], ["keys", "list"], ["costs"], ["tenants", "set", "a"]):
        told = sekha(*words, "--admin-key", "sk-on-the-command-line")
        assert told.exit_code == 2


def test_what_makes_no_sense_is_said_before_anything_is_sent(sekha: Sekha) -> None:
    assert "not a duration" in refusal(sekha("keys", "create", "--expires", "soon"))
    assert "is not a budget" in refusal(sekha("tenants", "set", "a", "--budget", "much"))
    assert "is not a budget" in refusal(sekha("tenants", "set", "a", "--budget", "5/week"))
    assert "There is no tenant 'nobody'" in refusal(sekha("keys", "create", "--tenant", "nobody"))
    assert "There is no key 'a?b=c'" in refusal(sekha("keys", "show", "a?b=c"))
    assert "Not Found" in refusal(sekha("keys", "show", "../tenants"))


class Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody on, and remembers with which key they came."""

    seen: list[str | None] = []  # noqa: RUF012 - of the one server of this test

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/again")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_the_key_follows_no_redirect(sekha: Sekha) -> None:
    Elsewhere.seen.clear()
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        told = refusal(sekha("keys", "list", "--url", f"http://127.0.0.1:{server.server_address[1]}"))
        server.shutdown()
        thread.join()

    assert "302" in told
    assert len(Elsewhere.seen) == 1


def test_a_cell_is_no_formula_and_a_fact_without_a_word_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"who": "=1+1", "what": {"budgets": [{"limit": 5.0}, {"limit": 7.5}], "rates": [], "note": ""}}]

    show_rows(rows, ["who", "what"], Format.CSV)

    assert capsys.readouterr().out.splitlines()[1] == "'=1+1,budgets: limit: 5; limit: 7.5"


def test_a_name_cannot_move_the_cursor_of_who_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"who": "\x1b[2Jevil\r[red]"}], ["who"], Format.TABLE)

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "[red]" in shown
