"""One line of the ledger: an attempt that cost something or might have, or time that nobody used."""

from enum import StrEnum
from typing import NamedTuple

from serve_app.pricing.usage import Usage

IDLE = "idle"  # the operation of an entry for time in which a machine had nothing to do
CORRECTION = "correction"  # the operation of an entry by which an operator corrects others
NOT_A_TENANT = "(idle)"  # whose entries these are; no tenant and no caller can be called so


class EntryOutcome(StrEnum):
    """How the attempt ended. `lost`: its router died while it was under way, so nobody knows."""

    SERVED = "served"
    FAILED = "failed"
    ABANDONED = "abandoned"
    LOST = "lost"


class Entry(NamedTuple):
    """
    What one attempt used and cost; never changed once it is written.

    `number` counts from 1 within `journal`, the life of one router: together they name the entry, so that it
    is taken in once however often it is sent. `at` is when the attempt ended, in seconds since the epoch.
    `tenant` pays, `caller` is the key or user behind the request. `cost` is in nano-dollars, None when nobody
    knows the price. `attempt` counts within the request. Spans are in seconds, from admission;
    `first_token_s` is for streams only.
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
