"""An entry of the ledger: an attempt that cost something or may have, or the idle time of a machine."""

from enum import StrEnum
from typing import NamedTuple

from serve_app.pricing.usage import Usage

IDLE = "idle"  # the operation of an entry for the idle time of a machine
CORRECTION = "correction"  # the operation of an entry by which an operator corrects others
NOT_A_TENANT = "(idle)"  # the tenant and caller of idle entries; not a valid name of either


class EntryOutcome(StrEnum):
    """The outcome of an attempt. `lost`: its router died during the attempt, so the outcome is unknown."""

    SERVED = "served"
    FAILED = "failed"
    ABANDONED = "abandoned"
    LOST = "lost"


class Entry(NamedTuple):
    """
    The usage and cost of one attempt; immutable once it is written.

    Attributes:
        journal: the journal of one router process; with `number` it identifies the entry, so that an entry
            that is sent twice counts once.
        number: counts from 1 within the journal.
        attempt: counts within the request.
        at: when the attempt ended, in seconds since the epoch.
        tenant: who pays.
        caller: the key or user behind the request.
        cost: in nano-dollars; None: the price is unknown.
        latency_s: seconds since admission.
        first_token_s: seconds since admission; for streams only.
        cache_saving: in nano-dollars, what the vendor's prompt cache saved; below 0 where it cost more.
    """

    journal: str
    number: int
    request_id: str
    attempt: int
    at: float
    tenant: str
    caller: str
    provider_id: str
    model_id: str
    task: str
    operation: str
    usage: Usage
    cost: int | None
    outcome: EntryOutcome
    latency_s: float
    first_token_s: float | None = None
    cache_saving: int = 0
