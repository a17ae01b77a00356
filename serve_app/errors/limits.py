"""Errors for requests that a budget, a rate or a cost limit refuses."""

from serve_app.errors.base import GatewayError


class LimitReached(GatewayError):
    """A limit refuses the request; `limit_id` names the limit and `unit` says what it counts."""

    limit_id = ""
    unit = "dollars"

    @property
    def reason(self) -> str:
        """Return a short reason why the limit rules out a target."""
        return self.message


class BudgetExceeded(LimitReached):
    """
    The budget has no room for what the request may cost.

    Attributes:
        limit: the budget in US dollars; None: the caller may not see it, because others share the budget.
        current: US dollars spent; None likewise.
        requested_cost: the most that the request may cost, in US dollars.
        resets_in_s: seconds until the budget's window ends; None: it never ends.
    """

    status = 402
    code = "BUDGET_EXCEEDED"
    kind = "insufficient_quota"

    def __init__(
        self,
        limit_id: str,
        window: str,
        limit: float | None,
        current: float | None,
        requested_cost: float,
        resets_in_s: float | None = None,
    ) -> None:
        super().__init__(limit_id, window, limit, current, requested_cost, resets_in_s)
        self.limit_id = limit_id
        self.window = window
        self.limit = limit
        self.current = current
        self.requested_cost = requested_cost
        self.resets_in_s = resets_in_s

    def without_totals(self) -> "BudgetExceeded":
        """Return the error without `limit` and `current`, for callers who may not see others' spending."""
        return BudgetExceeded(self.limit_id, self.window, None, None, self.requested_cost, self.resets_in_s)

    @property
    def message(self) -> str:
        if self.limit is None or self.current is None:
            return (
                f"The budget '{self.limit_id}' ({self.window}) has no room for this request, which may cost "
                f"up to ${self.requested_cost:.6g}. Ask for less (max_tokens), or have the budget raised"
            )
        return (
            f"The budget '{self.limit_id}' of ${self.limit:g} ({self.window}) has no room for this request: "
            f"${self.current:.6g} is spent, and this may cost up to ${self.requested_cost:.6g}. "
            "Ask for less (max_tokens), or have the budget raised"
        )

    @property
    def reason(self) -> str:
        return (
            f"may cost up to ${self.requested_cost:.6g}, for which the budget '{self.limit_id}' has no room"
        )

    @property
    def detail(self) -> dict[str, object]:
        """Return code, message and figures in the shape of the admin API's errors."""
        details = {
            "budget": self.limit_id,
            "window": self.window,
            "limit": self.limit,
            "current": self.current,
            "requested_cost": self.requested_cost,
            "resets_in_s": self.resets_in_s,
        }
        return {"code": self.code, "message": self.message, "details": details}


class PriceUnknown(LimitReached):
    """A budget or a cost limit (empty `limit_id`) applies, and the price of the target is unknown."""

    status = 402
    code = "price_unknown"
    kind = "insufficient_quota"

    def __init__(self, target: str, limit_id: str) -> None:
        super().__init__(target, limit_id)
        self.target = target
        self.limit_id = limit_id

    @property
    def reason(self) -> str:
        return f"its price is unknown and {self._limit} applies"

    @property
    def message(self) -> str:
        return (
            f"The price of '{self.target}' is unknown, and {self._limit} applies: "
            "configure cost_per_1k_input and cost_per_1k_output for it"
        )

    @property
    def _limit(self) -> str:
        return f"the budget '{self.limit_id}'" if self.limit_id else "a cost limit"


class CostLimitReached(LimitReached):
    """The named target costs more than the cost limit of one request; `why` has the figures."""

    status = 402
    code = "cost_limit_reached"
    kind = "insufficient_quota"
    param = "max_cost"

    def __init__(self, target: str, why: str) -> None:
        super().__init__(target, why)
        self.target = target
        self.why = why

    @property
    def message(self) -> str:
        return f"The model '{self.target}' {self.why}"


class ToolPriceUnknown(PriceUnknown):
    """A budget applies, and the cost of a tool that the vendor runs is unknown."""

    def __init__(self, target: str, limit_id: str, tool: str) -> None:
        super().__init__(target, limit_id)
        self.args = (target, limit_id, tool)
        self.tool = tool

    @property
    def reason(self) -> str:
        return f"the cost of its tool '{self.tool}' is unknown and the budget '{self.limit_id}' applies"

    @property
    def message(self) -> str:
        return (
            f"The budget '{self.limit_id}' applies, and the cost of the tool '{self.tool}' at "
            f"'{self.target}' is unknown: use a web search that takes max_uses and configure "
            "cost_per_search for the model, or leave the tool out"
        )


class SoundLengthUnknown(PriceUnknown):
    """A budget applies, and the length of the sound is unknown."""

    param = "file"

    @property
    def reason(self) -> str:
        return f"it charges by the length of the sound, which is unknown, and {self._limit} applies"

    @property
    def message(self) -> str:
        return (
            f"The length of the sound is unknown, '{self.target}' charges by it, and {self._limit} applies: "
            "send WAV, MP3, FLAC, Ogg, MP4 or WebM"
        )


class RateLimitExceeded(LimitReached):
    """The rate of requests or tokens is used up; `retry_after_s` is in how many seconds it renews."""

    status = 429
    code = "RATE_LIMIT_EXCEEDED"
    kind = "rate_limit_error"

    def __init__(self, limit_id: str, unit: str, limit: int, remaining: int, retry_after_s: float) -> None:
        super().__init__(limit_id, unit, limit, remaining, retry_after_s)
        self.limit_id = limit_id
        self.unit = unit
        self.limit = limit
        self.remaining = remaining
        self.retry_after_s = retry_after_s

    @property
    def message(self) -> str:
        what = "requests at once" if self.unit == "concurrent" else f"{self.unit} per minute"
        return f"The limit '{self.limit_id}' of {self.limit} {what} is reached"

    @property
    def detail(self) -> dict[str, object]:
        """Code, message and figures."""
        details = {
            "limit_id": self.limit_id,
            "unit": self.unit,
            "limit": self.limit,
            "remaining": self.remaining,
            "retry_after_s": self.retry_after_s,
        }
        return {"code": self.code, "message": self.message, "details": details}


class AdminLimitReached(LimitReached):
    """
    Operators have used up an hourly limit of the admin API.

    `resets_at` is when the next operation is allowed, in seconds since the epoch.
    """

    status = 429
    code = "RATE_LIMIT_EXCEEDED"
    kind = "rate_limit_error"
    remaining = 0

    def __init__(self, what: str, limit: int, resets_at: float, retry_after_s: float) -> None:
        super().__init__(what, limit, resets_at, retry_after_s)
        self.what = what
        self.limit = limit
        self.resets_at = resets_at
        self.retry_after_s = retry_after_s

    @property
    def message(self) -> str:
        return f"The limit of {self.limit} {self.what} within an hour is reached"

    @property
    def detail(self) -> dict[str, object]:
        """Code, message and figures."""
        details = {"what": self.what, "limit": self.limit, "remaining": 0, "resets_at": self.resets_at}
        return {"code": self.code, "message": self.message, "details": details}
