"""The configurations that were in force: what each said, what changed, and the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tidegate.console.page import Asked, Page, View, Went
from tidegate.control.admin.shapes import Json

page: Final = Page("configuration", "Configuration", needs="configurations:read")

_HOW: Final = {"start": "a start", "file": "the file", "rollback": "a roll back"}
_HUNK: Final = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_LIVE_S: Final = 3
"""What was put back is in force a moment later."""
_HEAD: Final = 2
"""Lines before the first hunk, which name both sides."""

Sign = Literal["+", "-", " ", "@", "\\"]


@dataclass(frozen=True, slots=True)
class Line:
    """One of a difference."""

    sign: Sign
    text: str
    old: int | None = None
    """Its number on either side, where it stands there."""
    new: int | None = None

    @property
    def kind(self) -> str:
        """What it looks like."""
        return {"+": "added", "-": "removed", "@": "place"}.get(self.sign, "same")


@page.get()
def show(asked: Asked) -> View:
    """All that are kept, what was in force last first."""
    return View("configuration.html", _all(asked), live_s=_LIVE_S)


@page.get("/compare")
def compare(asked: Asked) -> View:
    """What changed from one to another; without names, to what is in force from what was before."""
    told = _all(asked)
    names = [each["version"] for each in told["items"]]
    new = asked.query.get("new") or (names[0] if names else "")
    old = asked.query.get("old") or next((name for name in names if name != new), new)
    found = asked.api("GET", f"/configurations/{old}/diff", to=new)
    changed = {"old": old, "new": new, "lines": list(lines_of(found["diff"]))}
    return View("configuration-diff.html", told | changed, f"From {old} to {new}")


@page.get("/version/{version}")
def show_one(asked: Asked) -> View:
    """The text of one, and what would change by going back to it."""
    one = asked.api("GET", f"/configurations/{asked.names['version']}")
    told = _all(asked)
    lines: list[Line] = []
    if not one["in_force"] and one["text"] is not None and told["in_force"] in told["texts"]:
        now = told["in_force"]
        found = asked.api("GET", f"/configurations/{now}/diff", to=one["version"])
        lines = list(lines_of(found["diff"]))
    one_told = {"one": one, "lines": lines, "changes": sum(each.sign in "+-" for each in lines)}
    return View("configuration-one.html", told | one_told, f"Configuration {one['version']}")


@page.post("/version/{version}", needs="configurations:write")
def roll_back(asked: Asked) -> Went:
    """Put it back into the file. Why it cannot be is told where the button is."""
    done = asked.api("POST", f"/configurations/{asked.names['version']}/rollback")
    asked.flash(
        f"{done['file']} says {done['version']} again, after {done['before']}. "
        "The gateways take it over within seconds."
    )
    return Went(page.path)


def lines_of(diff: str) -> Iterator[Line]:
    """The lines of a unified difference, each with its numbers."""
    old = new = 0
    for text in diff.split("\n")[_HEAD:]:
        found = _HUNK.match(text)
        if found is not None:
            old, new = int(found[1]), int(found[2])
            yield Line("@", text)
        elif text.startswith("+"):
            yield Line("+", text[1:], None, new)
            new += 1
        elif text.startswith("-"):
            yield Line("-", text[1:], old, None)
            old += 1
        elif text.startswith("\\"):
            yield Line("\\", text[2:])
        elif text:
            yield Line(" ", text[1:], old, new)
            old, new = old + 1, new + 1


def _all(asked: Asked) -> Json:
    found = asked.api("GET", "/configurations")
    restorable = {each["version"] for each in found["items"] if each["restorable"]}
    return {
        **found,
        "how": _HOW,
        "texts": {each["version"] for each in found["items"]} - _without_text(found["items"]),
        "may_put": asked.may("configurations:write") and found["refused"] is None,
        "restorable": restorable,
    }


def _without_text(items: list[Json]) -> set[str]:
    # What hides nothing and still cannot be put back has no text.
    return {each["version"] for each in items if not each["restorable"] and not each["hidden"]}
