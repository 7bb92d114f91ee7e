"""What the address of the page asks for: filters and a place, read and written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from tidegate.console.spans import Span
from tidegate.errors import every
from tidegate.money import NANO
from tidegate.store.search import NEVER_NS, Search, Spot

NAMES: Final = (
    "alias", "key", "user", "team", "organisation", "feature", "conversation", "trace",
    "provider", "model",
)  # fmt: skip
"""Filters that are names, and must be met exactly."""
FILTERS: Final = ("id", "outcome", *NAMES, "tag", "cost", "seconds")
ERRORS: Final = "errors"
_CHARACTERS: Final = 256
_MOST_S: Final = 86_400
_MOST_USD: Final = 1_000_000
_OTHERS: Final = ("ok", "client_gone", "failed_after_commit", "lost")
_WHEN: Final = "%Y-%m-%dT%H:%M"
_MINUTE: Final = len("2026-11-21T14:05")


class Wanted(NamedTuple):
    """What is searched for, and what of the address could not be understood."""

    search: Search
    mistakes: tuple[str, ...]


def wanted(query: Mapping[str, str], span: Span) -> Wanted:
    """What `query` asks for. An id, a trace and a conversation are searched for at all times."""
    mistakes: list[str] = []
    names = {name: value for name in NAMES if (value := _said(query, name)) is not None}
    outcome, id_ = _said(query, "outcome"), _said(query, "id")
    least_usd, least_s = None, None
    if (text := _said(query, "cost")) is not None:
        least_usd = _number(text.removeprefix("$"), _MOST_USD)
        if least_usd is None:
            mistakes.append("The cost is not a number of dollars: write 0.05.")
    if (text := _said(query, "seconds")) is not None:
        least_s = _number(text.removesuffix("s"), _MOST_S)
        if least_s is None:
            mistakes.append("The duration is not a number of seconds: write 2.5.")
    tag = None
    if (text := _said(query, "tag")) is not None:
        name, equals, value = text.partition("=")
        tag = (name.strip(), value.strip()) if equals else None
        if tag is None:
            mistakes.append("A tag has a name and a value: write version=7.")
    always = id_ is not None or "trace" in names or "conversation" in names
    whole = Span(None, 0, NEVER_NS)
    during = whole if always else span
    return Wanted(
        Search(
            since_ns=during.since_ns,
            until_ns=during.until_ns,
            **names,
            request_id=id_,
            outcome=None if outcome == ERRORS else outcome,
            errors=outcome == ERRORS,
            least_nanousd=None if least_usd is None else round(least_usd * NANO),
            least_ms=None if least_s is None else least_s * 1_000,
            tag=tag,
        ),
        tuple(mistakes),
    )


def spot_of(said: str | None) -> Spot | None:
    """A place between records as it stands in an address; None where it is none."""
    began, _, number = (said or "").partition("-")
    digits = began.isascii() and began.isdigit() and number.isascii() and number.isdigit()
    if not digits or max(len(began), len(number)) > 19:  # noqa: PLR2004  of 64 bits
        return None
    spot = Spot(int(began), int(number))
    return spot if max(spot) < 1 << 63 else None


def show_spot(spot: Spot | None) -> str | None:
    """The same, to stand in an address."""
    return None if spot is None else f"{spot.started_ns}-{spot.id}"


def minute_of(said: str | None) -> int | None:
    """Unix seconds of what a field for date and time says, in UTC."""
    try:
        at = datetime.fromisoformat((said or "")[:_MINUTE])
    except ValueError:
        return None
    return max(0, int(at.replace(tzinfo=UTC).timestamp()))


def show_minute(unix_ns: int) -> str:
    """A moment, for such a field."""
    return datetime.fromtimestamp(unix_ns // NANO, UTC).strftime(_WHEN)


def outcomes(now: str | None) -> list[str]:
    """Every outcome there may be, errors of all kinds first; and `now`, whatever it is."""
    codes = sorted({each.code for each in every()})
    told = [ERRORS, *_OTHERS, *codes]
    return [*told, now] if now and now not in told else told


def _said(query: Mapping[str, str], name: str) -> str | None:
    # PostgreSQL takes no NUL.
    return query.get(name, "").replace("\x00", "").strip()[:_CHARACTERS] or None


def _number(text: str, most: float) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= most else None
