"""What was asked, one by one: search for it, and see why each went as it did."""

from __future__ import annotations

from typing import Any, Final

from tidegate.console.page import Asked, Page, View, Went
from tidegate.console.pages.requests.one import caller_of, facts_of, one, way_of
from tidegate.console.pages.requests.rows import line_of, tone_of
from tidegate.console.pages.requests.talk import talk_of
from tidegate.console.pages.requests.wanted import (
    FILTERS,
    minute_of,
    outcomes,
    show_minute,
    show_spot,
    spot_of,
    wanted,
)
from tidegate.store.search import Hits, RecordSearch, Search

_PAGE: Final = 50
_DAY_S: Final = 86_400
_HIDDEN: Final = frozenset(FILTERS) - {"id", "outcome", "alias", "model", "team", "user"}
"""Filters that are out of sight as long as they are not used."""

page = Page("requests", "Requests", needs="requests:read")


@page.get()
def show(asked: Asked) -> View | Went:
    """The list."""
    if "since" in asked.query or "until" in asked.query:
        return Went(_with_seconds(asked))
    span = asked.span("24h")
    search, mistakes = wanted(asked.query, span)
    found = _found(asked, search)
    if found is None:  # somebody has gone back to the newest
        return Went(asked.url())
    lines = [each for each in map(line_of, found.rows) if each is not None]
    configured = asked.back.settings.configured()
    view: dict[str, Any] = {
        "span": span,
        "since": show_minute(span.since_ns) if span.name is None else "",
        "until": show_minute(span.until_ns) if span.name is None else "",
        "always": search.since_ns == 0,
        "mistakes": mistakes,
        "lines": lines,
        "searched": [name for name in FILTERS if asked.query.get(name)],
        "more": any(asked.query.get(name) for name in _HIDDEN) or span.name is None,
        "older": _to(asked, after=show_spot(found.older)),
        "newer": _to(asked, before=show_spot(found.newer)),
        "newest": asked.url() if {"before", "after"} & asked.query.keys() else None,
        "looked_ns": found.looked_ns,
        "outcomes": outcomes(asked.query.get("outcome")),
        "known": {
            "alias": sorted(configured.aliases),
            "model": sorted({t.name for each in configured.aliases.values() for t in each}),
            "team": sorted(configured.teams),
            "organisation": sorted(configured.organisations),
            "key": sorted(configured.keys),
        },
    }  # fmt: skip
    return View("requests.html", view)


@page.get("/{id}")
def show_one(asked: Asked) -> View:
    """One request, and why it went as it did."""
    found = one(asked)
    record = found.record
    reads = asked.may("content:read")
    view: dict[str, Any] = {
        "record": record,
        "told": found.told,
        "tone": tone_of(record.outcome, record.status),
        "way": way_of(found.told),
        "caller": list(caller_of(record)),
        "facts_": list(facts_of(record)),
        "talk": talk_of(record) if reads else None,
        "feedback": found.feedback,
    }
    running = found.told.state == "running"
    return View("request.html", view, "Request", live_s=3 if running else None)


def _found(asked: Asked, search: Search) -> Hits | None:
    """The page of the list that is asked for; None if it is the first after all."""
    store = RecordSearch(asked.back.store.database)
    after, before = spot_of(asked.query.get("after")), spot_of(asked.query.get("before"))
    if before is None:
        return store.older(search, _PAGE, after)
    found = store.newer(search, _PAGE, before)
    return None if found.newer is None and len(found.rows) < _PAGE else found


def _to(asked: Asked, **spot: str | None) -> str | None:
    return asked.url(**spot) if any(spot.values()) else None


def _with_seconds(asked: Asked) -> str:
    """The same page with the time of its two fields as it stands in links."""
    since_s, until_s = minute_of(asked.query.get("since")), minute_of(asked.query.get("until"))
    if since_s is None and until_s is None:
        return asked.url(since=None, until=None)
    if since_s is None:
        since_s = max(0, (until_s or 0) - _DAY_S)
    return asked.url(since=None, until=None, range=None, from_=since_s, to=until_s)
