"""The words of a question to the router."""

import pytest
from pydantic import ValidationError

from serve_app.schemas.routing import ProviderWords, RouteRequest


def test_a_provider_has_a_name() -> None:
    assert ProviderWords(only=["a"], ignore=[], order=None).only == ["a"]
    for words in ("only", "ignore", "order"):
        with pytest.raises(ValidationError, match="at least 1 character"):
            ProviderWords.model_validate({words: ["a", ""]})


@pytest.mark.parametrize(("said", "allowed"), [(None, True), (True, True), (False, False)])
def test_others_may_stand_in_unless_the_caller_forbids_it(said: bool | None, allowed: bool) -> None:
    asked = RouteRequest(task="chat_smart", provider=ProviderWords(allow_fallbacks=said))

    assert asked.wishes.allow_fallbacks is allowed
    assert RouteRequest(task="chat_smart").wishes.allow_fallbacks
