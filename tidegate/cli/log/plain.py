"""Text and quantities fit to be shown: what callers and models wrote never steers a terminal."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from tidegate.money import NANO, show_usd

NOTHING = "-"
"""What stands for a value that is not known."""

_SECOND_MS = 1000
_MINUTE_MS = 60 * _SECOND_MS
_SIGNIFICANT = 3


def printable(text: str, *, lines: bool = False) -> str:
    r"""`text` with all that a terminal would obey, or hide, spelled out as in `\x1b`.

    Control characters, direction marks and unassigned characters are; with `lines`, line feeds
    and tabs are left.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(char if char in kept or _is_harmless(char) else _spelled(char) for char in text)


def _is_harmless(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode()


def show_ms(duration_ms: float | None) -> str:
    """`0.42 ms`, `182 ms`, `1.24 s`, `2m 05s`."""
    if duration_ms is None:
        return NOTHING
    if duration_ms < 10:  # noqa: PLR2004  two digits are enough to tell durations apart
        return f"{duration_ms:.2f} ms"
    if duration_ms < _SECOND_MS:
        return f"{duration_ms:.0f} ms"
    if duration_ms < _MINUTE_MS:
        return f"{duration_ms / _SECOND_MS:.2f} s"
    minutes, seconds = divmod(round(duration_ms / _SECOND_MS), 60)
    return f"{minutes}m {seconds:02d}s"


def show_cost(amount_nanousd: int | None) -> str:
    """Dollars with three significant digits: `$0.000123`, `$1.25`."""
    if amount_nanousd is None:
        return NOTHING
    # Cents are always whole: at most two digits less than a cent's seven are rounded away.
    places = max(0, len(str(abs(amount_nanousd))) - _SIGNIFICANT)
    step = min(10**places, NANO // 100)
    return show_usd(round(amount_nanousd / step) * step)


def show_count(count: int | None) -> str:
    """`12`, `12,345`."""
    return NOTHING if count is None else f"{count:,}"


def local_time(unix_ns: int) -> datetime:
    """The moment in the time zone of this machine; the epoch if no calendar reaches it."""
    try:
        return datetime.fromtimestamp(unix_ns / NANO).astimezone()
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0).astimezone()
