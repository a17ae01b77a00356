"""The line below the table of `sekha costs`."""

from typing import Any

import pytest

from serve_app.cli.costs import total_of


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "Total $2.500000"),
        ({"cache_saving": 0.0}, "Total $2.500000"),
        ({"cache_saving": 1.25}, "Total $2.500000; prompt caches saved $1.250000"),
        ({"cache_saving": -0.5}, "Total $2.500000; prompt caches cost $0.500000"),
        (
            {"vllm_hours": 1.0, "cache_saving": 1.25},
            "Total $2.500000, $1.000000 of it for vLLM's hours; prompt caches saved $1.250000",
        ),
    ],
)
def test_it_tells_the_total_and_what_prompt_caches_saved(more: dict[str, Any], line: str) -> None:
    assert total_of({"total": 2.5, "vllm_hours": 0.0, **more}) == line
