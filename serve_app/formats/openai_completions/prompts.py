"""The prompt of a text completion: a text, a list of texts, a list of tokens, or a list of those."""

from typing import Any

from serve_app.formats.json_body import MOST_TOKENS, InvalidField
from serve_app.pricing.usage import estimate_tokens

MOST_PROMPTS = 2048


def check_prompt(prompt: Any) -> int:
    """
    Return an estimate of the tokens in a prompt, over all of its parts.

    Raises:
        InvalidField: 422, it is missing, of another kind, or too many.
    """
    if prompt is None:
        raise InvalidField("prompt", "Field required", "missing")
    if isinstance(prompt, str):
        return _estimate(prompt)
    if isinstance(prompt, list) and prompt:
        if _are_tokens(prompt):
            return len(prompt)
        if len(prompt) > MOST_PROMPTS:
            raise InvalidField("prompt", f"Input should have at most {MOST_PROMPTS} prompts", "too_long")
        if all(isinstance(part, str) or (isinstance(part, list) and part) for part in prompt):
            lists = [part for part in prompt if isinstance(part, list)]
            if all(map(_are_tokens, lists)):
                return sum(_estimate(part) if isinstance(part, str) else len(part) for part in prompt)
    raise InvalidField("prompt", "Input should be a text, a list of texts, or lists of tokens", "prompt_type")


def prompts_in(prompt: Any) -> int:
    """Return how many prompts there are: each is answered on its own."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return len(prompt)
    return 1


def _estimate(text: str) -> int:
    return estimate_tokens(len(text.encode("utf-8", "surrogatepass")))


def _are_tokens(parts: list[Any]) -> bool:
    return all(_is_token(part) for part in parts)


def _is_token(part: Any) -> bool:
    """JSON has one kind of number: 5.0 is a whole one."""
    is_whole = type(part) is int or (type(part) is float and part.is_integer())
    return is_whole and 0 <= part <= MOST_TOKENS
