"""What is compared: a bar for each name, the longest first or in whatever order they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from tidegate.console.charts.chart import Chart, Unit, joined, percent, tag

_ROW: Final = 36
_MOST_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class Bar:
    """One of them."""

    name: str
    value: float
    tone: str = "tone-1"
    to: str | None = None
    """A page that says more."""


def bars(title: str, rows: Sequence[Bar], unit: Unit, *, head: str = "name") -> Chart:
    """Bars that lie on their side, each with its name and value above it."""
    top = max((row.value for row in rows), default=0.0) or 1.0
    drawn: list[Markup] = [tag("title", title)]
    for number, row in enumerate(rows):
        y = number * _ROW
        name = tag("text", _cut(row.name), x="0", y=str(y + 14), class_="name")
        if row.to is not None:
            name = tag("a", name, href=row.to)
        part = max(0.0, row.value) / top
        drawn += [
            name,
            tag("text", unit(row.value), x="100%", y=str(y + 14), class_="value"),
            tag("rect", x="0", y=str(y + 20), width="100%", height="6", rx="3", class_="track"),
            tag(
                "rect", x="0", y=str(y + 20), width=percent(part), height="6", rx="3",
                class_=f"bar {row.tone}",
            ),
        ]  # fmt: skip
    svg = tag(
        "svg", joined(drawn), class_="bars", height=str(max(1, len(rows)) * _ROW), role="group"
    )
    table = tuple((row.name, unit(row.value)) for row in rows)
    return Chart(title, svg, (head, title), table, empty=not rows)


def _cut(name: str) -> str:
    return name if len(name) <= _MOST_CHARACTERS else f"{name[: _MOST_CHARACTERS - 1]}…"
