"""
Only the catalogue names vendors.

What the gateway knows about a vendor is in its row, so other code asks the row instead of comparing names. A
file in the list below may use the names given there, for the reason given there.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import serve_app
from serve_app.providers.catalogue.rows import VENDORS
from tests.support.source import tree_of

ROOT = Path(serve_app.__file__).parent
CATALOGUE = ROOT / "providers" / "catalogue"

TYPES = set(VENDORS)
PREFIXES = {row.litellm_prefix for row in VENDORS.values() if row.litellm_prefix}
HOSTS = {urlsplit(row.base_url).hostname for row in VENDORS.values() if row.base_url} - {"localhost"}
# LiteLLM's own variables are switches of a Python package.
VARIABLE = re.compile(rf"({'|'.join(TYPES - {'litellm'})})(_[a-z]+)+", re.IGNORECASE)

API = "names in the responses of the admin API of version 1"
CLIENT = "the documented tables of a client of version 1"
LITELLM = "the Python package of that name"
EXCEPTIONS = {
    "api/admin/backend.py": ("vllm", "the name of a stored record"),
    "api/admin/costs.py": ("anthropic vllm", API),
    "api/admin/status.py": ("anthropic vllm", API),
    "cli/check.py": ("vllm", "the Python package of that name"),
    "cli/prices.py": ("litellm", LITELLM),
    "clients/model_router/config.py": ("anthropic gemini ollama openai", CLIENT),
    "clients/model_router/openai_provider.py": ("openai", CLIENT),
    "clients/model_router/router.py": ("anthropic gemini ollama openai", CLIENT),
    "clients/unified/client.py": ("anthropic vllm", CLIENT),
    "clients/unified/configuration.py": ("ANTHROPIC_BASE_URL anthropic vllm", CLIENT),
    "config/legacy.py": ("OLLAMA_URL", "the variables of version 1"),
    "config/provider.py": ("anthropic ollama openai", "the documented values of `ProviderType` of version 1"),
    "config/provider_types.py": ("litellm", LITELLM),
    "control/backend.py": ("anthropic vllm", "the two backends of the admin API of version 1"),
    "control/local_control_plane.py": ("vllm", "the name of a stored record"),
    "pricing/price_list.py": ("litellm", LITELLM),
    "providers/litellm/provider.py": ("litellm", LITELLM),
    "providers/tokenizer.py": ("litellm", LITELLM),
}


def literals_of(file: Path) -> Iterator[str]:
    """Yield every string in the file but docstrings and the names of keyword arguments."""
    tree = tree_of(file.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
            yield node.value


def names_a_vendor(text: str) -> bool:
    """Return whether the text is a vendor's type, LiteLLM's name of it, its variable, or holds its host."""
    is_variable = text.isupper() and VARIABLE.fullmatch(text) is not None
    return text in TYPES | PREFIXES or is_variable or any(host in text for host in HOSTS if host)


FILES = sorted(file for file in ROOT.rglob("*.py") if not file.is_relative_to(CATALOGUE))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_file_names_a_vendor_only_for_a_reason_given_here(file: Path) -> None:
    named = {text for text in literals_of(file) if names_a_vendor(text)}
    allowed, _ = EXCEPTIONS.get(file.relative_to(ROOT).as_posix(), ("", ""))

    assert not named - set(allowed.split()), "ask the vendor's row in providers/catalogue/rows.py instead"
    assert not set(allowed.split()) - named, "these names are no longer used: take them out of EXCEPTIONS"


def test_every_exception_is_a_file() -> None:
    assert EXCEPTIONS.keys() <= {file.relative_to(ROOT).as_posix() for file in FILES}


@pytest.mark.parametrize(
    "text", ["openai", "together_ai", "OPENAI_API_KEY", "VLLM_ENDPOINT", "https://api.x.ai/v1"]
)
def test_a_type_a_prefix_a_variable_and_an_address_are_recognised(text: str) -> None:
    assert names_a_vendor(text)


@pytest.mark.parametrize("text", ["gpt-5", "vllm_endpoint", "found Ollama at", "OPENAI", "together we"])
def test_a_model_a_setting_and_a_sentence_are_no_vendors_name(text: str) -> None:
    assert not names_a_vendor(text)
