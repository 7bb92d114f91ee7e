"""The list of keys."""

from __future__ import annotations

from typing import Any, Final

from tidegate.console.page import Asked, View
from tidegate.console.pages.keys.entry import page
from tidegate.console.pages.keys.keyed import filed_rows, row_of

_SHOWN: Final = 50
_MOST_SPENDERS: Final = 1_000


@page.get()
def show(asked: Asked) -> View:
    """Keys of the configuration file first, then those of the store by name; searched."""
    search = asked.query.get("search")
    state = asked.query.get("state")
    after = asked.query.get("after")
    found = asked.api(
        "GET", "/keys", limit=_SHOWN, after=after, search=search,
        blocked={"blocked": "true", "not blocked": "false"}.get(state or ""),
    )  # fmt: skip
    rows = [row_of(key, asked.now_ns) for key in found["items"]]
    if after is None and state != "blocked":
        configured = asked.back.settings.configured().keys
        rows = [*filed_rows(configured, search or "", asked.now_ns), *rows]
    names = [row.name for row in rows]
    return View(
        "keys.html",
        {
            "rows": rows,
            "last_ns": asked.back.store.last_used(names),
            "spent": _spent(asked),
            "next": found["next"],
            "narrowed": bool(search or state),
        },
    )


def _spent(asked: Asked) -> dict[str, Any]:
    """What keys cost within the last 30 days, as far as they are among the dearest."""
    spend = asked.api("GET", "/spend", by="key", top=_MOST_SPENDERS)
    return {each["name"]: each for each in spend["items"]}
