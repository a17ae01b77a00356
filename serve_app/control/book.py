"""Stand-in until the real one is merged."""

from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.accounting.limit import Limit
from serve_app.caller import Caller
from serve_app.config.settings import Settings
from serve_app.control.store import Record


@dataclass(frozen=True, slots=True)
class Book:
    epoch: int = -1
    limits: tuple[Limit, ...] = ()

    def limits_for(self, caller: Caller) -> Sequence[Limit]:
        return self.limits


def book_of(settings: Settings, records: Sequence[Record], epoch: int) -> Book:
    return Book(epoch)
