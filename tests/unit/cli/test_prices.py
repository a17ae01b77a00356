"""`sekha prices`: which list counts, and a newer one."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.cli.prices import note_of_list
from serve_app.config.load import load
from serve_app.pricing import stored_list
from serve_app.pricing.target_prices import prices_of

HYBRID = str(Path(__file__).parents[3] / "configs" / "hybrid.yaml")
ROW = {"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
LIST = json.dumps({"gpt-4o": ROW}).encode()

Sekha = Callable[..., Result]


@pytest.fixture
def sekha(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sekha:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SEKHA_STATE_DIR", str(tmp_path / "state"))
    return lambda *words: CliRunner().invoke(app, ["prices", *words, "-c", HYBRID])


def gpt_4o(environ: dict[str, str]) -> int:
    price = prices_of(load(HYBRID, {}).settings, environ)["openai_cloud/gpt-4o"]
    assert price is not None
    return price.input


def given(folder: Path, contents: bytes = LIST) -> Path:
    path = folder / "list.json"
    path.write_bytes(contents)
    return path


def test_the_bundled_list_is_shown_with_its_day_and_age(sekha: Sekha) -> None:
    shown = sekha()

    assert shown.exit_code == 0
    assert f"the list of LiteLLM {version('litellm')}, of 2026-10-21" in shown.output
    assert "openai_cloud/gpt-4o" in shown.output
    settings = load(HYBRID, {}).settings
    assert note_of_list(settings, {}, date(2026, 10, 22)).endswith("(1 day old)")
    assert note_of_list(settings, {}, date(2027, 3, 1)).endswith("a newer one: sekha prices update")


def test_the_day_of_the_bundled_list_is_that_of_the_installed_release() -> None:
    assert version("litellm") == stored_list.BUNDLED_RELEASE, "look up the day of this release"


def test_a_newer_list_counts_until_it_is_taken_away(sekha: Sekha, tmp_path: Path) -> None:
    environ, before = dict(os.environ), gpt_4o(dict(os.environ))

    told = sekha("update", str(given(tmp_path)), "--date", "2026-11-29")

    assert told.exit_code == 0, told.output
    assert "1 models, of 2026-11-29" in told.output
    assert "openai_cloud/gpt-4o" in told.output.split("that change:")[1]
    assert gpt_4o(environ) == 1_000_000_000
    assert "list.json, of 2026-11-29" in sekha().output.replace("\n", "")
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["prices.json"]
    assert "removed" in sekha("reset").output
    assert gpt_4o(environ) == before
    assert "bundled one applies" in sekha("reset").output


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a mapping"),
        (b"{}", "contains no price"),
        (b'{"m": {"mode": "chat", "input_cost_per_token": NaN}}', "not JSON"),
        (json.dumps({"m": {**ROW, "output_cost_per_token": 1e300}}).encode(), "above 1 US dollars"),
        (b" " * (stored_list.LARGEST + 1), "larger than 32 MB"),
    ],
)
def test_what_is_no_price_list_is_refused_and_nothing_is_stored(
    sekha: Sekha, tmp_path: Path, contents: bytes, why: str
) -> None:
    told = sekha("update", str(given(tmp_path, contents)))

    assert (told.exit_code, why in told.stderr) == (1, True), told.output
    assert not (tmp_path / "state").exists()


def test_a_damaged_stored_list_stops_the_check_and_names_the_way_out(sekha: Sekha, tmp_path: Path) -> None:
    sekha("update", str(given(tmp_path)))
    (tmp_path / "state" / "prices.json").write_bytes(b"{")

    told = CliRunner().invoke(app, ["check", "-c", HYBRID])

    assert (told.exit_code, "prices.json" in told.stderr) == (2, True)
    assert sekha("update", str(given(tmp_path))).exit_code == 0
    assert gpt_4o(dict(os.environ)) == 1_000_000_000


class Lists(BaseHTTPRequestHandler):
    """A list, and an address that leads elsewhere."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/list" else 302)
        self.send_header("Location", "http://elsewhere.example/")
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 10:00:00 GMT")
        self.end_headers()
        self.wfile.write(LIST)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Lists) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_list_is_fetched_from_an_address_and_never_over_plain_http_from_afar(
    sekha: Sekha, address: str
) -> None:
    assert "of 2026-11-29" in sekha("update", f"{address}/list").output
    assert "302, which leads to http://elsewhere" in sekha("update", f"{address}/moved").stderr
    assert "begin with https://" in sekha("update", "http://prices.example/list").stderr
    assert "cannot fetch" in sekha("update", "http://127.0.0.1:9/list").stderr
    assert "cannot read" in sekha("update", "/nowhere/list.json").stderr
    assert "is not a date" in sekha("update", f"{address}/list", "--date", "soon").stderr
