"""Figures as people read them: short, with their unit; a dash for what is not known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from tidegate.money import NANO

UNKNOWN: Final = "—"
_CENT: Final = NANO // 100
_THOUSAND: Final = 1_000
_UNITS: Final = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_BYTES: Final = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_LENGTHS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))
_SHORT: Final = 10


def usd(nanousd: float | None) -> str:
    """Dollars: `$1,234.50`, `$0.015`, and more digits below a cent."""
    if nanousd is None:
        return UNKNOWN
    sign, amount = ("-" if nanousd < 0 else ""), abs(nanousd) / NANO
    if amount == 0:
        return "$0"
    if amount >= 100_000:  # noqa: PLR2004
        return f"{sign}${amount:,.0f}"
    if abs(nanousd) >= _CENT:
        few = abs(nanousd) < 10 * _CENT
        return f"{sign}$" + (f"{amount:.3f}".removesuffix("0") if few else f"{amount:,.2f}")
    if amount < 0.000_001:  # noqa: PLR2004
        return f"{sign}<$0.000001"
    digits = f"{amount:.6f}".rstrip("0")
    return f"{sign}${digits}"


def count(number: float | None) -> str:
    """Whole, with commas: `12,345`."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def short(number: float | None) -> str:
    """In at most four characters or so: `12.3k`."""
    if number is None:
        return UNKNOWN
    for size, unit in _UNITS:
        if abs(number) >= size:
            return f"{_three(number / size)}{unit}"
    return _three(number)


def size(bytes_: float | None) -> str:
    """Bytes: `1.5 MiB`."""
    if bytes_ is None:
        return UNKNOWN
    for unit_bytes, unit in _BYTES:
        if bytes_ >= unit_bytes:
            return f"{_three(bytes_ / unit_bytes)} {unit}"
    return f"{bytes_:.0f} B"


def ms(milliseconds: float | None) -> str:
    """A short time: `0.8 ms`, `420 ms`, `1.25 s`, `3m 20s`."""
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < _SHORT:
        return f"{_three(milliseconds)} ms"
    if milliseconds < _THOUSAND:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    return f"{_three(seconds)} s" if seconds < 60 else lasts(seconds)  # noqa: PLR2004


def seconds(value: float | None) -> str:
    """The same of seconds."""
    return ms(None if value is None else value * 1_000)


def lasts(seconds: float | None) -> str:
    """How long something lasts, in two units: `3m 20s`, `2d 4h`."""
    if seconds is None:
        return UNKNOWN
    left = max(0, round(seconds))
    for place, (unit_s, unit) in enumerate(_LENGTHS):
        if left >= unit_s:
            whole, rest = divmod(left, unit_s)
            below_s, below = _LENGTHS[place + 1] if place + 1 < len(_LENGTHS) else (1, "s")
            more = f" {rest // below_s}{below}" if rest // below_s else ""
            return f"{whole}{unit}{more}"
    return f"{left}s"


def share(part: float | None) -> str:
    """A share: `12 %`, `0.4 %`."""
    if part is None:
        return UNKNOWN
    percent = part * 100
    if percent == 0 or abs(percent) >= _SHORT:
        return f"{percent:.0f} %"
    return f"{_three(percent)} %"


def moment(unix_ns: int | None) -> str:
    """A time in UTC: `2026-11-21 14:05:09`."""
    return UNKNOWN if unix_ns is None else f"{_at(unix_ns):%Y-%m-%d %H:%M:%S}"


def clock(unix_ns: int | None) -> str:
    """The time of day: `14:05:09`."""
    return UNKNOWN if unix_ns is None else f"{_at(unix_ns):%H:%M:%S}"


def iso(unix_ns: int) -> str:
    """For machines: `2026-11-21T14:05:09Z`."""
    return f"{_at(unix_ns):%Y-%m-%dT%H:%M:%SZ}"


def _at(unix_ns: int) -> datetime:
    return datetime.fromtimestamp(unix_ns // NANO, UTC)


def _three(number: float) -> str:
    # Three digits, none of them a zero at the end behind the point.
    if abs(number) >= 100:  # noqa: PLR2004
        return f"{number:.0f}"
    text = f"{number:.1f}" if abs(number) >= _SHORT else f"{number:.2f}"
    return text.rstrip("0").rstrip(".")
