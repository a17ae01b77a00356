"""Amounts of money as whole nano-dollars, so that sums are exact."""

from decimal import ROUND_HALF_UP, Decimal

NANO = 1_000_000_000
MOST_NANO = 2**53  # nine million dollars: the most that the ledger stores for one attempt


def nano_dollars(dollars: float | str | Decimal) -> int:
    """Convert US dollars to nano-dollars, rounded half up; a float is converted as it is printed."""
    return int((Decimal(str(dollars)) * NANO).to_integral_value(rounding=ROUND_HALF_UP))


def dollars(nano: int) -> float:
    """Convert nano-dollars to US dollars, for display only."""
    return nano / NANO


def dollars_text(nano: int) -> str:
    """Format nano-dollars as US dollars, exact and without an exponent: `0.0125`, `0.00000002`, `0`."""
    whole, part = divmod(abs(nano), NANO)
    sign = "-" if nano < 0 else ""
    return f"{sign}{whole}.{part:09d}".rstrip("0").rstrip(".")
