"""The cost of a local machine while it is idle."""

from serve_app.ledger.entry import IDLE, NOT_A_TENANT, Entry, EntryOutcome
from serve_app.pricing.price import FREE
from serve_app.pricing.usage import Usage


class IdleTime:
    """
    The idle time of one machine, as entries of the ledger.

    Together with the shares of its requests, they account for all of the machine's time.

    Args:
        journal: identifies this run of the machine.
        hourly: the cost of an hour, in nano-dollars.
        since: when its time begins, in seconds on a monotonic clock.
    """

    def __init__(self, journal: str, provider_id: str, model_id: str, hourly: int, since: float) -> None:
        self._journal = journal
        self._provider_id = provider_id
        self._model_id = model_id
        self._price = FREE.with_machine(hourly)
        self._since = since
        self._reported_ms = 0
        self._number = 0

    def entry(self, at: float, now: float, busy_s: float) -> Entry | None:
        """
        Return an entry for the idle time since the last one; None: the machine was not idle.

        Args:
            at: the current time, in seconds since the epoch.
            now: the same moment on the monotonic clock.
            busy_s: for how long requests used the machine until then, in total.
        """
        idle_ms = int(1000 * (now - self._since - busy_s)) - self._reported_ms
        if idle_ms <= 0:
            return None
        self._reported_ms += idle_ms
        self._number += 1
        usage = Usage(requests=0, machine_ms=idle_ms)
        return Entry(
            journal=self._journal,
            number=self._number,
            request_id=self._journal,
            attempt=0,
            at=at,
            tenant=NOT_A_TENANT,
            caller=NOT_A_TENANT,
            provider_id=self._provider_id,
            model_id=self._model_id,
            task=IDLE,
            operation=IDLE,
            usage=usage,
            cost=self._price.cost(usage),
            outcome=EntryOutcome.SERVED,
            latency_s=idle_ms / 1000,
        )
