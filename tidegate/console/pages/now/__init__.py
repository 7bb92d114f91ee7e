"""What happens now: who is well, what is asked, how fast it is, what it costs, what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from tidegate.console import words
from tidegate.console.charts import Chart, Series, lines, sparkline, stacked
from tidegate.console.page import Asked, Page, View
from tidegate.console.pages.now.speed import Speed, Speeds, speed_of
from tidegate.console.pages.now.standing import gateways_of, parts_of, targets_of
from tidegate.control.metrics import Pass
from tidegate.money import NANO
from tidegate.policy.board import read_boards
from tidegate.store.minutes import Minute, MinuteStore
from tidegate.store.sums import FINE

_MINUTES: Final = 60
_LATELY: Final = 5
_MINUTE_S: Final = 60
_LIVE_S: Final = 3
_CLASSES: Final = (
    ("answered", ("ok",), "tone-1"),
    ("caller went away", ("client_gone",), "tone-8"),
    ("limited", ("limited",), "tone-2"),
    ("refused", ("refused",), "tone-3"),
    ("failed", ("failed", "lost"), "tone-bad"),
)
"""Classes of outcomes as they are drawn."""
_MANY_ERRORS, _SOME_ERRORS = 0.05, 0.01
_LATE_S: Final = 30.0

page = Page("now", "Now", needs="state:read")


class Traffic(Struct, frozen=True):
    """What was asked in the last hour, by minute; the last minute is not over."""

    at_s: tuple[int, ...]
    requests: tuple[tuple[str, str, tuple[int, ...]], ...]
    """Of each class: its name, its tone, and how many in each minute."""
    cost_nanousd: tuple[int, ...]
    errors: tuple[int, ...]

    @property
    def whole(self) -> tuple[int, ...]:
        """All requests of each minute."""
        return tuple(map(sum, zip(*(counts for _, _, counts in self.requests), strict=True)))

    @property
    def lately(self) -> tuple[int, int]:
        """How many failed, and of how many: in the last minutes that are over, and since."""
        return sum(self.errors[-_LATELY - 1 :]), sum(self.whole[-_LATELY - 1 :])

    @property
    def error_share(self) -> float | None:
        """The same as a share."""
        failed, asked = self.lately
        return failed / asked if asked else None

    @property
    def per_minute(self) -> float:
        """Requests, over the last minutes that are over."""
        return sum(self.whole[-_LATELY - 1 : -1]) / _LATELY

    @property
    def cost_per_hour(self) -> float:
        """If it went on as in the last minutes that are over."""
        return sum(self.cost_nanousd[-_LATELY - 1 : -1]) / _LATELY * 60


@page.get()
def show(asked: Asked) -> View:
    """The page, which keeps itself fresh."""
    now_s = asked.now_ns // NANO
    this_s = now_s // _MINUTE_S * _MINUTE_S
    at_s = tuple(this_s - _MINUTE_S * ago for ago in range(_MINUTES - 1, -1, -1))
    store = MinuteStore(asked.back.store.database)
    traffic = traffic_of(at_s, store.sums(at_s[0], at_s[-1] + _MINUTE_S))
    told = asked.lasting.the(Speeds).look(store, at_s, asked.now_ns / NANO)
    speeds = [speed_of(minute) for minute in told]
    boards = read_boards(asked.back.boards)
    firing = asked.api("GET", "/alerts")["firing"]
    passing = asked.back.passing()
    view: dict[str, Any] = {
        "traffic": traffic,
        "tone": tone_of(traffic.error_share),
        "lately": speed_of(each for minute in told[-_LATELY - 1 :] for each in minute),
        "sparks": (sparkline(traffic.whole[:-1]), sparkline(traffic.cost_nanousd[:-1], "tone-4")),
        "hour_nanousd": sum(traffic.cost_nanousd),
        "charts": charts(traffic, speeds),
        "targets": targets_of(boards, asked.now_ns),
        "parts": parts_of(boards),
        "gateways": gateways_of(boards),
        "firing": [each for each in firing if each["state"] == "firing"],
        "pending": sum(each["state"] == "pending" for each in firing),
        "passing": passing,
        "late": is_late(passing),
        "failing": asked.back.failing(),
        "sinks": asked.back.sinks(),
        "now_ns": asked.now_ns,
    }
    return View("now.html", view, live_s=_LIVE_S)


def traffic_of(at_s: Sequence[int], sums: Sequence[Minute]) -> Traffic:
    """The sums by minute, as they are shown."""
    place = {minute_s: number for number, minute_s in enumerate(at_s)}
    kinds = {outcome: number for number, kind in enumerate(_CLASSES) for outcome in kind[1]}
    counts = [[0] * len(at_s) for _ in _CLASSES]
    cost, errors = [0] * len(at_s), [0] * len(at_s)
    for each in sums:
        number = place.get(each.began_s)
        if number is not None:
            counts[kinds.get(each.outcome, len(_CLASSES) - 1)][number] += each.requests
            cost[number] += each.cost_nanousd
            if each.outcome not in FINE:
                errors[number] += each.requests
    kept = [
        (name, tone, tuple(counted))
        for (name, _, tone), counted in zip(_CLASSES, counts, strict=True)
    ]
    return Traffic(tuple(at_s), tuple(kept), tuple(cost), tuple(errors))


def charts(traffic: Traffic, speeds: Sequence[Speed]) -> tuple[Chart, ...]:
    """Requests, speed and money of the last hour."""
    shown = [
        Series(name, counts, tone)
        for name, tone, counts in traffic.requests
        if name == _CLASSES[0][0] or any(counts)
    ]
    return (
        stacked("Requests per minute", traffic.at_s, shown, words.short, whole=True),
        lines(
            "Time to first token", traffic.at_s,
            [
                Series("p50", [each.ttft_p50 for each in speeds], "tone-1"),
                Series("p99", [each.ttft_p99 for each in speeds], "tone-2"),
            ],
            words.ms,
        ),
        lines(
            "Whole answer", traffic.at_s,
            [
                Series("p50", [each.duration_p50 for each in speeds], "tone-1"),
                Series("p99", [each.duration_p99 for each in speeds], "tone-2"),
            ],
            words.ms,
        ),
        lines(
            "Cost per minute", traffic.at_s, [Series("cost", traffic.cost_nanousd, "tone-4")],
            words.usd, area=True,
        ),
    )  # fmt: skip


def tone_of(error_share: float | None) -> str:
    """How grave that many errors are."""
    if error_share is None or error_share < _SOME_ERRORS:
        return ""
    return "bad" if error_share >= _MANY_ERRORS else "warn"


def is_late(passing: Pass) -> bool:
    """Whether records wait longer than they should."""
    return passing.failing or (passing.lag_s is not None and passing.lag_s > _LATE_S)
