"""A key as the pages show it, wherever it comes from: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from tidegate.console.words import lasts
from tidegate.control.admin.configured import ConfiguredKey
from tidegate.control.admin.shapes import Json
from tidegate.money import NANO

SOON_S: Final = 7 * 86_400
"""A key that ends within it is pointed out."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How it is with a key."""

    words: str
    tone: Literal["good", "warn", "bad"]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list."""

    name: str
    filed: bool
    """Whether it stands in the configuration file, where alone it can be changed."""
    owner: str
    models: str
    standing: Standing


def row_of(key: Json, now_ns: int) -> Row:
    """A key of the admin API."""
    return Row(
        key["name"],
        filed=False,
        owner=_owner(key["user"], key["team"], key["organisation"]),
        models=_models(key["models"]),
        standing=standing_of(key, now_ns),
    )


def filed_rows(keys: Mapping[str, ConfiguredKey], search: str, now_ns: int) -> list[Row]:
    """Those of the configuration file in whose name, user or team `search` stands."""
    wanted = search.casefold()
    return [
        Row(
            name,
            filed=True,
            owner=_owner(key.user, key.team, None),
            models=_models(None if key.models is None else list(key.models)),
            standing=_ending(key.expires_ns, now_ns) or Standing("active", "good"),
        )
        for name, key in sorted(keys.items())
        if any(wanted in (each or "").casefold() for each in (name, key.user, key.team))
    ]


def standing_of(key: Json, now_ns: int) -> Standing:
    """Blocked, over, about to end, being rotated, or simply good."""
    if key["blocked"]:
        return Standing("blocked", "bad")
    ending = _ending(unix_ns(key["expires_at"]), now_ns)
    if ending is not None:
        return ending
    old = [until for each in key["secrets"] if (until := unix_ns(each["until"])) is not None]
    if any(until > now_ns for until in old):
        left = lasts((max(old) - now_ns) / NANO)
        return Standing("rotating", "warn", f"the old secret is good for {left} more")
    return Standing("active", "good")


def unix_ns(moment: str | None) -> int | None:
    """A time of the admin API; to the microsecond."""
    if moment is None:
        return None
    whole, _, fraction = moment.rstrip("Z").partition(".")
    seconds = datetime.fromisoformat(f"{whole}+00:00").timestamp()
    return round(seconds) * NANO + int(fraction.ljust(9, "0") if fraction else 0)


def _ending(expires_ns: int | None, now_ns: int) -> Standing | None:
    if expires_ns is None:
        return None
    left_s = (expires_ns - now_ns) / NANO
    if left_s <= 0:
        return Standing("expired", "bad", f"{lasts(-left_s)} ago")
    return Standing("ends soon", "warn", f"in {lasts(left_s)}") if left_s <= SOON_S else None


def _owner(*names: str | None) -> str:
    return " · ".join(name for name in names if name)


def _models(patterns: list[str] | None) -> str:
    return "all" if patterns is None else ", ".join(patterns) or "none"
