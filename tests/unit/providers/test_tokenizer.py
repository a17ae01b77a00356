"""OpenAI's tokenizers, as far as they are installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from serve_app.providers import tokenizer as module
from serve_app.providers.tokenizer import CL100K, MOST, O200K, SLICE, Tokenizer, Vocabulary, tokenizer_for

# fmt: off
O200K_MODELS = [
    "gpt-4o", "gpt-4o-mini-2024-07-18", "chatgpt-4o-latest", "gpt-4.1-nano", "gpt-4.5-preview", "gpt-5",
    "gpt-5.4-mini", "o1", "o3-mini", "o4-mini", "openai/gpt-oss-20b", "gpt-oss:20b", "azure/gpt-4o",
    "ft:gpt-4o-mini:org::id",
]
CL100K_MODELS = [
    "gpt-4", "gpt-4-turbo", "gpt-4-0613", "gpt-3.5-turbo", "gpt-35-turbo", "text-embedding-3-small",
    "text-embedding-ada-002",
]
UNKNOWN_MODELS = [
    "llama3.1:8b", "claude-3-opus", "text-embedding-004", "olmo", "o200", "gpt-40", "gpt-image-1", "gpt2", "",
]
# fmt: on


@pytest.mark.parametrize("model_id", O200K_MODELS)
def test_newer_models_of_openai_have_the_larger_vocabulary(model_id: str) -> None:
    assert tokenizer_for(model_id) == Tokenizer(O200K)


@pytest.mark.parametrize("model_id", CL100K_MODELS)
def test_older_models_and_embeddings_have_the_smaller_one(model_id: str) -> None:
    assert tokenizer_for(model_id) == Tokenizer(CL100K)


@pytest.mark.parametrize("model_id", UNKNOWN_MODELS)
def test_of_other_models_no_tokenizer_is_known(model_id: str) -> None:
    assert tokenizer_for(model_id) is None


def test_tokens_are_counted_as_openai_does() -> None:
    assert Tokenizer(O200K).count("Hello, world! Wie geht es dir?") == 9
    assert Tokenizer(CL100K).count("tiktoken is great!") == 6
    assert Tokenizer(O200K).count("") == 0


def test_a_text_is_no_instruction() -> None:
    assert Tokenizer(O200K).count("<|endoftext|>") > 1


def test_half_an_emoji_can_be_counted() -> None:
    assert Tokenizer(O200K).count("\ud83d half") > 0


def test_a_long_text_is_counted_in_slices_and_a_very_long_one_partly_by_its_length() -> None:
    short = Tokenizer(O200K).count("x " * (SLICE // 2))

    assert Tokenizer(O200K).count("x " * SLICE) == 2 * short
    assert Tokenizer(O200K).count("x" * (MOST + 400)) == Tokenizer(O200K).count("x" * MOST) + 100


def test_without_its_file_a_vocabulary_is_not_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_FOLDER", tmp_path)

    assert tokenizer_for.__wrapped__("gpt-4o") is None


def test_a_damaged_file_is_left_alone_and_said_to_be_damaged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_FOLDER", tmp_path)
    file = tmp_path / "words"
    file.write_text("IQ== 0\n")

    with pytest.raises(ValueError, match="'cl100k_base' is missing or damaged"):
        Tokenizer(Vocabulary("cl100k_base", "words", "0" * 64)).count("hello")
    assert file.exists()


@pytest.mark.process
def test_counting_neither_imports_litellm_nor_goes_to_the_network() -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*args, **more): raise AssertionError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from serve_app.providers.tokenizer import tokenizer_for\n"
        "assert tokenizer_for('gpt-4o').count('hello') == 1\n"
        "assert tokenizer_for('gpt-4').count('hello') == 1\n"
        "assert not {'litellm', 'ray', 'requests'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
