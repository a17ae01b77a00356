"""Whatever stands in a variable or a file: it loads, or it is refused in our own words."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.config.load import load
from serve_app.config.read import parse_yaml
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError

words = st.sampled_from(
    ["id", "type", "timeout", "timeout_secs", "api_key", "models", "model_id", "task", "x"]
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["${A}", "${A:-b}", "$${A}", "${", "a-b", "ollama", "chat_small", "sk-secret"])
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)
providers = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["a", "b"]) | leaves, "type": st.just("ollama") | leaves},
        optional={"models": trees, "timeout": leaves, "api_key": leaves, "script": trees},
    ),
    max_size=3,
)


def loads_or_says_why(source: Any, environ: Mapping[str, str]) -> None:
    try:
        loaded = load(source, environ, folder=Path("/nonexistent"), ollama_models=lambda _: None)
    except ConfigError as refusal:
        str(refusal).encode()  # fit to be printed
    else:
        assert isinstance(loaded.settings, Settings)


@settings(max_examples=200, deadline=None)
@given(providers | trees)
def test_any_json_in_the_providers_variable(value: Any) -> None:
    loads_or_says_why(None, {"SEKHA__LLM_PROVIDERS": json.dumps(value)})


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_text_in_a_variable(text: str) -> None:
    loads_or_says_why(
        None, {"SEKHA__LLM_PROVIDERS": text, "SEKHA__ROUTING__STRATEGY": text, "OLLAMA_URL": text}
    )


sections = st.sampled_from([*Settings.model_fields, "providers", "routing", "circuit_breaker", "nonsense"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(sections, providers | trees, max_size=5))
def test_any_mapping_as_configuration(source: dict[str, Any]) -> None:
    loads_or_says_why(source, {})


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!%|>'\"# \n\t0", max_size=40))
def test_any_text_as_yaml(text: str) -> None:
    with suppress(ConfigError):
        parse_yaml(text, "file")
