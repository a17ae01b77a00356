"""A budget or a rate does not allow a request."""

from serve_app.errors.base import GatewayError


class LimitReached(GatewayError):
    """A budget or a rate does not allow this request; `limit_id` says which, `unit` what it counts."""

    limit_id = ""
    unit = "dollars"

    @property
    def reason(self) -> str:
        """What stands in a target's way, in a few words."""
        return self.message


class BudgetExceeded(LimitReached):
    """
    The budget has no room for what the request may cost; amounts are in US dollars.

    `limit` and `current` are None where the caller may not know them: the budget is of others, too.
    `resets_in_s` is when the budget's window ends; None when it never does.
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
        """The same refusal for a caller who may not know what others spend."""
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
    """A budget applies, or a cost limit (`limit_id` is empty), and nobody knows what this target costs."""

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
    """The named target costs more than one request may; `why` has the figures."""

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
    """A budget applies, and nobody knows what a tool that the vendor runs may cost."""

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


class RateLimitExceeded(LimitReached):
    """As many requests or tokens as are allowed were used; `retry_after_s` is when there are more."""

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
    Operators did something as often as they may within an hour; `resets_at` is when they may again.

    That is in seconds since the epoch.
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
