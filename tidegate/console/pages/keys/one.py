"""One key: what it is, what it may spend, and what can be done with it."""

from __future__ import annotations

from datetime import datetime
from secrets import token_urlsafe
from typing import Any, Final

from tidegate.console.charts import Series, stacked
from tidegate.console.page import Asked, View, Went
from tidegate.console.pages.keys.entry import page
from tidegate.console.pages.keys.gauges import ruled
from tidegate.console.pages.keys.keyed import filed_rows, standing_of
from tidegate.console.pages.keys.making import secret_of
from tidegate.console.refusals import Refusal, missing
from tidegate.console.words import usd
from tidegate.control.admin.shapes import Json

_DAY_S: Final = 86_400
_DAYS: Final = 30
_OVERLAPS: Final = {
    "1 hour": 3_600,
    "1 day": _DAY_S,
    "7 days": 7 * _DAY_S,
    "30 days": 30 * _DAY_S,
    "not at all: it ends now": 0,
}


@page.get("/key/{key}")
def show(asked: Asked) -> View:
    """The key, whether it is the store's or the configuration's."""
    name = asked.names["key"]
    configured = asked.back.settings.configured().keys
    key: Json | None = None
    if name not in configured:
        key = asked.api("GET", f"/keys/{name}")
        name = key["name"]
    return View("key.html", _told(asked, name, key), name)


@page.post("/key/{key}", needs="keys:write")
def act(asked: Asked) -> View | Went:
    """Rotate, block, unblock or delete it."""
    name, form = asked.names["key"], asked.form
    match form.get("do"):
        case "rotate":
            overlaps = {str(seconds): seconds for seconds in _OVERLAPS.values()}
            wanted = {"overlap_s": overlaps.get(form.get("overlap_s", ""))}
            path = f"/keys/{name}/rotate"
            return secret_of(asked.api("POST", path, wanted, once=form.get("once")), "rotated")
        case "block":
            asked.api("POST", f"/keys/{name}/block")
            asked.flash(f"The key {name} is blocked. Every gateway knows within two seconds.")
        case "unblock":
            asked.api("POST", f"/keys/{name}/unblock")
            asked.flash(f"The key {name} is let in again.")
        case "delete":
            asked.api("DELETE", f"/keys/{name}")
            asked.flash(f"The key {name} is deleted. Every gateway knows within two seconds.")
            return Went(page.path)
        case _:
            raise Refusal(400, "This cannot be done with a key.", "Load the page again.")
    return Went(f"{page.path}/key/{name}")


def _told(asked: Asked, name: str, key: Json | None) -> dict[str, Any]:
    now_ns = asked.now_ns
    filed = asked.back.settings.configured().keys
    if key is not None:
        standing, models, owners = standing_of(key, now_ns), key["models"], key
    elif name in filed:
        standing = next(row.standing for row in filed_rows({name: filed[name]}, "", now_ns))
        models = filed[name].models
        owners = {"user": filed[name].user, "team": filed[name].team, "organisation": None}
    else:
        raise missing()
    spend = asked.api("GET", "/spend", by="day", key=name)
    rules = [*ruled(asked, "key", name)]
    if owners["team"]:
        rules += ruled(asked, "team", owners["team"])
    if owners["user"]:
        rules += ruled(asked, "user", owners["user"])
    return {
        "name": name,
        "key": key,
        "standing": standing,
        "owners": {noun: owners[noun] for noun in ("user", "team", "organisation") if owners[noun]},
        "models": models,
        "last_ns": asked.back.store.last_used([name]).get(name),
        "total": spend["total"],
        "chart": _chart(spend["items"], now_ns),
        "rules": rules,
        "overlaps": [(seconds, words) for words, seconds in _OVERLAPS.items()],
        "once": token_urlsafe(16),
    }


def _chart(items: list[Json], now_ns: int) -> Any:
    today_s = now_ns // 10**9 // _DAY_S * _DAY_S
    at_s = [today_s - (_DAYS - 1 - day) * _DAY_S for day in range(_DAYS)]
    cost = {
        round(datetime.fromisoformat(f"{each['name']}T00:00+00:00").timestamp()): float(
            each["cost"]["nanousd"]
        )
        for each in items
    }
    return stacked("Cost by day", at_s, [Series("cost", [cost.get(at, 0.0) for at in at_s])], usd)
