"""Entities in the answers of models."""

import pytest

from serve_app.services.entities import MOST_OF_A_KIND, Entities, entities_in

NOBODY = Entities()


@pytest.mark.contract(70)
def test_fenced_json_is_read() -> None:
    lists = '{"people": ["Ada"], "organizations": [], "technical_terms": ["Ray"], "concepts": ["x"]}'
    text = f"```json\n{lists}\n```"

    assert entities_in(text) == Entities(("Ada",), (), ("Ray",), ("x",))


@pytest.mark.contract(70)
@pytest.mark.parametrize("text", ["", "There is Ada.", '{"people": ["Ada"', "[1, 2]", '"people"'])
def test_an_answer_that_is_not_json_lists_nothing(text: str) -> None:
    assert entities_in(text) == NOBODY


@pytest.mark.contract(70)
def test_a_missing_list_is_empty() -> None:
    assert entities_in('{"people": ["Ada"]}') == Entities(("Ada",))


@pytest.mark.parametrize(
    "written",
    [
        '{"entities": {"people": ["Ada"]}}',
        '{"people": [{"name": "Ada"}]}',
        '{"people": [{"value": "Ada", "confidence": 0.9}]}',
        '{"people": [" Ada ", "Ada", "", 7, null, ["Eve"], {"age": 3}]}',
    ],
)
def test_other_ways_to_write_the_lists_are_understood(written: str) -> None:
    assert entities_in(written) == Entities(("Ada",))


def test_organisations_may_be_spelled_in_english() -> None:
    assert entities_in('{"organisations": ["ACM"]}').organizations == ("ACM",)


def test_lists_and_their_items_are_bounded() -> None:
    many = ",".join(f'"{number}"' for number in range(1000))

    assert len(entities_in(f'{{"people": [{many}]}}').people) == MOST_OF_A_KIND
    assert entities_in(f'{{"people": ["{"x" * 201}", "Ada"]}}').people == ("Ada",)


@pytest.mark.parametrize("value", ['"Ada"', "7", "null", "{}", "true"])
def test_what_is_no_list_lists_nothing(value: str) -> None:
    assert entities_in(f'{{"people": {value}}}') == NOBODY
