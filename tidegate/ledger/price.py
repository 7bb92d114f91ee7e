"""What a call cost, exactly: integer prices times token counts, rounded up once at the end.

Classes of tokens are priced apart and add up: the plain input is what is neither read from a cache
nor written to one nor audio, the plain output what is neither reasoning nor audio. A class without
a price of its own costs what its whole does; a price of zero is a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.types import Usage

PER_TOKENS = 1_000_000
"""Prices are per this many tokens, as vendors state them."""


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars per million tokens of each class.

    `label` says where the price is from, for the record.
    """

    input_nanousd: int
    output_nanousd: int
    cached_input_nanousd: int | None = None
    cache_write_nanousd: int | None = None
    reasoning_nanousd: int | None = None
    label: str = "configured"
    audio_input_nanousd: int | None = None
    audio_output_nanousd: int | None = None
    cached_audio_input_nanousd: int | None = None
    """As other cached input if not given."""
    cache_write_1h_nanousd: int | None = None
    """As other writes to the cache if not given."""
    tiers: tuple[tuple[int, Price], ...] = ()
    """What all tokens of a request cost whose input is above so many, ascending."""
    variants: Mapping[str, Price] = field(default_factory=dict[str, "Price"])
    """What it costs served otherwise: `batch`, `flex`, `priority`, `fast`."""
    dearest_input_nanousd: int = field(init=False, repr=False, compare=False, default=0)
    """Of the dearest class of input. Worked out here, tiers apart."""
    dearest_output_nanousd: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        """Work out what every bound asks for."""
        dearest_input_nanousd = max(
            self.input_nanousd,
            self.cached_input_nanousd or 0,
            self.cache_write_nanousd or 0,
            self.audio_input_nanousd or 0,
            self.cached_audio_input_nanousd or 0,
            self.cache_write_1h_nanousd or 0,
        )
        dearest_output_nanousd = max(
            self.output_nanousd, self.reasoning_nanousd or 0, self.audio_output_nanousd or 0
        )
        object.__setattr__(self, "dearest_input_nanousd", dearest_input_nanousd)
        object.__setattr__(self, "dearest_output_nanousd", dearest_output_nanousd)

    def served(self, *ways: object) -> Price:
        """The price when served in the first of `ways` that has one of its own; else this one.

        `ways` are what a request or an answer says of it, unchecked: `service_tier`, `speed`.
        """
        if self.variants:
            for way in ways:
                if isinstance(way, str) and way in self.variants:
                    return self.variants[way]
        return self


def cost(price: Price, usage: Usage) -> int:
    """Nano-dollars that `usage` costs at `price`, rounded up to a whole one.

    A provider that reports a part larger than its whole is charged for the part: never too little.
    """
    for above, rates in price.tiers:
        if usage.input > above:
            price = rates
    if not (
        usage.cached_input
        or usage.cache_write
        or usage.reasoning
        or usage.audio_input
        or usage.audio_output
        or usage.cached_audio_input
        or usage.cache_write_1h
    ):  # as most are
        total = usage.input * price.input_nanousd + usage.output * price.output_nanousd
        return -(-total // PER_TOKENS)
    cached, cached_audio = usage.cached_input or 0, usage.cached_audio_input or 0
    written, kept = usage.cache_write or 0, usage.cache_write_1h or 0
    heard, spoken = usage.audio_input or 0, usage.audio_output or 0
    reasoning = usage.reasoning or 0
    cached_nanousd = _own(price.cached_input_nanousd, price.input_nanousd)
    write_nanousd = _own(price.cache_write_nanousd, price.input_nanousd)
    total = (
        max(0, usage.input - cached - written - heard) * price.input_nanousd
        + max(0, cached - cached_audio) * cached_nanousd
        + cached_audio * _own(price.cached_audio_input_nanousd, cached_nanousd)
        + max(0, written - kept) * write_nanousd
        + kept * _own(price.cache_write_1h_nanousd, write_nanousd)
        + heard * _own(price.audio_input_nanousd, price.input_nanousd)
        + max(0, usage.output - reasoning - spoken) * price.output_nanousd
        + reasoning * _own(price.reasoning_nanousd, price.output_nanousd)
        + spoken * _own(price.audio_output_nanousd, price.output_nanousd)
    )
    return -(-total // PER_TOKENS)


def bound(price: Price, input_tokens: int, output_tokens: int) -> int:
    """The most that any usage of at most so many tokens can cost at `price`.

    Every token counts as the dearest of its side, at the dearest tier within reach.
    """
    dearest = _dearest(price, input_tokens, output_tokens)
    for above, rates in price.tiers:
        if input_tokens > above:
            dearest = max(dearest, _dearest(rates, input_tokens, output_tokens))
    return -(-dearest // PER_TOKENS)


def _dearest(price: Price, input_tokens: int, output_tokens: int) -> int:
    return input_tokens * price.dearest_input_nanousd + output_tokens * price.dearest_output_nanousd


def _own(own_nanousd: int | None, whole_nanousd: int) -> int:
    return whole_nanousd if own_nanousd is None else own_nanousd
