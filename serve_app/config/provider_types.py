"""
The values `type` of a provider may have: ours, and every provider LiteLLM knows.

LiteLLM takes seconds to import, so its list is read off its files.
"""

import importlib.util
import json
import re
from functools import cache
from pathlib import Path

from serve_app.config.names import did_you_mean
from serve_app.providers.catalogue.rows import VENDORS

_ENUM = re.compile(r"^class LlmProviders\(.*?\):\n(.*?)^\S", re.M | re.S)
_MEMBER = re.compile(r"^    [A-Z0-9_]+ = \"([^\"]+)\"$", re.M)


def unknown_type(type_: str) -> str | None:
    """Return what is wrong with a provider's type; None for a type that something here can speak to."""
    if type_ in VENDORS:
        return None
    known = litellm_types()
    if not known or type_ in known:
        return None
    near = did_you_mean(type_, tuple(VENDORS)) or did_you_mean(type_, known)
    named = ", ".join(sorted(VENDORS))
    return f"is no type of provider{near or f'; there are: {named}, and every provider LiteLLM knows'}"


@cache
def litellm_types() -> frozenset[str]:
    """Return every provider the installed LiteLLM knows; empty without LiteLLM. Does not import it."""
    spec = importlib.util.find_spec("litellm")
    for folder in map(Path, (spec.submodule_search_locations if spec else None) or ()):
        return _in_enum(folder) | _in_listing(folder) | _openai_like(folder)
    return frozenset()


def _in_enum(folder: Path) -> frozenset[str]:
    file = folder / "types" / "utils.py"
    found = _ENUM.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return frozenset(_MEMBER.findall(found[1])) if found else frozenset()


def _in_listing(folder: Path) -> frozenset[str]:
    file = folder / "provider_endpoints_support_backup.json"
    return frozenset(json.loads(file.read_bytes())["providers"]) if file.is_file() else frozenset()


def _openai_like(folder: Path) -> frozenset[str]:
    file = folder / "llms" / "openai_like" / "providers.json"
    return frozenset(json.loads(file.read_bytes())) if file.is_file() else frozenset()
