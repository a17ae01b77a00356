"""
OpenAI's tokenizers, to count the usage that an upstream does not report.

LiteLLM's package contains two of the vocabularies; nothing is ever downloaded. Other vendors publish no
tokenizer that fits all of their models, so there is none here.
"""

import hashlib
import importlib.util
import os
import re
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from serve_app.pricing.usage import CHARS_PER_TOKEN

if TYPE_CHECKING:
    from tiktoken import Encoding

SLICE = 10_000  # characters encoded in one go: a text without a space takes more than its share of time
MOST = 4_000_000  # characters of one text that are encoded; the rest is estimated by its length

_FOLDER = Path("litellm_core_utils", "tokenizers")
_LOADING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A vocabulary of OpenAI: its name in tiktoken, its file, and the SHA-256 of the file."""

    name: str
    file: str
    sha256: str


O200K = Vocabulary(
    "o200k_base",
    "fb374d419588a4632f3f557e76b4b70aebbca790",
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
)
CL100K = Vocabulary(
    "cl100k_base",
    "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
)

_FAMILIES = (
    (re.compile(r"(ft:)?(chatgpt-4o|gpt-4o|gpt-4\.\d|gpt-[5-9]|gpt-oss|gpt-audio|o[1-9])\b"), O200K),
    (re.compile(r"(ft:)?(gpt-4|gpt-3\.5|gpt-35|text-embedding-3|text-embedding-ada)\b"), CL100K),
)


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Counts tokens with one vocabulary, which is loaded at the first count: that takes half a second."""

    vocabulary: Vocabulary

    def count(self, text: str) -> int:
        """Count tokens; beyond `MOST` characters they are estimated by length. Call it in a thread."""
        encoding = _encoding(self.vocabulary)
        starts = range(0, min(len(text), MOST), SLICE)
        counted = sum(len(encoding.encode_ordinary(text[start : start + SLICE])) for start in starts)
        return counted + max(0, len(text) - MOST) // CHARS_PER_TOKEN


@cache
def tokenizer_for(model_id: str) -> Tokenizer | None:
    """Return the tokenizer of this model; None if it is unknown or its vocabulary is not installed."""
    name = model_id.rpartition("/")[2]
    vocabulary = next((found for family, found in _FAMILIES if family.match(name)), None)
    return Tokenizer(vocabulary) if vocabulary and _file_of(vocabulary) else None


def _file_of(vocabulary: Vocabulary) -> Path | None:
    """Return the path of the file in LiteLLM's package, without importing LiteLLM."""
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder) / _FOLDER / vocabulary.file
        if path.is_file():
            return path
    return None


def _encoding(vocabulary: Vocabulary) -> "Encoding":
    with _LOADING:
        return _loaded(vocabulary)


@cache
def _loaded(vocabulary: Vocabulary) -> "Encoding":
    path = _file_of(vocabulary)
    # tiktoken would delete a damaged file and download another.
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != vocabulary.sha256:
        raise ValueError(f"the vocabulary '{vocabulary.name}' is missing or damaged")
    import tiktoken

    os.environ["TIKTOKEN_CACHE_DIR"] = str(path.parent)
    return tiktoken.get_encoding(vocabulary.name)
