"""How often a request lets the vendor use tools of its own."""

from copy import deepcopy
from typing import Any

import pytest

from serve_app.formats.chat_request import HostedTools
from serve_app.formats.json_body import InvalidField
from serve_app.formats.openai_chat.hosted_tools import hosted_tools, limit_uses

SEARCH, FETCH = {"type": "web_search_20250305"}, {"type": "web_fetch_20250910"}


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ({}, HostedTools()),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, HostedTools()),
        ({"tools": [{**SEARCH, "max_uses": 3}]}, HostedTools(searches=3)),
        ({"tools": [SEARCH, {**SEARCH, "max_uses": 3}]}, HostedTools(searches=8, lacks_uses=True)),
        (
            {"tools": [{**FETCH, "max_uses": 2, "max_content_tokens": 1_500}, {**FETCH, "max_uses": 1}]},
            HostedTools(fetched=3_000 + 100_000),
        ),
        ({"web_search_options": {}}, HostedTools(searches=5, lacks_uses=True)),
        ({"web_search_options": {"search_context_size": "low"}}, HostedTools(searches=1)),
        (
            {"tools": [{**SEARCH, "max_uses": 3}], "web_search_options": {"search_context_size": "high"}},
            HostedTools(searches=13),
        ),
        ({"web_search_options": {"search_context_size": "medium"}}, HostedTools(searches=5)),
        ({"web_search_options": {"search_context_size": "huge"}}, HostedTools(searches=5, lacks_uses=True)),
        ({"web_search_options": {"search_context_size": ["low"]}}, HostedTools(searches=5, lacks_uses=True)),
        (
            {"tools": [SEARCH], "web_search_options": {"search_context_size": "low"}},
            HostedTools(searches=6, lacks_uses=True),
        ),
        ({"tools": [FETCH, {**FETCH, "max_uses": 1}]}, HostedTools(fetched=600_000, lacks_uses=True)),
        ({"tools": [{**SEARCH, "max_uses": 1}]}, HostedTools(searches=1)),
        ({"tools": [{**SEARCH, "max_uses": 1000}]}, HostedTools(searches=1000)),
        ({"tools": [{**FETCH, "max_uses": 1, "max_content_tokens": 1}]}, HostedTools(fetched=1)),
        ({"tools": None, "web_search_options": None}, HostedTools()),
        ({"plugins": [{"id": "web"}]}, HostedTools(unbounded="plugins")),
        ({"search_parameters": {"mode": "on"}}, HostedTools(unbounded="search_parameters")),
        ({"enable_search": True}, HostedTools(unbounded="enable_search")),
        ({"plugins": [], "search_parameters": None, "enable_search": False}, HostedTools()),
        ({"tools": [{"type": "maps"}], "plugins": [{"id": "web"}]}, HostedTools(unbounded="maps")),
        ({"tools": [{"type": "maps"}, {"type": "code"}]}, HostedTools(unbounded="maps")),
        ({"tools": [{"googleMaps": {}}]}, HostedTools(unbounded="googleMaps")),
        ({"tools": [{"type": 7, "googleMaps": {}}]}, HostedTools(unbounded="type")),
        ({"tools": [{"type": "x" * 200}]}, HostedTools(unbounded="x" * 100)),
    ],
)
def test_uses_add_up_to_their_bound_or_to_ours(body: dict[str, Any], allowed: HostedTools) -> None:
    assert hosted_tools(body) == allowed


def test_a_bound_that_is_written_in_is_the_one_that_was_counted() -> None:
    body: dict[str, Any] = {"tools": [dict(SEARCH), {**SEARCH, "max_uses": 3}], "web_search_options": {}}
    counted = hosted_tools(body)

    limit_uses(body)

    assert hosted_tools(body) == counted._replace(lacks_uses=False)
    assert [tool["max_uses"] for tool in body["tools"]] == [5, 3]


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{**SEARCH, "max_uses": 0}]},
        {"tools": [{**SEARCH, "max_uses": 1001}]},
        {"tools": [{**FETCH, "max_uses": 0}]},
        {"tools": [{**FETCH, "max_content_tokens": 0}]},
        {"web_search_options": ["low"]},
    ],
)
def test_a_bound_that_is_none_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidField):
        hosted_tools(body)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": None, "web_search_options": None},
        {"tools": {**SEARCH}, "web_search_options": "low"},
        {"tools": ["web_search", {"type": ["web_search_20250305"]}, {"type": "function"}]},
        {"tools": [{**SEARCH, "max_uses": 3}], "web_search_options": {"search_context_size": "low"}},
    ],
)
def test_nothing_is_written_where_no_bound_is_lacking(fields: dict[str, Any]) -> None:
    as_given = deepcopy(fields)

    limit_uses(fields)

    assert fields == as_given


@pytest.mark.parametrize("size", [None, "huge", ["low"], {}])
def test_a_size_that_nobody_knows_becomes_the_one_that_is_counted(size: object) -> None:
    fields: dict[str, Any] = {"web_search_options": {"search_context_size": size}}

    limit_uses(fields)

    assert fields == {"web_search_options": {"search_context_size": "medium"}}


@pytest.mark.parametrize(
    "tool",
    [
        {"googleSearch": {}},
        {"type": "custom", "googleSearch": {}},
        {"type": "bash_20250124", "google_search": {}},
        {"name": "mine", "enterpriseWebSearch": {}},
        {"type": "web_search"},
    ],
)
def test_a_tool_that_the_vendor_runs_is_known_beside_other_words(tool: dict[str, Any]) -> None:
    assert hosted_tools({"tools": [tool]}).unbounded is not None


@pytest.mark.parametrize(
    "tool",
    [{"type": "function", "function": {"name": "google_search"}}, {"name": "mine", "input_schema": {}}],
)
def test_a_tool_of_the_callers_own_is_not_one_whatever_its_name(tool: dict[str, Any]) -> None:
    assert hosted_tools({"tools": [tool]}).unbounded is None
