"""What changes over time: lines, areas, stacked bars, and a line without axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from tidegate.console.charts.chart import Chart, Unit, joined, percent, tag
from tidegate.console.charts.scale import marks, moments, stamp

HEIGHT: Final = 160
_BOX: Final = 1000.0
_BELOW: Final = 20
"""Where the words below the axis stand."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers that belong together, one for each piece of the time; None where none is known."""

    name: str
    values: Values
    tone: str | None = None
    """`tone-3`, or `tone-bad`; by its place if not given."""


def lines(
    title: str,
    at_s: Sequence[int],
    series: Sequence[Series],
    unit: Unit,
    *,
    area: bool = False,
    whole: bool = False,
) -> Chart:
    """A line for each series; `at_s` is when each piece of the time begins, in Unix seconds."""
    top = max((value for each in series for value in _known(each.values)), default=0.0)
    scale = marks(top, whole=whole)
    drawn: list[Markup] = []
    for each, tone in _toned(series):
        places = list(_places(each.values, scale[-1]))
        if area:
            drawn.append(tag("path", d=_area(places), class_=f"area {tone}"))
        drawn.append(tag("path", d=_line(places), class_=f"line {tone}"))
        drawn.append(tag("path", d=_alone(places), class_=f"dot {tone}"))
    box = tag(
        "svg", joined(drawn), viewBox="0 0 1000 1000", preserveAspectRatio="none",
        width="100%", height="100%",
    )  # fmt: skip
    return _chart(title, at_s, series, unit, scale=scale, drawing=box)


def stacked(
    title: str,
    at_s: Sequence[int],
    series: Sequence[Series],
    unit: Unit,
    *,
    whole: bool = False,
) -> Chart:
    """A bar for each piece of the time, in which the series stand on each other."""
    pieces = len(at_s)
    sums = [sum(_positive(each.values[place]) for each in series) for place in range(pieces)]
    scale = marks(max(sums, default=0.0), whole=whole)
    drawn: list[Markup] = []
    for place in range(pieces):
        below = 0.0
        for each, tone in _toned(series):
            value = _positive(each.values[place])
            if value > 0:
                high, from_top = value / scale[-1], 1 - (below + value) / scale[-1]
                drawn.append(
                    tag(
                        "rect", x=percent((place + 0.1) / pieces), width=percent(0.8 / pieces),
                        y=percent(from_top), height=percent(high), class_=f"bar {tone}",
                    )
                )  # fmt: skip
                below += value
    return _chart(title, at_s, series, unit, scale=scale, drawing=joined(drawn))


def sparkline(values: Values, tone: str = "tone-1") -> Markup:
    """A small line without axes, for beside a figure that says the same in words."""
    top = max(_known(values), default=0.0) or 1.0
    places = list(_places(values, top * 1.05))
    return tag(
        "svg",
        joined(
            [
                tag("path", d=_area(places), class_=f"area {tone}"),
                tag("path", d=_line(places), class_=f"line {tone}"),
            ]
        ),
        viewBox="0 0 1000 1000",
        preserveAspectRatio="none",
        class_="sparkline",
        aria_hidden="true",
    )


def _chart(
    title: str,
    at_s: Sequence[int],
    series: Sequence[Series],
    unit: Unit,
    *,
    scale: list[float],
    drawing: Markup,
) -> Chart:
    rows = tuple(_rows(at_s, series, unit))
    heads = ("time (UTC)", *(each.name for each in series))
    inside = [
        tag("title", title),
        tag("desc", _summary(series, unit)),
        *_levels(scale, unit),
        *_times(at_s),
        drawing,
        *_columns(heads, rows),
    ]
    svg = tag("svg", joined(inside), class_="chart", height=str(HEIGHT), role="img")
    legend = tuple((each.name, tone) for each, tone in _toned(series)) if len(series) > 1 else ()
    empty = not any(value for each in series for value in _known(each.values))
    return Chart(title, svg, heads, rows, legend, empty)


def _levels(scale: list[float], unit: Unit) -> Iterator[Markup]:
    for level in scale:
        y = percent(1 - level / scale[-1])
        yield tag("line", x1="0", x2="100%", y1=y, y2=y, class_="grid" if level else "axis")
        yield tag("text", unit(level), x="-8", y=y, dy="0.32em", class_="level")


def _times(at_s: Sequence[int]) -> Iterator[Markup]:
    if len(at_s) > 1:
        step_s = at_s[1] - at_s[0]
        begin_s, end_s = at_s[0], at_s[-1] + step_s
        for number, (at, words) in enumerate(moments(begin_s, end_s)):
            x = (at - begin_s) / (end_s - begin_s)
            kind = "time" if number % 2 == 0 else "time spare"
            anchor = "start" if x < 0.03 else "end" if x > 0.97 else "middle"  # noqa: PLR2004
            yield tag(
                "text", words, x=percent(x), y="100%", dy=str(_BELOW), class_=kind,
                text_anchor=anchor,
            )  # fmt: skip


def _columns(heads: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Iterator[Markup]:
    # What a pointer meets: the column of one piece of the time, and what it says.
    for place, row in enumerate(rows):
        said = "\n".join(
            [row[0], *(f"{name}: {value}" for name, value in zip(heads[1:], row[1:], strict=True))]
        )
        yield tag(
            "rect", tag("title", said), x=percent(place / len(rows)), y="0",
            width=percent(1 / len(rows)), height="100%", class_="column",
        )  # fmt: skip


def _rows(at_s: Sequence[int], series: Sequence[Series], unit: Unit) -> Iterator[tuple[str, ...]]:
    step_s = at_s[1] - at_s[0] if len(at_s) > 1 else 1
    for place, at in enumerate(at_s):
        yield (stamp(at, step_s), *(unit(each.values[place]) for each in series))


def _summary(series: Sequence[Series], unit: Unit) -> str:
    said = [
        f"{each.name}: from {unit(min(known))} to {unit(max(known))}, at last {unit(known[-1])}"
        for each in series
        if (known := _known(each.values))
    ]
    return "; ".join(said) or "There is nothing in this time."


def _toned(series: Sequence[Series]) -> Iterator[tuple[Series, str]]:
    for place, each in enumerate(series):
        yield each, each.tone or f"tone-{place % 8 + 1}"


def _positive(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) and value > 0 else 0.0


def _known(values: Values) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _places(values: Values, top: float) -> Iterator[tuple[float, float] | None]:
    for place, value in enumerate(values):
        if value is None or not math.isfinite(value):
            yield None
        else:
            yield (place + 0.5) / len(values) * _BOX, (1 - max(0.0, value) / top) * _BOX


def _line(places: list[tuple[float, float] | None]) -> str:
    return _runs(places, lambda run: f"M{_path(run)}" + ("h0" if len(run) == 1 else ""))


def _alone(places: list[tuple[float, float] | None]) -> str:
    # What is known of one piece of the time and not of those beside it: no line shows it.
    return _runs(places, lambda run: f"M{_path(run)}h0" if len(run) == 1 else "")


def _area(places: list[tuple[float, float] | None]) -> str:
    return _runs(places, lambda run: f"M{run[0][0]:.1f} 1000L{_path(run)}L{run[-1][0]:.1f} 1000Z")


def _path(run: list[tuple[float, float]]) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in run)


def _runs(
    places: list[tuple[float, float] | None], draw: Callable[[list[tuple[float, float]]], str]
) -> str:
    # Where nothing is known, the line is interrupted.
    drawn: list[str] = []
    run: list[tuple[float, float]] = []
    for place in [*places, None]:
        if place is not None:
            run.append(place)
        elif run:
            drawn.append(draw(run))
            run = []
    return "".join(drawn)
