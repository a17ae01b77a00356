"""Which strategy orders a request, what it sees, and that one of a package breaks nothing."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from serve_app.config.load import load_settings
from serve_app.config.model import ModelTask
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError
from serve_app.routing.candidate import Candidate
from serve_app.routing.plan import make_plan
from serve_app.routing.request_view import Load, RequestView
from serve_app.routing.requirements import Requirements
from serve_app.routing.strategy import PluginStrategy, load_strategy
from serve_app.routing.strategy_choice import Strategies
from serve_app.routing.target import targets_of
from serve_app.routing.target_index import TargetIndex
from serve_app.routing.target_stats import TargetStats
from tests.support.plugins import install_example, on_path
from tests.support.settings import HYBRID

SMART, SMALL = ModelTask.CHAT_SMART, ModelTask.CHAT_SMALL
CHOICES = {
    "models": {"gpt-4o": "cheapest", "openai_cloud/gpt-4o-mini": "fastest"},
    "tenants": {"acme": "round_robin"},
    "tasks": {"chat_small": "best_quality"},
}


def configured(**routing: Any) -> Settings:
    return load_settings({**HYBRID, "routing": routing, "tenants": [{"id": "acme"}]}, {})


def strategies(**routing: Any) -> Strategies:
    settings = configured(**routing)
    return Strategies(settings.routing, targets_of(settings))


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (Requirements(SMART), "fallback"),
        (Requirements(SMALL), "best_quality"),
        (Requirements(SMALL, tenant="acme"), "round_robin"),
        (Requirements(SMALL, tenant="acme", named=("gpt-4o",)), "cheapest"),
        (Requirements(SMALL, named=("openai_cloud/gpt-4o",)), "cheapest"),
        (Requirements(SMALL, named=("openai_cloud/gpt-4o-mini",)), "fastest"),
        (Requirements(SMALL, named=("gpt-4o-mini",)), "best_quality"),
        (Requirements(SMART, named=("gpt-4o-mini", "gpt-4o")), "fallback"),
        (Requirements(SMART, preferred_model="gpt-4o"), "fallback"),
    ],
)
def test_the_named_model_comes_before_the_tenant_and_the_tenant_before_the_task(
    asked: Requirements, name: str
) -> None:
    assert strategies(strategies=CHOICES).for_(asked).name == name


def test_without_choices_every_request_has_the_one_strategy() -> None:
    chosen = strategies(strategy="cheapest")

    assert chosen.for_(Requirements(SMART)) is chosen.for_(
        Requirements(SMALL, tenant="acme", named=("gpt-4o",))
    )
    assert chosen.for_(Requirements(SMART)).name == "cheapest"


def test_each_entry_takes_its_own_turns() -> None:
    chosen = strategies(strategies={"tasks": {"chat_smart": "round_robin", "chat_small": "round_robin"}})

    assert chosen.for_(Requirements(SMART)) is not chosen.for_(Requirements(SMALL))


def test_a_strategy_for_a_named_model_leaves_the_named_models_in_front() -> None:
    settings = configured(strategies={"models": {"gpt-4o": "cheapest"}})
    targets = targets_of(settings)
    asked = Requirements(SMART, named=("gpt-4o", "llama3.1:8b"))
    stats = TargetStats(lambda name: None)

    made = make_plan(
        asked, TargetIndex(targets), stats, Strategies(settings.routing, targets).for_(asked), Random(0)
    )

    assert made.strategy == "cheapest"
    assert [c.target.model_id for c in made.ordered][:2] == ["gpt-4o", "llama3.1:8b"]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (
            {"models": {"gpt-4": "cheapest"}},
            "names model 'gpt-4', which no provider has; did you mean 'gpt-4o'?",
        ),
        ({"models": {"zzz": "cheapest"}}, "names model 'zzz', which no provider has (there are: gpt-4o, "),
        (
            {"tenants": {"acm": "cheapest"}},
            "names tenant 'acm', which is not configured; did you mean 'acme'?",
        ),
        ({"tasks": {"chat_smal": "cheapest"}}, "there is no task 'chat_smal'; did you mean 'chat_small'?"),
        ({"tasks": {"zzz": "cheapest"}}, "there is no task 'zzz'; there are: embedding, chat_small, "),
        ({"tasks": {"audio": "cheap"}}, "there is no strategy 'cheap'; did you mean 'cheapest'?"),
        ({"tasks": {"audio": 7}}, "routing.strategies.tasks.audio: must be a valid string, not 7"),
        ({"tasks": ["audio"]}, "routing.strategies.tasks: must be a mapping"),
        ({"task": {}}, "did you mean 'tasks'?"),
    ],
)
def test_a_choice_for_what_is_not_there_is_a_mistake(choices: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        configured(strategies=choices)

    assert said in str(error.value)


# --- what a strategy sees -----------------------------------------------------------------------------


def view(raw: bytes, **fields: Any) -> RequestView:
    return RequestView(Requirements(SMART, source=SimpleNamespace(raw=raw), **fields))


@pytest.mark.parametrize(
    ("raw", "session"),
    [
        (b'{"prompt_cache_key": "a", "metadata": {"session_id": "b"}}', "a"),
        (b'{"metadata": {"session_id": "b"}}', "b"),
        (b'{"prompt_cache_key": "", "metadata": {"session_id": "b"}}', "b"),
        (b'{"prompt_cache_key": 7, "metadata": {"session_id": ["b"]}}', None),
        (b'{"metadata": "b"}', None),
        (b"{}", None),
        (b"", None),
    ],
)
def test_the_session_is_what_the_request_says_it_is(raw: bytes, session: str | None) -> None:
    assert view(raw).session == session


def test_the_hash_goes_by_the_text_alone() -> None:
    one = view(b'{"model": "a", "messages": [{"role": "user", "content": "h\\u00e9"}]}')
    same = view('{"messages": [{"content": "hé", "role": "user"}], "temperature": 1}'.encode())
    other = view(b'{"messages": [{"role": "user", "content": "ho"}]}')

    assert one.text_hash == same.text_hash != other.text_hash
    assert len(one.text_hash) == 32
    assert view(b'{"input": "a"}').text_hash != view(b'{"input": "b"}').text_hash
    assert RequestView(Requirements(SMART)).text_hash == view(b"").text_hash


def test_a_lone_surrogate_has_a_hash_as_well() -> None:
    assert len(view(b'{"messages": [{"content": "\\ud800"}]}').text_hash) == 32


class Unread:
    """A request that says so when it is read."""

    @property
    def raw(self) -> bytes:
        raise AssertionError("the request was parsed")


@pytest.mark.parametrize("name", ["fallback", "cheapest", "fastest", "best_quality", "round_robin"])
def test_a_built_in_strategy_reads_neither_the_request_nor_the_load(name: str) -> None:
    def unread(provider_id: str) -> Any:
        raise AssertionError("the load was worked out")

    settings = configured()
    stats = TargetStats(lambda target: None, in_flight=unread, error_rate=unread)
    asked = Requirements(SMART, source=Unread())

    assert make_plan(asked, TargetIndex(targets_of(settings)), stats, load_strategy(name), Random(0)).ordered


def test_a_strategy_sees_tenant_task_and_the_load_of_each_candidate() -> None:
    seen: list[Any] = []

    class Looks:
        name = "looks"

        def order(
            self, candidates: Sequence[Candidate], request: RequestView, rng: Random
        ) -> list[Candidate]:
            seen.append((request.tenant, request.task))
            seen.extend((c.target.name, request.load(c)) for c in candidates)
            return list(candidates)

    stats = TargetStats(
        lambda target: None,
        latency_s={"openai_cloud/gpt-4o": 0.5}.get,
        in_flight=lambda provider_id: {"openai_cloud": 3}[provider_id],
        error_rate=lambda provider_id: {"openai_cloud": 0.25}[provider_id],
    )
    asked = Requirements(SMART, tenant="acme", named=("gpt-4o",), only_named=True)
    make_plan(asked, TargetIndex(targets_of(configured())), stats, Looks(), Random(0))

    assert seen == [("acme", SMART), ("openai_cloud/gpt-4o", Load(3, 0.5, 0.25))]


# --- strategies of a package --------------------------------------------------------------------------


def test_a_strategy_of_a_package_keeps_a_session_at_one_target(tmp_path: Path) -> None:
    targets = targets_of(configured())

    def first(session: str) -> str:
        source = SimpleNamespace(raw=f'{{"prompt_cache_key": "{session}"}}'.encode())
        asked = Requirements(SMALL, source=source)
        return (
            make_plan(asked, TargetIndex(targets), TargetStats(lambda name: None), sticky, Random())
            .ordered[0]
            .target.name
        )

    with on_path(install_example(tmp_path)):
        sticky = load_strategy("sticky")
        firsts = {session: first(session) for session in map(str, range(40))}

        assert len(set(firsts.values())) > 1
        assert all(first(session) == target for session, target in firsts.items())


Order = Callable[[list[Candidate]], Any]


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(lambda given: given[:1], id="loses one"),
        pytest.param(lambda given: [*given, given[0]], id="repeats one"),
        pytest.param(lambda given: [*given[1:], given[0]._replace(priority=0)], id="changes one"),
        pytest.param(lambda given: given[0].nothing, id="raises"),
        pytest.param(lambda given: None, id="returns nothing"),
        pytest.param(lambda given: given.clear() or [], id="empties what it was given"),
    ],
)
def test_a_strategy_that_fails_leaves_the_order_to_the_priorities_and_is_logged_once(
    order: Order, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad:
        name = "bad"

        def order(self, candidates: Any, request: RequestView, rng: Random) -> Any:
            return order(candidates)

    asked, targets = Requirements(SMALL), targets_of(configured())
    stats = TargetStats(lambda target: None)
    strategy = PluginStrategy("bad", Bad())
    with caplog.at_level(logging.ERROR):
        made = [make_plan(asked, TargetIndex(targets), stats, strategy, Random(0)) for _ in range(3)]

    usual = make_plan(asked, TargetIndex(targets), stats, load_strategy("fallback"), Random(0))
    assert [plan.ordered for plan in made] == [usual.ordered] * 3
    assert len(usual.ordered) > 1
    [record] = caplog.records
    assert "strategy 'bad' failed" in record.getMessage()
