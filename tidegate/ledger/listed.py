"""The prices of one model over time, from the way `genai-prices` lists them.

Its decimals become integers, rounded up where they are finer than a nano-dollar per million tokens.
What is charged by something else than tokens is not known here, and no price: never too little.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tidegate.ledger.price import Price
from tidegate.money import nanousd

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, PriceVariant, TieredPrices

_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("input_mtok", "input_image_mtok", "input_video_mtok"),
    "output": ("output_mtok", "output_image_mtok", "output_video_mtok"),
    "cached_input": (
        "cache_read_mtok",
        "cache_image_read_mtok",
        "cache_video_read_mtok",
    ),
    "cache_write": ("cache_write_mtok", "cache_write_5m_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok",),
    "reasoning": ("output_reasoning_mtok",),
    "audio_input": ("input_audio_mtok",),
    "audio_output": ("output_audio_mtok",),
    "cached_audio_input": ("cache_audio_read_mtok",),
}
"""The prices there that each class here may cost.

The dearest counts: images and video are not told apart here.
"""

_KNOWN: Final = frozenset(name for names in _CLASSES.values() for name in names)

_BESIDE: Final = frozenset(
    {"web_searches_kcount", "social_searches_kcount", "storage_searches_kcount"}
    | {"code_executions_kcount"}
)
"""Charged for a vendor's own tools, beside the tokens; not counted here."""

_WAYS: Final = frozenset({"processing", "service_tier", "speed"})
"""What of a request chooses a variant of a price that is known here by its value."""

_DAY_NS: Final = 24 * 3600 * 10**9
_MIDNIGHT: Final = time(0, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Day = tuple[tuple[int, Price | None], ...]
"""From which nanosecond of the day on which price is in force."""
_Told = dict[str, "Decimal | TieredPrices"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The prices of one model: from each of `from_ns` on, by the time of the day in UTC."""

    from_ns: tuple[int, ...]
    days: tuple[_Day, ...]
    """For each of them, the prices of a day."""
    context_tokens: int | None = None
    """How much input the model takes at most, if that is known."""

    def at(self, unix_ns: int) -> Price | None:
        """The price in force at `unix_ns`; None if it is not known."""
        day = self.days[0]
        if len(self.days) > 1:
            day = self.days[max(0, bisect_right(self.from_ns, unix_ns) - 1)]
        if len(day) == 1:
            return day[0][1]
        of_day_ns = unix_ns % _DAY_NS
        return next(price for began_ns, price in reversed(day) if began_ns <= of_day_ns)


def schedule(model: ModelInfo, variants: list[PriceVariant], label: str) -> Schedule:
    """The prices of `model` from every date and time of the day on that they change at."""
    rows = model.prices if isinstance(model.prices, list) else []
    dates, times = {date(1970, 1, 1)}, {_MIDNIGHT}
    for each in (*rows, *variants):
        # By shape: the classes belong to a module that is not imported as itself.
        began: date | None = getattr(each.constraint, "start_date", None)
        if began is not None:
            dates.add(began)
        elif each.constraint is not None:
            times |= {_utc(getattr(each.constraint, at)) for at in ("start_time", "end_time")}
    days: list[_Day] = []
    for day in sorted(dates):
        moments = [datetime.combine(day, at) for at in sorted(times)]
        prices = [_in_force(model, variants, moment, label) for moment in moments]
        days.append(
            tuple(
                (_unix_ns(moment) % _DAY_NS, price)
                for place, (moment, price) in enumerate(zip(moments, prices, strict=True))
                if place == 0 or price != prices[place - 1]
            )
        )
    from_ns = tuple(_unix_ns(datetime.combine(day, _MIDNIGHT)) for day in sorted(dates))
    return Schedule(from_ns, tuple(days), _window(model, days))


def _window(model: ModelInfo, days: Iterable[_Day]) -> int | None:
    """How much input `model` takes; None also where there is a price for more than it is said to.

    Some take more than they usually do when they are asked to.
    """
    window = model.context_window
    prices = (price for day in days for _, price in day if price is not None)
    beyond = max((above for price in prices for above, _ in price.tiers), default=0)
    return None if window is None or window <= beyond else window


def _unix_ns(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _utc(value: time) -> time:
    """The same time of day in UTC, which it is in if it names no zone."""
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return datetime.combine(date(1970, 1, 2), value).astimezone(UTC).timetz()


def _in_force(
    model: ModelInfo, variants: Iterable[PriceVariant], moment: datetime, label: str
) -> Price | None:
    standard = _told(vars(model.get_prices(moment)))
    changed: dict[str, _Told] = {}
    for each in variants:
        in_force = each.constraint is None or each.constraint.active(moment)
        if in_force and len(each.when) == 1 and each.when.keys() <= _WAYS:
            way = next(iter(each.when.values()))
            # The first that tells a price wins.
            changed[way] = _told(vars(each.prices)) | changed.get(way, {})
    known: dict[str, Price] = {}
    for way, told in changed.items():
        price = _price(standard | told, f"{label} {way}") if told else None
        if price is not None:
            known[way] = price
    if not standard and model.id.endswith(":free"):
        return Price(0, 0, label=label)
    return _price(standard, label, known)


def _told(prices: Mapping[str, Decimal | TieredPrices | None]) -> _Told:
    return {
        name: value for name, value in prices.items() if value is not None and name not in _BESIDE
    }


def _price(told: _Told, label: str, variants: Mapping[str, Price] | None = None) -> Price | None:
    """The price that is told; None where it is for something that is not counted here.

    A model without a price may be free, or no longer sold: nothing is known.
    """
    if "input_mtok" not in told or not told.keys() <= _KNOWN:
        return None
    starts = sorted({start for value in told.values() for start in _starts(value)})
    tiers = tuple((above, _rates(told, above, label)) for above in starts)
    return replace(_rates(told, -1, label), tiers=tiers, variants=variants or {})


def _starts(value: Decimal | TieredPrices) -> list[int]:
    return [] if isinstance(value, Decimal) else [tier.start for tier in value.tiers]


def _rates(told: _Told, above: int, label: str) -> Price:
    """The rates for input of more than `above` tokens."""
    rates = {
        name: max(_rate(told[each], above) for each in theirs if each in told)
        for name, theirs in _CLASSES.items()
        if not told.keys().isdisjoint(theirs)
    }
    return Price(
        rates["input"],
        rates.get("output", 0),  # vectors have no output, and no price for it
        rates.get("cached_input"),
        rates.get("cache_write"),
        rates.get("reasoning"),
        label,
        rates.get("audio_input"),
        rates.get("audio_output"),
        rates.get("cached_audio_input"),
        rates.get("cache_write_1h"),
    )


def _rate(value: Decimal | TieredPrices, above: int) -> int:
    if isinstance(value, Decimal):
        return nanousd(value)
    reached = [tier.price for tier in value.tiers if tier.start <= above]
    return nanousd(reached[-1] if reached else value.base)
