"""The words of a question to the router."""

import pytest
from pydantic import ValidationError

from serve_app.schemas.routing import ProviderWords


def test_a_provider_has_a_name() -> None:
    assert ProviderWords(only=["a"], ignore=[], order=None).only == ["a"]
    for words in ("only", "ignore", "order"):
        with pytest.raises(ValidationError, match="at least 1 character"):
            ProviderWords.model_validate({words: ["a", ""]})
