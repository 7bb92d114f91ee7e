"""Teams, and what each lets be kept of its prompts and answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tidegate.console.page import Asked, View, Went
from tidegate.console.pages.keys.entry import page
from tidegate.console.refusals import Refusal
from tidegate.console.words import share, size
from tidegate.control.admin.shapes import Json
from tidegate.guard.access import TeamRecords

_SHOWN: Final = 100
_MOST_BOUNDS: Final = 500
_SIZE: Final = re.compile(r"(\d{1,15})\s*(|B|KiB|MiB|GiB)", re.ASCII | re.IGNORECASE)
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,20})?)\s*%?", re.ASCII)
_UNITS: Final = {"gib": 1 << 30, "mib": 1 << 20, "kib": 1 << 10, "b": 1, "": 1}
BODIES: Final = (
    ("", "whatever the alias keeps"),
    ("none", "none: no prompt, answer or parameter"),
    ("metadata", "metadata: figures and parameters"),
    ("redacted", "redacted: prompts and answers, masked"),
    ("full", "full: prompts and answers as they were"),
)


@dataclass(frozen=True, slots=True)
class Team:
    """A line of the list."""

    name: str
    filed: bool
    """Whether it stands in the configuration file, where alone it can be changed."""
    organisation: str | None
    weight: int
    kept: str | None
    """In words; None where nothing is bounded."""


@page.get("/teams", needs="people:read")
def show(asked: Asked) -> View:
    """Teams of the configuration file first, then those of the store by name."""
    after = asked.query.get("after")
    found = asked.api("GET", "/teams", limit=_SHOWN, after=after)
    teams = [
        Team(
            each["name"], filed=False, organisation=each["organisation"],
            weight=each["weight"], kept=kept_words(each["records"]),
        )
        for each in found["items"]
    ]  # fmt: skip
    return View("teams.html", {"teams": [*_filed(asked, after), *teams], "next": found["next"]})


@page.get("/teams/{team}/kept", needs="people:write")
def ask_kept(asked: Asked) -> View:
    """The form with what is kept now."""
    team = asked.api("GET", f"/teams/{asked.names['team']}")
    return _form(team["name"], fields_of(team["records"]))


@page.post("/teams/{team}/kept", needs="people:write")
def keep(asked: Asked) -> View | Went:
    """Bound what is kept from now on; what is there already stays."""
    name = asked.names["team"]
    try:
        asked.api("PATCH", f"/teams/{name}", {"records": said(asked.form)})
    except Refusal as refusal:
        return _form(name, asked.form, refusal)
    asked.flash(f"What is kept of the team {name} is changed. Gateways know within two seconds.")
    return Went(f"{page.path}/teams")


def bounds(asked: Asked) -> dict[str, str]:
    """What teams let be kept, in words; of those that bound it."""
    found = asked.api("GET", "/teams", limit=_MOST_BOUNDS)["items"]
    words = {team.name: team.kept for team in _filed(asked, None)}
    words |= {each["name"]: kept_words(each["records"]) for each in found}
    return {name: kept for name, kept in words.items() if kept is not None}


def kept_words(records: Json | None) -> str | None:
    """`redacted, of 10 % of requests, 64 KiB of each`; None where nothing is bounded."""
    told = records or {}
    words = [told["bodies"]] if told.get("bodies") else []
    if told.get("share") is not None:
        words.append(f"of {share(told['share'])} of requests")
    if told.get("max_body_bytes") is not None:
        words.append(f"{size(told['max_body_bytes'])} of each body")
    return ", ".join(words) or None


def said(form: Mapping[str, str]) -> Json:
    """What the fields of the form ask of the admin API. Raises: `Refusal`."""
    return {
        "bodies": form.get("bodies") or None,
        "share": _part(form.get("share", "").strip()),
        "max_body_bytes": _bytes(form.get("max_body", "").strip()),
    }


def _part(text: str) -> float | None:
    if not text:
        return None
    found = _PERCENT.fullmatch(text)
    if found is None or Decimal(found[1]) > 100:  # noqa: PLR2004
        raise Refusal(422, "The share is no percentage.", "Write it like 10%.", "share")
    return float(Decimal(found[1]) / 100)


def _bytes(text: str) -> int | None:
    if not text:
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise Refusal(422, "The most of each is no size.", "Write it like 64KiB.", "max_body")
    return int(found[1]) * _UNITS[found[2].lower()]


def fields_of(records: Json | None) -> dict[str, str]:
    """The fields of the form that say what is kept."""
    told = records or {}
    part, most = told.get("share"), told.get("max_body_bytes")
    return {
        "bodies": told.get("bodies") or "",
        "share": "" if part is None else f"{(Decimal(str(part)) * 100).normalize():f}%",
        "max_body": "" if most is None else _exactly(most),
    }


def _exactly(most_bytes: int) -> str:
    units = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))
    return next(f"{most_bytes // of}{unit}" for unit, of in units if most_bytes % of == 0)


def _filed(asked: Asked, after: str | None) -> list[Team]:
    if after is not None:
        return []
    return [
        Team(
            name, filed=True, organisation=team.organisation, weight=team.weight,
            kept=kept_words(_told(team.records)),
        )
        for name, team in sorted(asked.back.settings.configured().teams.items())
    ]  # fmt: skip


def _told(records: TeamRecords) -> Json:
    names = ("bodies", "share", "max_body_bytes")
    return {name: getattr(records, name) for name in names}


def _form(name: str, fields: Mapping[str, str], refusal: Refusal | None = None) -> View:
    told: dict[str, Any] = {"name": name, "fields": fields, "refusal": refusal, "choices": BODIES}
    title = f"What is kept of {name}"
    return View("team-kept.html", told, title, 200 if refusal is None else refusal.status)
