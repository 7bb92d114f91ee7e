"""How full something is: one bar, beside words that say the same."""

from __future__ import annotations

from markupsafe import Markup

from tidegate.console.charts.chart import joined, percent, tag


def meter(part: float, tone: str = "tone-1", soft: float | None = None) -> Markup:
    """A bar that is full at 1, with a mark at `soft`."""
    shown = min(1.0, max(0.0, part))
    drawn = [
        tag("rect", x="0", y="0", width="100%", height="100%", rx="3", class_="track"),
        tag("rect", x="0", y="0", width=percent(shown), height="100%", rx="3",
            class_=f"bar {tone}"),
    ]  # fmt: skip
    if soft is not None and 0 < soft < 1:
        x = percent(soft)
        drawn.append(tag("line", x1=x, x2=x, y1="0", y2="100%", class_="mark"))
    return tag("svg", joined(drawn), class_="meter", aria_hidden="true")
