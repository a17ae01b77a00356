"""Money as a whole number of nano-dollars, so that sums never drift."""

from decimal import ROUND_HALF_UP, Decimal

NANO = 1_000_000_000
MOST_NANO = 2**53  # nine million dollars: more for one attempt does not go into the ledger


def nano_dollars(dollars: float | str | Decimal) -> int:
    """US dollars as nano-dollars, rounded half up; a float is read as it prints."""
    return int((Decimal(str(dollars)) * NANO).to_integral_value(rounding=ROUND_HALF_UP))


def dollars(nano: int) -> float:
    """Nano-dollars as US dollars, for showing only."""
    return nano / NANO


def dollars_text(nano: int) -> str:
    """Nano-dollars as a decimal of US dollars, exact and without an exponent: `0.0125`, `0.00000002`, `0`."""
    whole, part = divmod(nano, NANO)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")
