"""Lines of the ledger for tests, all alike but for what the test is about."""

from typing import Any

from serve_app.ledger.entry import Entry, EntryOutcome
from serve_app.ledger.journal import Begun
from serve_app.pricing.usage import Usage

NOON = 1_789_560_000.5  # 16 September 2026, 12:00 UTC, and a bit


def entry(number: int = 1, **changes: Any) -> Entry:
    """An attempt that was served at noon for 1,000 nano-dollars, unless the changes say something else."""
    usual: dict[str, Any] = {
        "journal": "router-a",
        "number": number,
        "request_id": f"request-{number}",
        "attempt": 1,
        "at": NOON,
        "tenant": "acme",
        "caller": "key-1",
        "provider_id": "cloud",
        "model_id": "gpt-4o",
        "task": "chat_smart",
        "operation": "chat",
        "usage": Usage(estimated=True),
        "cost": 1_000,
        "outcome": EntryOutcome.SERVED,
        "latency_s": 0.25,
    }
    return Entry(**{**usual, **changes})


def begun(**changes: Any) -> Begun:
    """An attempt that may cost 5,000 nano-dollars."""
    usual: dict[str, Any] = {
        "request_id": "request-1",
        "attempt": 1,
        "at": NOON,
        "tenant": "acme",
        "caller": "key-1",
        "provider_id": "cloud",
        "model_id": "gpt-4o",
        "task": "chat_smart",
        "operation": "chat",
        "usage": Usage(),
        "cost": 5_000,
    }
    return Begun(**{**usual, **changes})
