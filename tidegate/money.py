"""Money as integers: one nano-dollar is 10⁻⁹ US dollars.

A price of one dollar per million tokens is exactly 1,000 nano-dollars per token, so usual prices
multiply without rounding; what does not divide evenly is rounded up, in the operator's favour of
never under-counting.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

NANO = 1_000_000_000


def nanousd(usd: Decimal) -> int:
    """`usd` in nano-dollars, rounded up."""
    return int((usd * NANO).to_integral_value(ROUND_CEILING))


def show_usd(amount_nanousd: int | None) -> str:
    """Human form: `$0.00012`, at least two decimals, no trailing zeros; `unknown` for None."""
    if amount_nanousd is None:
        return "unknown"
    sign = "-" if amount_nanousd < 0 else ""
    whole, part = divmod(abs(amount_nanousd), NANO)
    decimals = f"{part:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{decimals}"
