"""
The gateway without its accounts, to compare with: `python -m tests.bench.unaccounted serve …`.

It sets nothing aside, writes no journal, and has no entries to tell of; a cost is worked out all the same,
because callers are told it.
"""

import os
from collections.abc import Mapping
from typing import Any

from serve_app import trip
from serve_app.accounting.entry import EntryOutcome
from serve_app.accounting.usage import Usage
from serve_app.bill import Bill, Item
from serve_app.cli.main import app
from serve_app.cli.serve import PRODUCTION
from serve_app.config.settings import Settings
from serve_app.control.borrower import Hold
from serve_app.routing.target import Target


class NoBill(Bill):
    """A bill that nobody writes."""

    async def open(self, within_s: float) -> None:
        return

    async def reserve(self, target: Target, within_s: float) -> Hold | None:
        return None

    def item(self, target: Target, attempt: int, hold: Hold | None) -> Item:
        return Item(target, attempt, hold, 0)

    def settle(
        self,
        item: Item,
        usage: Usage | None,
        outcome: EntryOutcome,
        latency_s: float,
        first_token_s: float | None = None,
    ) -> int | None:
        return 0 if usage is None else self._cost(item.target, usage)


def main() -> None:
    os.environ.update({name: os.environ.get(name, value) for name, value in PRODUCTION.items()})
    from serve_app import app as graph  # Serve reads the environment when it is imported

    class Router(graph.RouterDeployment):
        async def __init__(self, settings: Settings, handles: Mapping[str, Any]) -> None:
            trip.Bill = NoBill
            await super().__init__(settings, handles)

    graph.RouterDeployment = Router
    app()


if __name__ == "__main__":
    main()
