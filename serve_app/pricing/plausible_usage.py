"""The check of a reported usage for impossible values."""

from typing import cast

from serve_app.pricing.usage import Usage

LARGEST_WINDOW = 2_000_000  # tokens, where a model's context window is not known
MOST_IMAGES = 100_000
MOST_SECONDS = 10_000_000

_COUNTS = slice(0, Usage._fields.index("estimated"))


def is_impossible(
    reported: Usage, most: Usage, window: int | None, answers: int = 1, rounds: int = 1
) -> bool:
    """
    Return whether no answer can have used this much.

    Args:
        reported: the usage that the vendor reports.
        most: what was reserved.
        window: the model's context window; None if unknown.
        answers: how many answers were requested.
        rounds: how often the model may have read its prompt, with tools that the vendor runs.
    """
    if min(cast(tuple[int, ...], reported[_COUNTS])) < 0:
        return True
    room = LARGEST_WINDOW if window is None else window
    return (
        reported.input_tokens > room * rounds + most.input_tokens
        or reported.output_tokens > room * max(answers, rounds) + most.output_tokens
        or reported.searches > most.searches + 1000
        or reported.images > MOST_IMAGES
        or reported.seconds > MOST_SECONDS
    )
