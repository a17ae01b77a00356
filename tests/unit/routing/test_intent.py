"""What a model name means."""

import pytest

from serve_app.config.model import ModelTask
from serve_app.errors import ModelNotFound
from serve_app.routing.intent import Intent, ModelNames
from serve_app.routing.target import targets_of
from tests.support.settings import HYBRID, LOCAL, settings

NAMES = ModelNames(targets_of(settings(HYBRID)))


@pytest.mark.parametrize(
    ("name", "intent"),
    [
        (None, Intent(ModelTask.CHAT_SMART)),
        ("", Intent(ModelTask.CHAT_SMART)),
        ("auto", Intent(ModelTask.CHAT_SMART)),
        ("chat_small", Intent(ModelTask.CHAT_SMALL)),
        ("vision", Intent(ModelTask.VISION)),
        ("gpt-4o", Intent(ModelTask.CHAT_SMART, named="gpt-4o")),
        ("gpt-4o-mini", Intent(ModelTask.CHAT_SMALL, named="gpt-4o-mini")),
        ("openai_cloud/gpt-4o", Intent(ModelTask.CHAT_SMART, named="openai_cloud/gpt-4o")),
        ("haiku", Intent(ModelTask.CHAT_SMALL, "claude-3-haiku-20240307")),
        ("opus", Intent(ModelTask.CHAT_SMART, "claude-3-opus-20240229")),
    ],
)
def test_a_name_becomes_a_task_and_a_model_where_it_names_one(name: str | None, intent: Intent) -> None:
    assert NAMES.chat(name) == intent


def test_a_model_under_two_tasks_is_taken_for_what_its_name_says() -> None:
    assert ModelNames(targets_of(settings(LOCAL))).chat("llama3.1:8b").task is ModelTask.CHAT_SMART


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(ModelNotFound, match=r"'gpt-9' does not exist.*gpt-4o.*chat_small"):
        NAMES.chat("gpt-9")


def test_a_model_that_is_for_something_else_is_told_what_it_is_for() -> None:
    with pytest.raises(
        ModelNotFound, match=r"'nomic-embed-text' does not serve this endpoint; it is for embedding"
    ):
        NAMES.chat("nomic-embed-text")
    with pytest.raises(ModelNotFound, match=r"it is for chat_smart .*Available: nomic-embed-text"):
        NAMES.of_task(ModelTask.EMBEDDING, "gpt-4o")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),  # the longer of two that fit
        ("openai/gpt-4o", "gpt-4o"),
        ("GPT-4O", "gpt-4o"),
        ("llama3.1:8", "llama3.1:8b"),
    ],
)
def test_a_name_that_is_nearly_one_of_ours_is_told_which(written: str, meant: str) -> None:
    with pytest.raises(ModelNotFound, match=f"'{written}' does not exist; did you mean '{meant}'"):
        NAMES.chat(written)


def test_a_name_like_no_other_is_told_no_guess_and_an_endless_one_is_cut() -> None:
    with pytest.raises(ModelNotFound) as unlike:
        NAMES.chat("claude-opus")
    with pytest.raises(ModelNotFound) as endless:
        NAMES.chat("x" * 100_000)

    assert "did you mean" not in unlike.value.message
    assert len(endless.value.message) < 1000


OFFERED = {
    "llm_providers": [
        {
            "id": "p",
            "type": "openai",
            "models": [
                {"model_id": name, "task": task}
                for name, tasks in {
                    "everything": "chat_large chat_small chat_smart",
                    "x-mini": "chat_smart chat_small",
                    "x-small": "chat_smart chat_small",
                    "x-large": "chat_smart chat_large",
                    "y-large": "chat_small",
                    "y-mini": "chat_large",
                    "one": "embedding",
                }.items()
                for task in tasks.split()
            ],
        }
    ],
    "default_models": {},
}


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("everything", ModelTask.CHAT_SMART),
        ("x-mini", ModelTask.CHAT_SMALL),
        ("x-small", ModelTask.CHAT_SMALL),
        ("x-large", ModelTask.CHAT_LARGE),
        ("y-large", ModelTask.CHAT_SMALL),  # the name says otherwise, and the configuration counts
        ("y-mini", ModelTask.CHAT_LARGE),
    ],
)
def test_the_words_in_a_name_choose_between_the_tasks_it_is_configured_for(
    name: str, task: ModelTask
) -> None:
    assert ModelNames(targets_of(settings(OFFERED))).chat(name) == Intent(task, named=name)


@pytest.mark.parametrize(
    ("name", "named"),
    [(None, None), ("", None), ("auto", None), ("embedding", None), ("one", "one"), ("p/one", "p/one")],
)
def test_an_embedding_names_a_model_or_leaves_the_choice(name: str | None, named: str | None) -> None:
    intent = ModelNames(targets_of(settings(OFFERED))).of_task(ModelTask.EMBEDDING, name)

    assert intent == Intent(ModelTask.EMBEDDING, named=named)


def test_a_tier_is_any_chat_that_the_vendor_serves_rather_than_nothing() -> None:
    models = [{"model_id": task, "task": task} for task in ("chat_large", "embedding")]
    offered = {"llm_providers": [{"id": "p", "type": "openai", "models": models}], "default_models": {}}
    names = ModelNames(targets_of(settings(offered)))

    assert names.tier_at("haiku", "openai") == Intent(ModelTask.CHAT_LARGE)
    assert names.tier_at("haiku", "anthropic") == Intent(ModelTask.CHAT_SMALL), "for an error that says so"


def names_of(type_: str = "openai", /, **tasks: str) -> ModelNames:
    models = [{"model_id": name, "task": task} for name, task in tasks.items()]
    offered = {"llm_providers": [{"id": "p", "type": type_, "models": models}], "default_models": {}}
    return ModelNames(targets_of(settings(offered)))


@pytest.mark.parametrize(
    ("name", "is_model", "for_many", "is_left_to_us"),
    [
        (None, False, None, True),
        ("", False, False, True),
        ("auto", False, True, True),
        ("haiku", False, True, True),
        ("chat_smart", False, True, False),
        ("embedding", False, True, False),
        ("m", True, False, False),
        ("p/m", True, False, False),
        ("opus", True, False, False),  # a model of that name is configured
        ("gpt-9", False, False, False),
    ],
)
def test_a_name_is_of_one_model_or_of_many_or_leaves_us_the_choice(
    name: str | None, is_model: bool, for_many: bool | None, is_left_to_us: bool
) -> None:
    names = names_of(m="chat_smart", opus="chat_small")

    assert names.leaves_the_choice(name) is is_left_to_us
    if name is not None:
        assert (names.is_model(name), names.stands_for_many(name)) == (is_model, for_many)


def test_known_are_models_once_the_tasks_that_are_served_and_auto() -> None:
    assert ModelNames(targets_of(settings(LOCAL))).known == (
        "nomic-embed-text", "llama3.1:8b", "chat_small", "chat_smart", "embedding", "auto",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("served", "tier", "task"),
    [
        ("chat_small", "haiku", ModelTask.CHAT_SMALL),
        ("chat_smart", "haiku", ModelTask.CHAT_SMALL),
        ("chat_smart", "opus", ModelTask.CHAT_SMART),
        ("chat_large", "opus", ModelTask.CHAT_LARGE),
        ("chat_small", "opus", ModelTask.CHAT_SMART),
        ("chat_small", "qwen", ModelTask.CHAT_SMALL),
        ("chat_smart", "qwen", ModelTask.CHAT_SMART),
        ("chat_small", "sonnet", ModelTask.CHAT_SMART),
    ],
)
def test_a_tier_is_the_first_of_its_tasks_that_is_served_or_its_last(
    served: str, tier: str, task: ModelTask
) -> None:
    names = names_of("vllm" if tier == "qwen" else "openai", m=served)

    assert names.chat(tier).task is task
    assert names.chat(tier).preferred_model is not None


@pytest.mark.parametrize(
    ("served", "tier", "task"),
    [
        ("chat_small", "haiku", ModelTask.CHAT_SMALL),
        ("chat_smart", "haiku", ModelTask.CHAT_SMART),
        ("chat_large", "haiku", ModelTask.CHAT_LARGE),
        ("chat_small", "opus", ModelTask.CHAT_SMALL),
        ("embedding", "opus", ModelTask.CHAT_LARGE),
    ],
)
def test_at_one_vendor_a_tier_is_any_chat_that_it_serves(served: str, tier: str, task: ModelTask) -> None:
    assert names_of(m=served).tier_at(tier, "openai") == Intent(task)
    assert names_of(m=served).tier_at(tier, "other") == names_of(m="embedding").tier_at(tier, "openai")


QWEN = "Qwen/Qwen2.5-7B-Instruct"
CLOUD = {"id": "cloud", "type": "openai", "models": [{"model_id": "gpt-4o-mini", "task": "chat_small"}]}
OLLAMA = {"id": "home", "type": "ollama", "models": [{"model_id": "llama3.1:8b", "task": "chat_small"}]}
HOSTS_QWEN = {"id": "home", "type": "ollama", "models": [{"model_id": QWEN, "task": "chat_small"}]}
VLLM = {
    "id": "own",
    "type": "vllm",
    "base_url": "http://127.0.0.1:9",
    "models": [{"model_id": "llama", "task": "chat_large"}],
}


@pytest.mark.parametrize(
    ("providers", "own_type", "is_there"),
    [
        ([CLOUD], None, False),
        ([OLLAMA, CLOUD], None, False),
        ([HOSTS_QWEN, CLOUD], None, True),
        ([CLOUD, VLLM], "vllm", True),
        ([VLLM], "vllm", True),
    ],
)
def test_the_tier_of_a_machine_of_ones_own_is_there_only_with_one(
    providers: list[dict[str, object]], own_type: str | None, is_there: bool
) -> None:
    names = ModelNames(targets_of(settings({"llm_providers": providers, "default_models": {}})))

    assert names.own_type("qwen") == own_type
    assert [names.own_type(name) for name in ("haiku", "auto", "gpt-4o-mini", None)] == [None] * 4
    if is_there:
        assert names.chat("qwen").preferred_model == QWEN
    else:
        with pytest.raises(ModelNotFound, match=r"'qwen' does not exist.*Available: .*type 'vllm'"):
            names.chat("qwen")
