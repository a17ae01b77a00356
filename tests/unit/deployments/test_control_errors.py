"""The control actor's errors, which have to survive the way through a handle."""

import pickle
from pathlib import Path

import pytest

from serve_app.config.storage import StorageConfig
from serve_app.control.admin_quota import Allowance
from serve_app.control.protocol import Overtaken, Snapshot
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.deployments.control import ControlActor
from serve_app.errors import AdminLimitReached
from serve_app.ledger.store import Change, StoreUnavailable
from serve_app.storage.schema import StoreTooNew
from serve_app.storage.sql import SqlStore
from tests.support.settings import two_providers

pytestmark = pytest.mark.anyio


async def test_a_store_that_is_away_comes_as_a_value_and_not_as_a_crash(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    actor = ControlActor("sekha", "INFO", StorageConfig(folder=str(in_the_way)))

    answers = [
        await actor.spends(0.0, None),
        await actor.entries(10, None, None),
        await actor.changes(10, None),
        await actor.change([], Change(0.0, "ann", "deed", "thing"), None),
    ]

    assert {type(pickle.loads(pickle.dumps(answer))) for answer in answers} == {StoreUnavailable}
    await actor._webhook.stop()
    await actor._control.stop()


async def test_a_limit_that_is_reached_comes_as_a_value(tmp_path: Path) -> None:
    actor = ControlActor("sekha", "INFO", StorageConfig(folder=str(tmp_path)))
    await actor.register("router-1", two_providers(admin={"requests_per_hour": 1}), Snapshot())

    first, second = await actor.asked("ann"), await actor.asked("ann")

    assert isinstance(first, Allowance)
    assert isinstance(second, AdminLimitReached)
    assert pickle.loads(pickle.dumps(second)).resets_at == second.resets_at
    await actor._webhook.stop()
    await actor._control.stop()


async def test_who_was_overtaken_hears_of_it_as_a_value(tmp_path: Path) -> None:
    actor = ControlActor("sekha", "INFO", StorageConfig(folder=str(tmp_path)))
    await actor.register("router-1", two_providers(), Snapshot())
    change = Change(1.0, "ann", "deed", "thing")

    first, second = await actor.change([], change, 0), await actor.change([], change, 0)

    assert isinstance(first, RuntimeConfig)
    assert isinstance(pickle.loads(pickle.dumps(second)), Overtaken)
    await actor._webhook.stop()
    await actor._control.stop()


async def test_a_start_that_failed_is_tried_again_when_somebody_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = ControlActor("sekha", "INFO", StorageConfig(folder=str(tmp_path)))
    with monkeypatch.context() as broken:
        broken.setattr(SqlStore, "open", lambda _: failing())
        with pytest.raises(StoreTooNew):
            await actor.register("router-1", two_providers(), Snapshot())

    await actor.register("router-1", two_providers(), Snapshot())

    assert (await actor.runtime_config()).revision == 0
    await actor._webhook.stop()
    await actor._control.stop()


async def test_two_gateways_on_one_folder_are_told_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.deployments.control.configure_logs", lambda level: None)
    storage = StorageConfig(folder=str(tmp_path))

    first = ControlActor("sekha", "INFO", storage)
    ControlActor("other", "INFO", storage)
    assert not caplog.records

    ControlActor("sekha", "INFO", storage)
    assert "another gateway on this machine uses" in caplog.text
    assert first._is_ours


async def failing() -> None:
    raise StoreTooNew("of another version")
