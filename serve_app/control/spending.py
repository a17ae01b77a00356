"""What was spent, summed up by whatever somebody wants to see it by."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from serve_app.control.store import Spend

BY: Mapping[str, Callable[[Spend], str]] = {
    "day": lambda spend: datetime.fromtimestamp(spend.day, UTC).date().isoformat(),
    "provider": lambda spend: spend.provider_id,
    "model": lambda spend: spend.model_id,
    "tenant": lambda spend: spend.tenant,
    "caller": lambda spend: spend.caller,
}


@dataclass(slots=True)
class Sum:
    """A sum of spends that have `names` in common; `cost` is in nano-dollars."""

    names: tuple[str, ...]
    attempts: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0


def summed(spends: Iterable[Spend], by: Sequence[str]) -> list[Sum]:
    """The spends by these of BY, in the order of their names."""
    sums: dict[tuple[str, ...], Sum] = {}
    for spend in spends:
        names = tuple(BY[name](spend) for name in by)
        found = sums.setdefault(names, Sum(names))
        found.attempts += spend.attempts
        found.failed += spend.failed
        found.input_tokens += spend.input_tokens
        found.output_tokens += spend.output_tokens
        found.cost += spend.cost
    return [sums[names] for names in sorted(sums)]
