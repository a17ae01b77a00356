"""How often a request lets the vendor use tools of its own."""

from typing import Any

import pytest

from serve_app.schemas.hosted_tools import HostedTools, hosted_tools, limit_uses

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
        ({"plugins": [{"id": "web"}]}, HostedTools(unbounded="plugins")),
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
