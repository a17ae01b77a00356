"""A middleware: requests that hold a word are refused."""

from typing import Any

from serve_app.errors import InvalidRequest


class Forbid:
    """`options.word` is the word."""

    def __init__(self, word: str) -> None:
        self._word = word.encode()

    async def __call__(self, request: Any, call_next: Any) -> Any:
        if self._word in request.body:
            raise InvalidRequest("The request holds a word that is forbidden here", code="forbidden_word")
        return await call_next(request)
