"""
The valid types of providers: the catalogue's, and every provider that LiteLLM knows.

LiteLLM takes seconds to import, so its list is read from its files.
"""

import importlib.util
import json
import re
from functools import cache
from pathlib import Path

from serve_app.config.names import did_you_mean
from serve_app.config.plugins import PROVIDERS, how_to_install, is_offered, offered_names, plugin_mistake
from serve_app.providers.catalogue.rows import VENDORS

_ENUM = re.compile(r"^class LlmProviders\(.*?\):\n(.*?)^\S", re.M | re.S)
_MEMBER = re.compile(r"^    [A-Z0-9_]+ = \"([^\"]+)\"$", re.M)


def unknown_type(type_: str) -> str | None:
    """Return an error message for an unknown type; None: the type is valid."""
    if is_built_in(type_):
        return None
    if is_offered(PROVIDERS, type_):
        return plugin_mistake(PROVIDERS, type_)
    known = litellm_types()
    if not known:
        return None
    own = (*VENDORS, *offered_names(PROVIDERS))
    near = did_you_mean(type_, own) or did_you_mean(type_, known)
    there = f"; there are: {', '.join(sorted(own))}, and every provider LiteLLM knows"
    return f"is not a type of provider: '{type_}'{near or f'{there}.'} {how_to_install(PROVIDERS, type_)}"


def is_built_in(type_: str) -> bool:
    """Return whether a type is in the catalogue or LiteLLM's; packages cannot replace these."""
    return type_ in VENDORS or type_ in litellm_types()


def is_plugin_type(type_: str) -> bool:
    """Return whether the type needs code of a package, even if that is missing on this machine."""
    return not is_built_in(type_) and (bool(litellm_types()) or is_offered(PROVIDERS, type_))


@cache
def litellm_types() -> frozenset[str]:
    """Return every provider that the installed LiteLLM knows, without importing it; empty without LiteLLM."""
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
