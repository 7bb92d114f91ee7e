"""What a call cost, exactly: integer prices times token counts, rounded up once at the end.

Kinds of tokens are priced apart and add up: the plain input is what is neither read from a cache
nor written to one, the plain output is what is not reasoning.
"""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.types import Usage

PER_TOKENS = 1_000_000
"""Prices are per this many tokens, as vendors state them."""


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars per million tokens; a kind without a price of its own costs what its whole does.

    `label` says where the price is from, for the record.
    """

    input_nanousd: int
    output_nanousd: int
    cached_input_nanousd: int | None = None
    cache_write_nanousd: int | None = None
    reasoning_nanousd: int | None = None
    label: str = "configured"


def cost(price: Price, usage: Usage) -> int:
    """Nano-dollars that `usage` costs at `price`, rounded up to a whole one.

    A provider that reports a part larger than its whole is charged for the part: never too little.
    """
    cached, written = usage.cached_input or 0, usage.cache_write or 0
    reasoning = usage.reasoning or 0
    plain_input = max(0, usage.input - cached - written)
    plain_output = max(0, usage.output - reasoning)
    total = (
        plain_input * price.input_nanousd
        + cached * _own(price.cached_input_nanousd, price.input_nanousd)
        + written * _own(price.cache_write_nanousd, price.input_nanousd)
        + plain_output * price.output_nanousd
        + reasoning * _own(price.reasoning_nanousd, price.output_nanousd)
    )
    return -(-total // PER_TOKENS)


def _own(own_nanousd: int | None, whole_nanousd: int) -> int:
    # A price of zero is a price.
    return whole_nanousd if own_nanousd is None else own_nanousd
