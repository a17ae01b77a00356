"""The targets that may be asked after one has not answered, and the advice when there is none."""

from collections.abc import Iterable
from typing import TypeVar

from serve_app.errors import FailureKind, GatewayError, LimitReached, UpstreamError
from serve_app.resilience.retry import NextStep
from serve_app.routing.candidate import Candidate
from serve_app.routing.plan import Plan
from serve_app.routing.refusal import advice_of

E = TypeVar("E", bound=GatewayError)


def successors(
    plan: Plan, candidates: Iterable[Candidate], behind: Candidate, move: NextStep, *, was_asked: bool
) -> list[Candidate]:
    """
    Return the remaining candidates that may be asked after the target `behind`.

    Args:
        plan: the plan of the request.
        candidates: those that remain.
        behind: the candidate that did not answer.
        move: the next step, as `resilience.retry` decided.
        was_asked: the target failed or is rate limited. False if a breaker or a limit kept the request from
            it: then the next candidate counts as the first one, even without fallback.
    """
    if move is NextStep.GIVE_UP:
        return []
    remaining = list(candidates)
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
    """Return the error, with advice about other targets if only the named model prevents an answer."""
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
