"""Reads of the ledger and the runtime config for operators, and audited changes."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from serve_app.api.admin.revision import revision_in
from serve_app.caller import Caller
from serve_app.control.admin_quota import Allowance
from serve_app.control.config_change import Amend
from serve_app.control.protocol import ControlUnreachable, Overtaken, Totals
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.errors import GatewayUnavailable, InvalidRequest
from serve_app.gateway.running_gateway import RunningGateway
from serve_app.ledger.entry import Entry
from serve_app.ledger.store import Change, Record, Spend, StoreUnavailable

RETRY_AFTER_S = 1.0
APPEND_TRIES = 50
APPEND_LOOKS_S = 0.1
TRIES = 20  # each time another change came first

log = logging.getLogger("sekha.admin")


class AdminService:
    """
    The control plane, for operators of one gateway.

    Every call raises GatewayUnavailable if the control plane or its store does not answer, and
    AdminLimitReached if a rate limit of the admin API is reached.
    """

    def __init__(self, running: RunningGateway) -> None:
        self.running = running
        self.settings = running.settings
        self.control = running.control
        self.health_monitor = running.health_monitor
        self.clock = running.clock

    async def runtime_config(self) -> RuntimeConfig:
        """Return the current runtime config; this router's own copy may be a second old."""
        with _own_errors():
            return await self.control.control_plane.runtime_config()

    async def change(
        self,
        caller: Caller,
        action: str,
        subject: str,
        records: Sequence[Record],
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        revision: int | None = None,
    ) -> RuntimeConfig:
        """
        Make a permanent change in the caller's name, with a line in the audit log and in the log.

        `before` and `after` are plain JSON without secrets. `records` may be empty: then only the action is
        audited. With a `revision`, a newer runtime config raises Overtaken.
        """
        change = Change(self.clock.now(), caller.name, action, subject, before, after)
        with _own_errors():
            runtime_config = await self.control.change(records, change, revision)
        facts = {"event": action, "user": caller.name, "subject": subject, "before": before, "after": after}
        log.info("%s: %s", action, subject, extra={"facts": facts})
        return runtime_config

    async def amend(self, caller: Caller, amend: Amend, if_match: str | None = None) -> RuntimeConfig:
        """
        Change the runtime config by `amend`, again if another change came first.

        So the last change wins, and the audit log has the state that each one really replaced.

        Raises:
            InvalidRequest: 412, `if_match` is another revision than the current one; or whatever `amend`
                raises.
        """
        expected = revision_in(if_match)
        for _ in range(TRIES):
            runtime_config = await self.runtime_config()
            if expected not in (None, runtime_config.revision):
                raise InvalidRequest(
                    f"Someone else changed the configuration: its revision is {runtime_config.revision}, not "
                    f"{expected}. Read it again, then send your change with the new ETag as If-Match.",
                    "If-Match",
                    "changed_meanwhile",
                    412,
                )
            what = amend(runtime_config)
            try:
                return await self.change(
                    caller,
                    what.action,
                    what.subject,
                    [what.record],
                    what.before,
                    what.after,
                    runtime_config.revision,
                )
            except Overtaken:
                continue
        raise GatewayUnavailable(
            "Too many concurrent changes of the configuration; send the change again", RETRY_AFTER_S
        )

    async def append(self, entry: Entry) -> None:
        """
        Append an entry to the ledger, and return once it is in the store.

        Safe to call again with the same entry.

        Raises:
            GatewayUnavailable: the store did not accept it in time. It may have been counted; repeat the
                call to be sure.
        """
        with _own_errors():
            for _ in range(APPEND_TRIES):
                if (await self.control.control_plane.submit_recovered([entry])).written >= entry.number:
                    return
                await self.clock.sleep(APPEND_LOOKS_S)
        raise GatewayUnavailable(
            "The store has not saved the entry yet; send the same request again", RETRY_AFTER_S
        )

    async def asked(self, caller: Caller) -> Allowance:
        """Count a request of this caller."""
        with _own_errors():
            return await self.control.control_plane.asked(caller.name)

    async def spends(
        self, since: float = 0.0, until: float | None = None, tenant: str | None = None
    ) -> Sequence[Spend]:
        """Return the ledger's sums of the days from `since` to before `until`, of all tenants or one."""
        with _own_errors():
            spends = await self.control.control_plane.spends(since, until)
        return spends if tenant is None else [spend for spend in spends if spend.tenant == tenant]

    async def entries(
        self, limit: int = 100, tenant: str | None = None, before: float | None = None
    ) -> Sequence[Entry]:
        """Return the ledger's newest entries."""
        with _own_errors():
            return await self.control.control_plane.entries(limit, tenant, before)

    async def changes(self, limit: int = 100, before: float | None = None) -> Sequence[Change]:
        """Return the newest lines of the audit log."""
        with _own_errors():
            return await self.control.control_plane.changes(limit, before)

    async def totals(self) -> Totals:
        """Return the cluster's metrics since the control plane was started."""
        with _own_errors():
            return await self.control.totals()

    async def reset_breaker(self, caller: Caller, provider_id: str) -> bool:
        """
        Close a provider's breaker and reset its failures; return False for an unknown provider.

        The audit line is written first, so that no action is without one.
        """
        if provider_id not in {provider.id for provider in self.settings.llm_providers}:
            return False
        before = self.control.breakers.of(provider_id)
        was = {"state": before.state.value, "failure_count": before.failure_count}
        await self.change(caller, "breaker_reset", f"breaker:{provider_id}", (), was, {"state": "closed"})
        with _own_errors():
            await self.control.control_plane.reset_breaker(provider_id)
        return True


@contextmanager
def _own_errors() -> Iterator[None]:
    """Turn failures of the control plane or its store into GatewayUnavailable (503)."""
    try:
        yield
    except ControlUnreachable as error:
        raise GatewayUnavailable(f"The control actor does not answer: {error}", RETRY_AFTER_S) from error
    except StoreUnavailable as error:
        raise GatewayUnavailable(f"The store does not answer: {error}", RETRY_AFTER_S) from error
