"""The webhook for budget alerts, posted in the background."""

import asyncio
import logging
from collections.abc import Callable, Mapping

import orjson

from serve_app.clock import Clock
from serve_app.config.secret import Secret
from serve_app.config.settings import Settings
from serve_app.limits.allocator import BudgetAlert
from serve_app.observability.alert import alert_facts

TIMEOUT_S = 5.0
WAITS_S = (1.0, 4.0)  # delays before the second and the third try
MOST_AT_ONCE = 100  # alerts in flight; they must not pile up while the webhook is down

log = logging.getLogger("sekha.control")


class Webhook:
    """
    The poster of alerts to the configured address, if there is one.

    The address is read from `environ` for each alert, and never shown. Redirects are not followed: an alert
    is for one address only.
    """

    def __init__(
        self, settings: Callable[[], Settings | None], environ: Mapping[str, str], clock: Clock
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()

    def tell(self, alert: BudgetAlert) -> None:
        """Start to post an alert, and return at once. Must be called in an event loop."""
        settings = self._settings()
        if settings is None or settings.alerts.webhook is None:
            return
        if len(self._under_way) >= MOST_AT_ONCE:
            log.error("the alert on budget '%s' is not posted: too many alerts are in flight", alert.limit.id)
            return
        task = asyncio.create_task(self._post(settings.alerts.webhook, alert))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def stop(self, within_s: float = TIMEOUT_S) -> None:
        """Wait at most `within_s` seconds for this event loop's posts, then cancel them."""
        loop = asyncio.get_running_loop()
        mine = {task for task in self._under_way if task.get_loop() is loop}
        self._under_way.clear()
        if not mine:
            return
        _, late = await asyncio.wait(mine, timeout=within_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _post(self, webhook: Secret, alert: BudgetAlert) -> None:
        url = webhook.reveal(self._environ)
        if url is None:
            log.error("alerts.webhook: %s is not set", webhook.shown)
            return
        body = orjson.dumps(alert_facts(alert))
        trouble = await _trouble_with(url, body)
        for wait_s in WAITS_S:
            if trouble is None:
                return
            await self._clock.sleep(wait_s)
            trouble = await _trouble_with(url, body)
        if trouble is not None:
            log.error(
                "the alert on budget '%s' could not be posted to %s: %s",
                alert.limit.id,
                webhook.shown,
                trouble,
            )


async def _trouble_with(url: str, body: bytes) -> str | None:
    """Post once; return the error as a text without the address, None if there was none."""
    import aiohttp  # imported here, because it takes a tenth of a second at the start of every process

    headers = {"Content-Type": "application/json"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return None if answer.status < 300 else f"HTTP {answer.status}"
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return type(error).__name__
