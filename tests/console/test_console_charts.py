"""Charts as markup: what stands in them, and what hostile names become."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest
from console_records import HOSTILE
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.console.charts import Bar, Chart, Series, Stretch, bars, lines, stacked, waterfall
from tidegate.console.charts.scale import marks, moments
from tidegate.console.charts.series import sparkline
from tidegate.console.words import count, ms, usd

HOUR = [1_790_000_000 + 60 * minute for minute in range(60)]
VALUES = st.lists(
    st.none() | st.floats(-1e12, 1e15) | st.just(math.nan), min_size=1, max_size=40
)  # fmt: skip


def parsed(chart: Chart) -> ET.Element:
    """The picture as XML: attributes are quoted, elements closed, and none has a style."""
    root = ET.fromstring(str(chart.svg))
    for each in root.iter():
        assert not {"style", "onload", "onerror"} & each.attrib.keys()
        for name in ("x", "y", "width", "height", "d"):
            assert "nan" not in each.get(name, "")
    return root


def texts(root: ET.Element) -> list[str]:
    return ["".join(each.itertext()) for each in root.iter("text")]


def test_lines_have_axes_and_say_the_same_in_a_table() -> None:
    chart = lines("Requests", HOUR, [Series("ok", [float(n) for n in range(60)])], count)
    root = parsed(chart)
    assert [text for text in texts(root) if ":" not in text] == ["0", "20", "40", "60"]
    assert root.findtext("title") == "Requests"
    assert root.findtext("desc") == "ok: from 0 to 59, at last 59"
    assert chart.heads == ("time (UTC)", "ok")
    assert len(chart.rows) == 60
    assert chart.rows[-1][1] == "59"
    assert not chart.legend


def test_line_is_interrupted_where_nothing_is_known() -> None:
    known = [1.0, 2.0, None, 3.0]
    chart = lines("T", HOUR[:4], [Series("a", known)], ms)
    (path,) = [each for each in parsed(chart).iter("path") if each.get("class") == "line tone-1"]
    assert path.get("d", "").count("M") == 2
    assert chart.rows[2][1] == "—"
    (dots,) = [each for each in parsed(chart).iter("path") if each.get("class") == "dot tone-1"]
    assert dots.get("d", "").count("M") == 1, "what stands alone is a dot"


@pytest.mark.parametrize("top_usd", [0.000_3, 0.004, 0.015, 0.03, 0.09, 0.1, 0.7, 1.0, 7, 90, 1e6])
def test_every_mark_of_an_axis_of_money_says_something_else(top_usd: float) -> None:
    said = [usd(mark) for mark in marks(top_usd * 1e9)]
    assert len(set(said)) == len(said), said


def test_stacked_bars_stand_on_each_other() -> None:
    chart = stacked("T", HOUR[:2], [Series("a", [1.0, 0.0]), Series("b", [3.0, 4.0])], count)
    found = [each for each in parsed(chart).iter("rect") if "bar" in each.get("class", "")]
    assert [(each.get("y"), each.get("height")) for each in found] == [
        ("75%", "25%"), ("0%", "75%"), ("0%", "100%"),
    ]  # fmt: skip
    assert [name for name, _ in chart.legend] == ["a", "b"]


def test_bars_are_as_long_as_their_values() -> None:
    chart = bars("Cost", [Bar("a", 10.0, to="/console/cost?team=a"), Bar("b", 2.5)], count)
    root = parsed(chart)
    found = [each.get("width") for each in root.iter("rect") if "bar" in each.get("class", "")]
    assert found == ["100%", "25%"]
    assert root.find("a") is not None
    assert chart.rows == (("a", "10"), ("b", "2"))


def test_waterfall_begins_where_things_began() -> None:
    rows = [Stretch("admit", 0.0, 1.0), Stretch("attempt", 1.0, 3.0, "tone-bad", "503")]
    root = parsed(waterfall("Request", rows, ms))
    places = [
        (each.get("x"), each.get("width")) for each in root.iter("rect") if each.get("rx") == "2"
    ]
    assert places == [("0%", "25%"), ("25%", "75%")]


@pytest.mark.parametrize(
    "chart",
    [
        lines(HOSTILE, HOUR, [Series(HOSTILE, [1.0] * 60), Series("b", [2.0] * 60)], count),
        stacked(HOSTILE, HOUR, [Series(HOSTILE, [1.0] * 60)], count),
        bars(HOSTILE, [Bar(HOSTILE, 1.0, to=f"/x?{HOSTILE}")], count),
        waterfall(HOSTILE, [Stretch(HOSTILE, 0, 1, note=HOSTILE)], ms),
    ],
)
def test_names_are_text(chart: Chart) -> None:
    assert not [each for each in parsed(chart).iter() if each.tag == "img"]
    assert HOSTILE in "".join(parsed(chart).itertext())
    assert "<img" not in str(chart.svg)


@given(VALUES)
@example([5e-324])
def test_whatever_is_measured_is_drawn(values: list[float | None]) -> None:
    at_s = list(range(0, 60 * len(values), 60))
    parsed(lines("T", at_s, [Series("a", values)], count, area=True))
    parsed(stacked("T", at_s, [Series("a", values), Series("b", values)], count))
    ET.fromstring(str(sparkline(values)))


@given(st.floats(1e-9, 1e18), st.integers(2, 8), st.booleans())
@example(top=1.000000003, most=2, whole=False)
def test_marks_are_round_few_and_high_enough(top: float, most: int, whole: bool) -> None:
    found = marks(top, most, whole=whole)
    assert found[0] == 0
    assert found[-1] >= top * (1 - 1e-6)
    assert 2 <= len(found) <= most + 1
    assert found == sorted(found)


@given(st.integers(0, 4_000_000_000), st.integers(60, 10_000_000))
def test_moments_are_within_the_time(since_s: int, length_s: int) -> None:
    found = moments(since_s, since_s + length_s)
    assert len(found) <= 6
    assert all(since_s <= at <= since_s + length_s for at, _ in found)
