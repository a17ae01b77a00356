"""Who may be asked after a target has not answered, and what would help when nobody may."""

from collections.abc import Iterable
from typing import TypeVar

from serve_app.errors import FailureKind, GatewayError, LimitReached, UpstreamError
from serve_app.resilience.retry import NextStep
from serve_app.routing.candidate import Candidate
from serve_app.routing.plan import Plan
from serve_app.routing.refusal import advice_of

E = TypeVar("E", bound=GatewayError)


def successors(
    plan: Plan, left: Iterable[Candidate], behind: Candidate, move: NextStep, *, was_asked: bool
) -> list[Candidate]:
    """
    Return those of `left` that may still be asked after the target that is left behind.

    `was_asked`: it failed, or asked for patience; a target that a breaker or a limit turned the request away
    from was not eligible after all, and then even without fallback the next one is the first.
    """
    if move is NextStep.GIVE_UP:
        return []
    remaining = list(left)
    if was_asked and not plan.requirements.falls_back:
        remaining = [other for other in remaining if _is_named_later(other, behind)]
    if move is NextStep.LARGER_CONTEXT:
        remaining = [
            other
            for other in remaining
            if _is_larger(other, behind) and (behind.named is None or not plan.is_stand_in(other))
        ]
    return remaining


def advised(error: E, plan: Plan) -> E:
    """Return the error, with the targets that would do where the named model itself is in the way."""
    if not plan.requirements.named:
        return error
    if isinstance(error, LimitReached):
        return _advising(error, plan.elsewhere())
    if isinstance(error, UpstreamError) and error.failure is FailureKind.CONTEXT_LENGTH:
        named = [c.target for c in plan.ordered if c.named is not None]
        widest = max((t.context_window for t in named if t.provider_id == error.provider_id), default=0)
        return _advising(error, [c for c in plan.elsewhere() if c.target.context_window > widest])
    return error


def _advising(error: E, elsewhere: Iterable[Candidate]) -> E:
    error.advising(advice_of(elsewhere))
    return error


def _is_named_later(other: Candidate, behind: Candidate) -> bool:
    return behind.named is not None and other.named is not None and other.named > behind.named


def _is_larger(other: Candidate, refused: Candidate) -> bool:
    is_other = other.target.model_id != refused.target.model_id
    return is_other and other.target.context_window > refused.target.context_window
