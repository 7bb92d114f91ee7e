"""Quantities with units: durations, sizes and prices, as text in the file and numbers in here.

    Duration  float seconds                                 "200ms", "1m30s"
    Size      int bytes                                     "32MiB"
    Price     int nano-dollars per million tokens, exact    "$0.15/M"
    Share     float, 1.0 is the whole                       "10%"
    Span      two durations in seconds, the shorter first   "200ms..5s"
    Usd       int nano-dollars; the key says the unit       500, 0.25
    Moment    int Unix nanoseconds                          "2027-01-31T18:00:00Z"

A number without a unit is refused, because whoever reads it would have to guess.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from tidegate.config.surroundings import refusal
from tidegate.money import NANO

_NUMBER = r"\d{1,12}(?:\.\d{1,12})?"
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*([A-Za-zµ]*)\s*")

DURATION_PATTERN = (
    rf"^(?=\d)(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?$"
)
SIZE_PATTERN = rf"^{_NUMBER}(?:B|KB|MB|GB|KiB|MiB|GiB)$"
SHARE_PATTERN = r"^\d{1,3}(?:\.\d{1,6})?%$"
SPAN_PATTERN = rf"^{DURATION_PATTERN[1:-1]}\.\.{DURATION_PATTERN[1:-1]}$"
PRICE_PATTERN = r"^\$\d{1,9}(?:\.\d{1,9})?/(?:M|K)$"

_DURATION_PART = re.compile(rf"({_NUMBER})(ms|[dhms])")
_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_BYTES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_TOKENS_PER_MILLION = {"M": 1, "K": 1000}

_DURATION_FORMS = ("200ms", "2s", "1m30s", "1h")
_SIZE_FORMS = ("512B", "16KiB", "32MiB", "1GiB", "10MB")
_SHARE_FORMS = ("10%", "0.5%", "100%")
_SPAN_FORMS = ("200ms..5s", "1s..1m")
_PRICE_FORMS = ("$0.15/M (per million tokens)", "$0.002/K (per thousand)")

_USD_FORMS = ("500", "0.25")
_MOMENT_FORMS = ("2027-01-31", "2027-01-31T18:00:00Z")

_SPELT_DURATIONS = {
    "msec": "ms",
    "millisecond": "ms",
    "milliseconds": "ms",
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "min": "m",
    "mins": "m",
    "minute": "m",
    "minutes": "m",
    "hr": "h",
    "hour": "h",
    "hours": "h",
    "day": "d",
    "days": "d",
}
_SPELT_SIZES = {
    "": "B",
    "byte": "B",
    "bytes": "B",
    "k": "KiB",
    "kb": "KB",
    "kib": "KiB",
    "m": "MiB",
    "mb": "MB",
    "mib": "MiB",
    "g": "GiB",
    "gb": "GB",
    "gib": "GiB",
}


def parse_duration(text: str) -> float:
    """Seconds in `text`.

    Raises: a pydantic refusal with the nearest correct spelling when it is not a duration.
    """
    if re.fullmatch(DURATION_PATTERN, text, re.ASCII) is None:
        quantity = _QUANTITY.fullmatch(text)
        if quantity is None:
            raise refusal("is not a duration", allowed=_DURATION_FORMS)
        number, unit = quantity.groups()
        message = f"has an unknown unit `{unit}`" if unit else "has no unit"
        known = unit if unit in _SECONDS else _SPELT_DURATIONS.get(unit.casefold(), "s")
        raise refusal(message, allowed=_DURATION_FORMS, nearest=number + known)
    parts = _DURATION_PART.findall(text)
    return float(sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0)))


def parse_size(text: str) -> int:
    """Bytes in `text`; a fraction of a byte is refused, as is anything that is not a size."""
    if re.fullmatch(SIZE_PATTERN, text, re.ASCII) is None:
        quantity = _QUANTITY.fullmatch(text)
        if quantity is None:
            raise refusal("is not a size", allowed=_SIZE_FORMS)
        number, unit = quantity.groups()
        message = f"has an unknown unit `{unit}`" if unit else "has no unit"
        known = unit if unit in _BYTES else _SPELT_SIZES.get(unit.casefold(), "MiB")
        raise refusal(message, allowed=_SIZE_FORMS, nearest=number + known)
    number = text.rstrip("BKMGi")
    size = Decimal(number) * _BYTES[text[len(number) :]]
    if size != int(size):
        raise refusal("is not a whole number of bytes", allowed=_SIZE_FORMS)
    return int(size)


def parse_price(text: str) -> int:
    """Nano-dollars per million tokens in `text`, exactly; finer prices than that are refused."""
    if re.fullmatch(PRICE_PATTERN, text, re.ASCII) is None:
        bare = re.fullmatch(rf"\$?\s*({_NUMBER})", text.strip(), re.ASCII)
        if bare is None:
            raise refusal("is not a price", allowed=_PRICE_FORMS)
        message = "does not say per how many tokens" if "$" in text else "has no unit"
        raise refusal(message, allowed=_PRICE_FORMS, nearest=f"${bare[1]}/M")
    amount, _, per = text.removeprefix("$").partition("/")
    return int(Decimal(amount) * NANO) * _TOKENS_PER_MILLION[per]


def parse_share(text: str) -> float:
    """The part of one that `text` says: 0.1 for `10%`."""
    if re.fullmatch(SHARE_PATTERN, text, re.ASCII) is None or Decimal(text[:-1]) > 100:  # noqa: PLR2004
        raise refusal("is not a percentage", allowed=_SHARE_FORMS)
    return float(Decimal(text[:-1]) / 100)


def parse_span(text: str) -> tuple[float, float]:
    """The two durations of `text`, in seconds."""
    low, dots, high = text.partition("..")
    if not dots:
        raise refusal("is not two durations", allowed=_SPAN_FORMS)
    span = parse_duration(low), parse_duration(high)
    if span[0] > span[1] or span[1] <= 0:
        raise refusal("must begin with the shorter duration", allowed=_SPAN_FORMS)
    return span


def parse_usd(value: object) -> int:
    """Nano-dollars in a number of dollars; finer amounts than that are refused."""
    text = value.strip().removeprefix("$") if isinstance(value, str) else str(value)
    if isinstance(value, bool) or re.fullmatch(rf"{_NUMBER}", text, re.ASCII) is None:
        raise refusal("is not a number of dollars", allowed=_USD_FORMS)
    amount = Decimal(text) * NANO
    if amount != int(amount):
        raise refusal("is finer than a nano-dollar", allowed=_USD_FORMS)
    return int(amount)


def parse_moment(value: object) -> int:
    """Unix nanoseconds of a date (its first moment in UTC) or of a time with its zone."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise refusal("is not a date or a time", allowed=_MOMENT_FORMS)
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 10**9


def _text(value: object, forms: tuple[str, ...], template: str) -> str:
    """`value` if it is text; a bare number gets the unit it lacks as the remedy."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise refusal("has no unit", allowed=forms, nearest=template.format(value))
    raise refusal("must be text with a unit", allowed=forms)


def _duration(value: object) -> float:
    return parse_duration(_text(value, _DURATION_FORMS, "{}s"))


def _size(value: object) -> int:
    return parse_size(_text(value, _SIZE_FORMS, "{}B"))


def _price(value: object) -> int:
    return parse_price(_text(value, _PRICE_FORMS, "${}/M"))


def _share(value: object) -> float:
    return parse_share(_text(value, _SHARE_FORMS, "{}%"))


def _span(value: object) -> tuple[float, float]:
    return parse_span(_text(value, _SPAN_FORMS, "{}s..5s"))


def _some_time(value: float) -> float:
    if value <= 0:
        raise refusal("must be longer than nothing", allowed=_DURATION_FORMS)
    return value


def _some_bytes(value: int) -> int:
    if value <= 0:
        raise refusal("must be more than nothing", allowed=_SIZE_FORMS)
    return value


def _quantity(title: str, pattern: str, example: str) -> dict[str, Any]:
    return {"title": title, "type": "string", "pattern": pattern, "examples": [example]}


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema(_quantity("Duration", DURATION_PATTERN, "1m30s")),
]
"""Seconds; may be zero."""

Wait = Annotated[Duration, AfterValidator(_some_time)]
"""Seconds, more than zero."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    AfterValidator(_some_bytes),
    WithJsonSchema(_quantity("Size", SIZE_PATTERN, "32MiB")),
]
"""Bytes, more than zero."""

PerMillion = Annotated[
    int,
    BeforeValidator(_price),
    WithJsonSchema(_quantity("Price", PRICE_PATTERN, "$0.15/M")),
]
"""Nano-dollars per million tokens."""

Share = Annotated[
    float,
    BeforeValidator(_share),
    WithJsonSchema(_quantity("Share", SHARE_PATTERN, "10%")),
]
"""A part of the whole, from 0 to 1."""

Span = Annotated[
    tuple[float, float],
    BeforeValidator(_span),
    WithJsonSchema(_quantity("Span", SPAN_PATTERN, "200ms..5s")),
]
"""Two durations in seconds, the shorter first."""

Usd = Annotated[
    int,
    BeforeValidator(parse_usd),
    WithJsonSchema({"title": "Usd", "anyOf": [{"type": "number"}, {"type": "string"}]}),
]
"""Nano-dollars."""

Moment = Annotated[
    int,
    BeforeValidator(parse_moment),
    WithJsonSchema({"title": "Moment", "type": "string", "examples": ["2027-01-31T18:00:00Z"]}),
]
"""Unix nanoseconds."""
