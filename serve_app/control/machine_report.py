"""
The report on local machines: hours, cost, use, and the resulting price of a token.

Pure: takes the ledger's sums and returns nano-dollars.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from serve_app.config.settings import Settings
from serve_app.control.backend import first_vllm
from serve_app.ledger.cost_report import Sum
from serve_app.ledger.entry import NOT_A_TENANT
from serve_app.ledger.store import Spend
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.price import FREE, HOUR_MS, MILLION
from serve_app.pricing.usage import Usage


@dataclass(frozen=True, slots=True)
class Machine:
    """
    The machine of one provider in one span of time.

    Attributes:
        hourly: the cost of an hour, in nano-dollars.
        up_ms: the time that is billed; None: it is not counted.
        used_ms: the time used by requests.
        tokens: the input and output tokens of those requests.
    """

    hourly: int
    up_ms: int | None
    used_ms: int = 0
    tokens: int = 0

    @property
    def hours(self) -> float | None:
        """Return the billed hours; None: they are not counted."""
        return None if self.up_ms is None else self.up_ms / HOUR_MS

    @property
    def cost(self) -> int | None:
        """Return the whole cost in nano-dollars, used or idle; None: the hours are not counted."""
        return None if self.up_ms is None else self._cost_of(self.up_ms)

    @property
    def attributed(self) -> int:
        """Return the cost of the time used by requests, in nano-dollars."""
        return self._cost_of(self.used_ms)

    @property
    def idle(self) -> int | None:
        """
        Return the cost of the idle time in nano-dollars; None: the hours are not counted.

        Never below zero: replicas that do not know of each other may count a moment twice.
        """
        return None if self.cost is None else max(0, self.cost - self.attributed)

    @property
    def per_million_tokens(self) -> int | None:
        """
        Return the effective cost of a million tokens, with idle hours as far as they are counted; None: no
        tokens.
        """
        paid = self.attributed if self.cost is None else self.cost
        return round(paid * MILLION / self.tokens) if self.tokens else None

    def _cost_of(self, milliseconds: int) -> int:
        return FREE.with_machine(self.hourly).cost(Usage(machine_ms=milliseconds))


def machines_of(settings: Settings, spends: Iterable[Spend], vllm_up_ms: int | None) -> dict[str, Machine]:
    """
    Return the machines that are billed by the hour, by provider id.

    Args:
        settings: the configured providers and their hourly rates.
        spends: sums of the ledger, which contains the idle time of hosted machines. The hours of other
            machines are not counted.
        vllm_up_ms: for how long the backend `vllm` was up; None: no endpoint is known.
    """
    sums: dict[str, Sum] = {}
    idle_ms: dict[str, int] = {}
    for spend in spends:
        if spend.tenant == NOT_A_TENANT:
            idle_ms[spend.provider_id] = idle_ms.get(spend.provider_id, 0) + spend.machine_ms
        else:
            sums.setdefault(spend.provider_id, Sum()).add(spend)
    vllm, found = first_vllm(settings), {}
    for provider in settings.llm_providers:
        up_ms = vllm_up_ms if provider is vllm else None
        rate = provider.hourly_rate
        used = sums.get(provider.id, Sum())
        if provider.local is not None and rate:
            up_ms = used.machine_ms + idle_ms.get(provider.id, 0)
        if rate or up_ms is not None:
            hourly = hourly_of_vllm(settings) if provider is vllm else nano_dollars(rate or 0)
            found[provider.id] = Machine(hourly, up_ms, used.machine_ms, used.tokens)
    return found


def hourly_of_vllm(settings: Settings) -> int:
    """Return the cost of an hour of the backend `vllm`, in nano-dollars; its provider's own setting wins."""
    vllm = first_vllm(settings)
    own = None if vllm is None else vllm.hourly_rate
    return nano_dollars(settings.backends.vllm_hourly_rate if own is None else own)
