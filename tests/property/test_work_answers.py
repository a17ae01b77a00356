"""Whatever a model answers, what the work endpoints make of it can be sent to the caller."""

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from serve_app.services.answer import text_of
from serve_app.services.entities import MOST_OF_A_KIND, entities_in
from serve_app.services.importance import importance_in
from serve_app.services.vector import vector_in

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
KNOWN = st.sampled_from(
    ["people", "organizations", "technical_terms", "concepts", "entities", "score", "reasoning", "name"]
)
NEARLY = st.dictionaries(KNOWN, JSON | st.dictionaries(KNOWN, JSON) | st.lists(st.dictionaries(KNOWN, JSON)))
PIECES = st.sampled_from(
    ["score", ":", "/10", "```", "```json", "{", "}", "\n", "<think>", "</think>", "-7", "9,5"]
)


def _written(value: Any) -> str:
    """Return JSON, also of what orjson would not write: the numbers of Python's own writer."""
    return json.dumps(value)


# Noise, words that parsers look for, JSON that is nearly right.
TEXTS = st.lists(st.text(max_size=20) | PIECES | NEARLY.map(_written), max_size=12).map("".join)
ANSWERS = st.dictionaries(st.sampled_from(["choices", "data"]), JSON) | st.fixed_dictionaries(
    {
        "choices": st.lists(st.fixed_dictionaries({"message": st.fixed_dictionaries({"content": JSON})})),
        "data": st.lists(st.fixed_dictionaries({"embedding": st.lists(JSON)})),
    }
)


@given(TEXTS)
def test_a_score_is_always_within_the_scale_with_a_reasoning(text: str) -> None:
    found = importance_in(text)

    assert 1.0 <= found.score <= 10.0
    assert found.reasoning.strip()
    assert orjson.dumps(found._asdict())


@given(TEXTS)
def test_entities_are_always_four_bounded_lists_of_texts(text: str) -> None:
    found = entities_in(text)

    assert all(len(names) <= MOST_OF_A_KIND and all(names) for names in found)
    assert orjson.dumps(found._asdict())


@given(ANSWERS)
def test_any_answer_has_a_text_and_perhaps_a_vector(answer: dict[str, Any]) -> None:
    assert isinstance(text_of(answer), str)
    assert vector_in(answer) is None or orjson.dumps(vector_in(answer))
