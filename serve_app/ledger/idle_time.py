"""What a machine of one's own costs while it has nothing to do."""

from serve_app.ledger.entry import IDLE, NOT_A_TENANT, Entry, EntryOutcome
from serve_app.pricing.price import FREE
from serve_app.pricing.usage import Usage


class IdleTime:
    """
    Writes down the idle time of one machine: with its requests' shares, all of its time is in the ledger.

    `journal` names this life of the machine, `hourly` is what an hour of it costs in nano-dollars. Its time
    begins at `since`, in seconds on the scale of a clock that does not go back.
    """

    def __init__(self, journal: str, provider_id: str, model_id: str, hourly: int, since: float) -> None:
        self._journal = journal
        self._provider_id = provider_id
        self._model_id = model_id
        self._price = FREE.with_machine(hourly)
        self._since = since
        self._told_ms = 0
        self._number = 0

    def entry(self, at: float, now: float, busy_s: float) -> Entry | None:
        """
        The idle time since the last entry; None where there was none.

        `at` is the moment in seconds since the epoch, `now` the same on the clock's scale; until then
        requests had the machine for `busy_s` in all.
        """
        idle_ms = int(1000 * (now - self._since - busy_s)) - self._told_ms
        if idle_ms <= 0:
            return None
        self._told_ms += idle_ms
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
