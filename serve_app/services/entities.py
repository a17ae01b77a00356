"""Entities of a text: people, organisations, technical terms, concepts."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from serve_app.services.answer import object_in
from serve_app.services.material import check_text
from serve_app.services.question import Form, Question

MOST_OF_A_KIND = 200
LONGEST_ENTITY = 200  # characters

_LIST = {"type": "array", "items": {"type": "string"}}
_NAMES = ("people", "organizations", "technical_terms", "concepts")
_SPELLED = {"organizations": "organisations"}  # as models also write it
_NAMED_BY = ("name", "value", "text")  # in models that answer with objects

_FORM = Form(
    "entities",
    {
        "type": "object",
        "properties": dict.fromkeys(_NAMES, _LIST),
        "required": list(_NAMES),
        "additionalProperties": False,
    },
)
_INSTRUCTION = (
    "You extract entities from a text. Answer with one JSON object and nothing else. It has four lists of "
    'strings: "people" (names of persons), "organizations" (companies, institutions, teams), '
    '"technical_terms" (technologies, products, methods, terms of art) and "concepts" (the ideas and topics '
    "that it is about). Write each entity once, as the text writes it. A list may be empty. Add nothing that "
    "the text does not mention."
)


class Entities(NamedTuple):
    """The entities in a text, each list in the order of the model's answer."""

    people: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    technical_terms: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()


def entities_question(text: str) -> Question:
    """Return the question for the entities of a text. Raises InvalidRequest for one that is too long."""
    check_text(text, "text")
    return Question(
        instruction=_INSTRUCTION,
        material=text,
        task="Extract the entities of this material as the JSON object.",
        temperature=0.2,
        max_tokens=1000,
        form=_FORM,
    )


def entities_in(text: str) -> Entities:
    """Return the entities that a model's answer lists; an answer that is not JSON lists none."""
    found = object_in(text) or {}
    if isinstance(inner := found.get("entities"), dict):
        found = inner
    return Entities(*(_listed(found.get(name, found.get(_SPELLED.get(name, name)))) for name in _NAMES))


def _listed(value: Any) -> tuple[str, ...]:
    named = dict.fromkeys(_names(value if isinstance(value, list) else []))
    return tuple(named)[:MOST_OF_A_KIND]


def _names(values: list[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            value = next((value[key] for key in _NAMED_BY if key in value), None)
        if isinstance(value, str) and 0 < len(name := value.strip()) <= LONGEST_ENTITY:
            yield name
