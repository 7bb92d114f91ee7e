"""What happened one after the other, and at the same time: a bar for each, along one time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from tidegate.console.charts.chart import Chart, Unit, joined, percent, tag
from tidegate.console.charts.scale import marks

_ROW: Final = 38
_TOP: Final = 22
_LEAST: Final = 0.003


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something that took some time."""

    name: str
    begin: float
    length: float
    tone: str = "tone-1"
    note: str = ""
    """What became of it."""


def waterfall(title: str, rows: Sequence[Stretch], unit: Unit) -> Chart:
    """Bars from when each began to when it ended, in the unit of `begin` and `length`."""
    scale = marks(max((row.begin + row.length for row in rows), default=0.0))
    end = scale[-1]
    high = _TOP + len(rows) * _ROW
    drawn: list[Markup] = [tag("title", title)]
    for number, mark in enumerate(scale):
        x = percent(mark / end)
        anchor = "start" if number == 0 else "end" if mark == end else "middle"
        kind = "time" if number % 2 == 0 else "time spare"
        drawn.append(tag("line", x1=x, x2=x, y1=str(_TOP - 4), y2=str(high), class_="grid"))
        drawn.append(tag("text", unit(mark), x=x, y="12", text_anchor=anchor, class_=kind))
    for number, row in enumerate(rows):
        y = _TOP + number * _ROW
        said = f"{row.name}: {unit(row.length)}, from {unit(row.begin)} on. {row.note}".strip()
        note = tag("tspan", f" {row.note}", class_="note") if row.note else ""
        drawn += [
            tag("text", escape(row.name) + note,
                x="0", y=str(y + 14), class_="name"),
            tag("text", unit(row.length), x="100%", y=str(y + 14), class_="value"),
            tag(
                "rect", tag("title", said), x=percent(row.begin / end), y=str(y + 20),
                width=percent(max(row.length / end, _LEAST)), height="10", rx="2",
                class_=f"bar {row.tone}",
            ),
        ]  # fmt: skip
    svg = tag("svg", joined(drawn), class_="waterfall", height=str(high), role="group")
    table = tuple((row.name, unit(row.begin), unit(row.length), row.note) for row in rows)
    return Chart(title, svg, ("step", "began", "took", ""), table, empty=not rows)
