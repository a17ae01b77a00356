"""Where the gateway keeps things, told from the configuration and the environment."""

from pathlib import Path

import pytest

from serve_app.config.load import load
from serve_app.config.storage import OnUnavailable, StorageConfig, state_folder, store_url
from serve_app.errors import ConfigError

PROVIDER = {"id": "a", "type": "ollama", "models": [{"model_id": "m", "task": "chat_small"}]}


@pytest.mark.parametrize(
    ("folder", "environ", "expected"),
    [
        ("/srv/sekha", {"SEKHA_STATE_DIR": "/b", "XDG_STATE_HOME": "/c", "HOME": "/d"}, "/srv/sekha"),
        ("~/kept", {"SEKHA_STATE_DIR": "/b", "HOME": "/d"}, "/d/kept"),
        (None, {"SEKHA_STATE_DIR": "/b", "XDG_STATE_HOME": "/c", "HOME": "/d"}, "/b"),
        (None, {"SEKHA_STATE_DIR": " ", "XDG_STATE_HOME": "/c", "HOME": "/d"}, "/c/sekha"),
        (None, {"HOME": "/d"}, "/d/.local/state/sekha"),
    ],
)
def test_the_folder_is_as_configured_else_as_the_environment_says(
    folder: str | None, environ: dict[str, str], expected: str
) -> None:
    storage = StorageConfig(folder=folder)

    assert state_folder(storage, environ, "sekha") == Path(expected, "sekha")
    assert store_url(storage, environ, "sekha") == f"sqlite:///{expected}/sekha/ledger.sqlite3"


def test_without_a_home_the_variable_to_set_is_named() -> None:
    with pytest.raises(ConfigError, match="SEKHA_STATE_DIR"):
        state_folder(StorageConfig(), {}, "sekha")


def test_a_url_that_leads_nowhere_does_not_become_a_new_ledger() -> None:
    storage = StorageConfig.model_validate({"url": "${LEDGER_URL}"})

    with pytest.raises(ConfigError, match=r"storage.url: \$\{LEDGER_URL\} is not set"):
        store_url(storage, {"HOME": "/d"}, "sekha")
    assert store_url(storage, {"LEDGER_URL": "postgresql://u:p@h/n"}, "sekha") == "postgresql://u:p@h/n"


def test_the_url_of_a_file_stays_a_reference_and_is_never_shown() -> None:
    source = {"llm_providers": [PROVIDER], "default_models": {}}
    environ = {
        "SEKHA__STORAGE__URL": "postgresql://u:s3same@h/n",
        "SEKHA__STORAGE__ON_STORE_UNAVAILABLE": "deny",
    }

    storage = load(source, environ).settings.storage

    assert storage.on_unavailable is OnUnavailable.DENY
    assert store_url(storage, environ, "sekha") == "postgresql://u:s3same@h/n"
    assert "s3same" not in f"{storage!r} {storage.model_dump_json()}"


def test_two_gateways_on_one_machine_never_write_in_one_folder() -> None:
    storage = StorageConfig(folder="/data")

    assert state_folder(storage, {}, "a/../b") == Path("/data/a%2F..%2Fb")
    assert state_folder(storage, {}, "a") != state_folder(storage, {}, "b")
