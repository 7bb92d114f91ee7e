"""What fires, what was told, what is silent; and who looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tidegate.alerts.links import link
from tidegate.alerts.rules import DEFAULTS, SEVERITIES
from tidegate.console.page import Asked, Page, View, Went
from tidegate.console.pages.alerts.runbooks import Runbooks
from tidegate.console.refusals import Refusal, missing
from tidegate.control.admin.shapes import read_time, show_time
from tidegate.money import NANO

_LIVE_S: Final = 5
LENGTHS: Final[Mapping[str, int]] = {"1h": 3_600, "4h": 14_400, "24h": 86_400, "7d": 604_800}
"""How long something may be silent, in seconds."""

page = Page("alerts", "Alerts", needs="state:read")


@page.get()
def show(asked: Asked) -> View:
    """The page, which keeps itself fresh."""
    told = asked.api("GET", "/alerts")
    runbooks = asked.lasting.the(Runbooks)
    firing = sorted(map(_linked, told["firing"]), key=_gravity)
    return View(
        "alerts.html",
        {
            "firing": [each for each in firing if each["state"] == "firing"],
            "pending": [each for each in firing if each["state"] == "pending"],
            "recent": [_linked(each) for each in told["recent"]],
            "silences": told["silences"],
            "rules": tuple(DEFAULTS),
            "runbooks": runbooks.names,
            "elsewhere": _elsewhere(asked),
            "lengths": tuple(LENGTHS),
            "sinks": tuple(asked.back.settings.alerts.sinks),
        },
        live_s=_LIVE_S,
    )


@page.get("/runbooks/{name}")
def show_runbook(asked: Asked) -> View:
    """What to do about one kind of alert."""
    runbook = asked.lasting.the(Runbooks).find(asked.names["name"])
    if runbook is None:
        raise missing()
    return View("runbook.html", {"runbook": runbook}, title=runbook.title)


@page.post("/{id}/acknowledge", needs="alerts:write")
def acknowledge(asked: Asked) -> Went:
    """Say that somebody looks at it."""
    note = asked.form.get("note", "no note")
    told = asked.api("POST", f"/alerts/{asked.names['id']}/acknowledgement", {"note": note})
    asked.flash(f"You look at {told['rule']}: it is not told again until it is over.")
    return Went(page.path)


@page.post("/silences", needs="alerts:write")
def silence(asked: Asked) -> Went:
    """Tell nobody for a time."""
    rule, labels = asked.form.get("rule"), labels_of(asked.form.get("labels", ""))
    everything = "everything" in asked.form
    length_s = LENGTHS.get(asked.form.get("for", ""), LENGTHS["1h"])
    told = asked.api(
        "POST",
        "/silences",
        {
            "until": show_time(asked.now_ns + length_s * NANO),
            "rule": rule,
            "labels": labels,
            "why": asked.form.get("why", "no reason given"),
            "everything": everything,
        },
    )
    until = told["until"].partition(".")[0].replace("T", " ")
    which = " Every alert is." if everything else ""
    asked.flash(f"Silent until {until} UTC.{which}")
    return Went(page.path)


@page.post("/silences/{id}/end", needs="alerts:write")
def end_silence(asked: Asked) -> Went:
    """Tell again."""
    asked.api("DELETE", f"/silences/{asked.names['id']}")
    asked.flash("It is told again.")
    return Went(page.path)


def labels_of(text: str) -> dict[str, str]:
    """`name=value`, one in each line. Raises: `Refusal`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.strip():
            name, equals, value = line.strip().partition("=")
            if not equals:
                raise Refusal(422, "A label is written name=value.", "Write one in each line.")
            found[name.strip()] = value.strip()
    return found


def _linked(told: dict[str, Any]) -> dict[str, Any]:
    at = _ns(told.get("at")), _ns(told["since"])
    until_ns = at[0] or at[1]
    return {
        **told,
        "since_ns": at[1],
        "at_ns": at[0],
        "link": link("", told["rule"], told["labels"], (at[1], until_ns)),
        "pairs": "\n".join(f"{name}={value}" for name, value in told["labels"].items()),
    }


def _ns(moment: str | None) -> int:
    return 0 if moment is None else read_time(moment)


def _gravity(told: dict[str, Any]) -> tuple[int, int]:
    return SEVERITIES.index(told["severity"]), told["since_ns"]


def _elsewhere(asked: Asked) -> str | None:
    # Runbooks of their own, if they are on some site.
    at = asked.back.settings.alerts.terms.runbooks
    return at if at.startswith(("https://", "http://")) else None
