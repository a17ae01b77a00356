"""
Corrections of the ledger: entries that add or take back money where a vendor's figures were wrong.

The ledger is append-only. A correction is a further entry on the day that it corrects, with a line in the
audit log. Its id makes a repeated request safe: the same correction counts once.
"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from serve_app.api.admin.access import Access
from serve_app.api.admin.amounts import in_dollars
from serve_app.api.admin.costs import shown_entry
from serve_app.api.admin.revision import IfMatch, revision_in, tell_revision
from serve_app.api.admin.service import AdminService
from serve_app.api.admin.timestamps import timestamp_of
from serve_app.caller import Caller
from serve_app.config.amounts import CorrectedDollars
from serve_app.config.base import Config
from serve_app.control.protocol import Overtaken
from serve_app.control.runtime_config import RuntimeConfig
from serve_app.errors import InvalidRequest
from serve_app.ledger.entry import CORRECTION, Entry, EntryOutcome
from serve_app.limits.limit import DAY_S, Window
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.usage import Usage

REMEMBERED = 1000  # lines of the audit log in which a repeated correction is recognised

Name = Annotated[str, Field(min_length=1, max_length=256)]


class Correction(Config):
    """
    A correction; the names and `at` are those of the entry in `/costs/recent`.

    `amount` is in US dollars, negative to take money back; `at` None: now.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=64)
    tenant: Name
    caller: Name
    provider: Name
    model: Name
    amount: CorrectedDollars
    reason: str = Field(min_length=1, max_length=500)
    at: str | None = Field(default=None, max_length=64)

    @property
    def subject(self) -> str:
        """Return the subject of its line in the audit log."""
        return f"ledger:{self.id}"


def correction_routes(service: AdminService, access: Access) -> APIRouter:
    """Return the route of the endpoint, for admins."""
    Admin = Annotated[Caller, Depends(access.admin)]  # noqa: N806 - a type, though made here
    routes = APIRouter()
    one_by_one = asyncio.Lock()

    @routes.post("/ledger/corrections", status_code=201)
    async def correct(
        wanted: Correction, caller: Admin, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """Append a correction to the ledger; budgets and costs count it at once."""
        async with one_by_one:
            at = timestamp_of(wanted.at, "at")
            entry = _entry(wanted, at, service.clock.now())
            details = _details(wanted, entry.at if at is None else at)
            runtime_config = await service.runtime_config()
            if is_repeated := await _is_known(service, wanted, details, at is None):
                response.status_code = 200
            else:
                await _check_covered(service, entry)
                runtime_config = await _audited(service, caller, wanted, details, runtime_config, if_match)
            await service.append(entry)
        tell_revision(response, runtime_config)
        return {"id": wanted.id, "repeated": is_repeated, "entry": shown_entry(entry)}

    return routes


def _entry(wanted: Correction, at: float | None, now: float) -> Entry:
    if at is not None and at > now:
        raise InvalidRequest("'at' must not be in the future", "at", "invalid_value", 422)
    return Entry(
        journal=f"correction-{wanted.id}",
        number=1,
        request_id=wanted.subject,
        attempt=0,
        at=now if at is None else at,
        tenant=wanted.tenant,
        caller=wanted.caller,
        provider_id=wanted.provider,
        model_id=wanted.model,
        task=CORRECTION,
        operation=CORRECTION,
        usage=Usage(requests=0),
        cost=nano_dollars(wanted.amount),
        outcome=EntryOutcome.SERVED,
        latency_s=0.0,
    )


def _details(wanted: Correction, at: float) -> dict[str, Any]:
    return {**wanted.model_dump(mode="json", exclude={"id"}), "at": at}


async def _is_known(service: AdminService, wanted: Correction, details: dict[str, Any], is_now: bool) -> bool:
    """Return whether this correction was made before. Raises InvalidRequest 409 for another with its id."""
    for change in await service.changes(REMEMBERED):
        if change.subject == wanted.subject:
            before = dict(change.after or {})
            if is_now:
                details = {**details, "at": before.get("at")}
            if before != details:
                raise InvalidRequest(
                    f"A different correction '{wanted.id}' exists; choose a new id",
                    "id",
                    "correction_exists",
                    409,
                )
            return True
    return False


async def _check_covered(service: AdminService, entry: Entry) -> None:
    """Refuse to take back more than was spent on that day: a negative sum would raise the budget."""
    day = Window.DAY.start(entry.at)
    payer = (entry.tenant, entry.caller, entry.provider_id, entry.model_id)
    found = [
        spend
        for spend in await service.spends(day, day + DAY_S)
        if (spend.tenant, spend.caller, spend.provider_id, spend.model_id) == payer
    ]
    if not found:
        raise InvalidRequest(
            "The ledger has no entry of this tenant, caller, provider and model on that day",
            "at",
            "nothing_to_correct",
            404,
        )
    spent = sum(spend.cost for spend in found)
    if spent + (entry.cost or 0) < 0:
        raise InvalidRequest(
            f"Only ${in_dollars(spent):g} was spent on that day; correct it by at most that",
            "amount",
            "invalid_value",
            422,
        )


async def _audited(
    service: AdminService,
    caller: Caller,
    wanted: Correction,
    details: dict[str, Any],
    runtime_config: RuntimeConfig,
    if_match: str | None,
) -> RuntimeConfig:
    expected = revision_in(if_match)
    if expected not in (None, runtime_config.revision):
        raise _changed(runtime_config.revision)
    try:
        return await service.change(
            caller, "ledger_corrected", wanted.subject, (), None, details, runtime_config.revision
        )
    except Overtaken:
        raise _changed(None) from None


def _changed(revision: int | None) -> InvalidRequest:
    now = "" if revision is None else f": its revision is {revision}"
    return InvalidRequest(
        f"The configuration changed meanwhile{now}. Send the correction again",
        "If-Match",
        "changed_meanwhile",
        412,
    )
