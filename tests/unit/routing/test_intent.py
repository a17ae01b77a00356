"""What a model name means (architecture D10)."""

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
        ("gpt-4o", Intent(ModelTask.CHAT_SMART, "gpt-4o")),
        ("gpt-4o-mini", Intent(ModelTask.CHAT_SMALL, "gpt-4o-mini")),
        ("openai_cloud/gpt-4o", Intent(ModelTask.CHAT_SMART, "openai_cloud/gpt-4o")),
        ("haiku", Intent(ModelTask.CHAT_SMALL, "claude-3-haiku-20240307")),
        ("opus", Intent(ModelTask.CHAT_SMART, "claude-3-opus-20240229")),
    ],
)
def test_a_name_becomes_a_task_and_a_preference(name: str | None, intent: Intent) -> None:
    assert NAMES.chat(name) == intent


def test_a_model_under_two_tasks_is_taken_for_what_its_name_says() -> None:
    assert ModelNames(targets_of(settings(LOCAL))).chat("llama3.1:8b").task is ModelTask.CHAT_SMART


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(ModelNotFound, match=r"'gpt-9' does not exist here.*gpt-4o.*chat_small"):
        NAMES.chat("gpt-9")


def test_an_embedding_model_does_not_chat_and_a_chat_model_does_not_embed() -> None:
    with pytest.raises(ModelNotFound):
        NAMES.chat("nomic-embed-text")
    with pytest.raises(ModelNotFound, match="There are: nomic-embed-text"):
        NAMES.embedding("gpt-4o")
