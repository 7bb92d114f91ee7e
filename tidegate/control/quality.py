"""What answers were like over a time, beside what they cost and how long they took; and what moved.

The admin API, the console and alerting all ask here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from tidegate.clock import Clock, SystemClock
from tidegate.quality.bins import Bins, percentile
from tidegate.quality.comparing import added, jensen_shannon
from tidegate.quality.drift import BEFORE, Shift, Span, Sums, drifted, shifts, total
from tidegate.quality.texts import LANGUAGES
from tidegate.store.database import Database
from tidegate.store.quality import HOUR_S, Asked, Group, QualityStore

By = Literal["alias", "model", "version"]
MOST_HOURS: Final = 24 * 90
MOST_LINES: Final = 200
_PARTS_H: Final = (1, 2, 3, 6, 24, 48)
_MOST_PARTS: Final = 60
_SECOND_NS: Final = 10**9
_EVERY_NS: Final = 300 * _SECOND_NS
_REMEMBERED: Final = 16
_REST: Final = 100
"""How many times as long as a look takes it is good for a page."""
DAY_H: Final = 24
WEEK_H: Final = 7 * 24
_COUNTED: Final = (
    "answers", "good", "repaired", "malformed", "unchecked", "truncated", "refused", "sampled",
    "worded",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QualityQuery:
    """What is asked: the last `hours` until `until_ns`, of what passes every filter."""

    until_ns: int
    hours: int = 24
    by: By = "alias"
    """`model` and `version` tell each alias's apart."""
    alias: str | None = None
    model: str | None = None
    version: str | None = None


class Figures(Struct, frozen=True):
    """The signals of some answers; None where there were none to tell by. Rates are shares."""

    began_s: int
    answers: int
    checked: int
    format_compliance: float | None
    repaired: int
    malformed: int
    unchecked: int
    refusal_rate: float | None
    truncation_rate: float | None
    output_p50: float | None
    """Tokens."""
    output_p90: float | None
    sampled: int
    refusal_wording: float | None
    language: str | None
    """The most frequent one."""
    language_share: float | None
    divergence: float | None
    """Of the wording, from that of all the rest of the time; in bits."""
    judged: int
    feedback: float | None
    """Share of those who say whether that liked it."""
    wait_p50_ms: float | None
    wait_p90_ms: float | None
    """Until the first token of a stream, or the whole answer."""
    cost_nanousd: int


class Line(Struct, frozen=True):
    """One alias, or one of its models or prompt versions."""

    alias: str | None
    model: str | None
    version: str | None
    total: Figures
    series: tuple[Figures, ...]


class Quality(Struct, frozen=True):
    """All lines, the one with most answers first; every series has the same points in time."""

    since_s: int
    until_s: int
    part_s: int
    lines: tuple[Line, ...]


class Drift(Struct, frozen=True):
    """A signal of an alias, or of one of its models and prompt versions, that was compared."""

    alias: str | None
    model: str | None
    version: str | None
    whole: bool
    """Whether it is all of the alias; `model` and `version` say nothing then."""
    shift: Shift
    drifted: bool


class _Seen(Struct):
    """What was found of a group in a part."""

    counts: Mapping[str, int]
    bins: Mapping[str, Bins]
    liked: int = 0
    disliked: int = 0


_Found = dict[int, dict[Group, _Seen]]


def quality(database: Database, query: QualityQuery) -> Quality:
    """The signals of the time, in parts as long as the time allows. Raises: `SQLAlchemyError`."""
    hours = max(1, min(query.hours, MOST_HOURS))
    part_h = next((each for each in _PARTS_H if hours <= each * _MOST_PARTS), _PARTS_H[-1])
    # Parts of whole days are days of UTC, whose sums are at hand.
    until_s = _end_s(query.until_ns, DAY_H * HOUR_S if part_h >= DAY_H else HOUR_S)
    since_s = until_s - -(-hours // part_h) * part_h * HOUR_S
    asked = Asked(
        since_s, until_s, part_h * HOUR_S, query.alias, query.model, query.version
    )  # fmt: skip
    wording = ("gram",) if query.by == "alias" else ()  # no other line has any
    found = _found(database, asked, "length", "wait", "language", *wording)
    parts = range(since_s, until_s, asked.part_s)
    by_line = defaultdict[Group, dict[int, list[_Seen]]](dict)
    for began_s, groups in found.items():
        for group, seen in groups.items():
            by_line[_line(group, query.by)].setdefault(began_s, []).append(seen)
    lines: list[Line] = []
    for (alias, model, version), seen_in in by_line.items():
        all_seen = [each for part in seen_in.values() for each in part]
        whole, wording = _figures(since_s, all_seen), _bins(all_seen, "gram")
        if not (whole.answers or whole.judged):
            continue
        series = tuple(_figures(began_s, seen_in.get(began_s, ()), wording) for began_s in parts)
        lines.append(Line(alias, model, version, whole, series))
    lines.sort(key=lambda line: (-line.total.answers, line.alias or "", line.model or ""))
    return Quality(since_s, until_s, asked.part_s, tuple(lines[:MOST_LINES]))


def totals(database: Database, query: QualityQuery) -> dict[Group, Figures]:
    """Of each line what all its answers of the time were like. Raises: `SQLAlchemyError`."""
    until_s = _end_s(query.until_ns)
    since_s = until_s - max(1, min(query.hours, MOST_HOURS)) * HOUR_S
    asked = Asked(
        since_s, until_s, until_s - since_s, query.alias, query.model, query.version
    )  # fmt: skip
    by_line = defaultdict[Group, list[_Seen]](list)
    for groups in _found(database, asked, "length", "wait", "language").values():
        for group, seen in groups.items():
            by_line[_line(group, query.by)].append(seen)
    found = {line: _figures(since_s, seen) for line, seen in by_line.items()}
    return {line: each for line, each in found.items() if each.answers or each.judged}


def compared(
    database: Database, until_ns: int, hours: int = 24, alias: str | None = None
) -> list[Drift]:
    """Every signal of the last `hours` against seven times as long before, the farthest first.

    Raises: `SQLAlchemyError`.
    """
    until_s, part_s = _end_s(until_ns), max(1, hours) * HOUR_S
    asked = Asked(until_s - (BEFORE + 1) * part_s, until_s, part_s, alias)
    found = _found(database, asked, "length", "language", "gram")
    window_s = until_s - part_s
    groups = {group for part in found.values() for group, seen in part.items() if seen.counts}
    places: list[tuple[Group, bool]] = []
    for name in {group[0] for group in groups}:
        own = [group for group in groups if group[0] == name]
        places.append(((name, None, None), True))
        places += [(group, False) for group in own if len(own) > 1]
    all_shifts: list[tuple[Group, bool, Shift]] = []
    for group, whole in places:
        span = _span(found, window_s, asked, group, whole=whole)
        all_shifts += [(group, whole, shift) for shift in shifts(span)]
    verdicts = drifted([shift for _, _, shift in all_shifts])
    told = [
        Drift(*group, whole=whole, shift=shift, drifted=verdict)
        for (group, whole, shift), verdict in zip(all_shifts, verdicts, strict=True)
    ]
    return sorted(told, key=lambda each: (not each.drifted, -each.shift.effect, each.alias or ""))


def drifts(database: Database, now_ns: int, hours: int = 24) -> list[Drift]:
    """What has drifted. Raises: `SQLAlchemyError`."""
    return [each for each in compared(database, now_ns, hours) if each.drifted]


class _Look(NamedTuple):
    at_ns: int
    took_ns: int
    every: tuple[Drift, ...]
    drifted: tuple[Drift, ...]


class Drifting:
    """What has drifted, looked at no more often than is worth it. Any thread may ask."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._turn = threading.Lock()
        self._looks = OrderedDict[tuple[int, int], _Look]()
        """By hours, and when they end."""

    def look(self, now_ns: int) -> tuple[Drift, ...]:
        """What has drifted by now, or a few minutes ago. Raises: `SQLAlchemyError`."""
        with self._turn:
            return self._look(now_ns, DAY_H, now_ns, _EVERY_NS).drifted

    def compared(self, until_ns: int, hours: int, now_ns: int) -> tuple[Drift, ...]:
        """As `compared` above, by now or not long ago: the larger the store, the longer.

        Raises: `SQLAlchemyError`.
        """
        with self._turn:
            found = self._looks.get((hours, _end_s(until_ns)))
            most_ns = 0 if found is None else min(_REST * found.took_ns, _EVERY_NS)
            return self._look(until_ns, hours, now_ns, most_ns).every

    def _look(self, until_ns: int, hours: int, now_ns: int, most_ns: int) -> _Look:
        at = hours, _end_s(until_ns)
        found = self._looks.get(at)
        if found is None or now_ns - found.at_ns >= most_ns:
            began_s = self._clock.monotonic()
            every = tuple(compared(self._database, until_ns, hours))
            took_ns = round((self._clock.monotonic() - began_s) * _SECOND_NS)
            drifted = tuple(each for each in every if each.drifted)
            found = self._looks[at] = _Look(now_ns, took_ns, every, drifted)
            while len(self._looks) > _REMEMBERED:
                self._looks.popitem(last=False)
        return found


def _end_s(unix_ns: int, span_s: int = HOUR_S) -> int:
    """The end of the hour that is, or of the day."""
    return (unix_ns // _SECOND_NS // span_s + 1) * span_s


def _found(database: Database, asked: Asked, *kinds: str) -> _Found:
    store, found = QualityStore(database), defaultdict[int, dict[Group, _Seen]](dict)
    bins = defaultdict[tuple[int, Group], dict[str, Bins]](dict)
    for (began_s, group, kind), counts in store.bins(asked, *kinds).items():
        bins[began_s, group][kind] = counts
    for told in store.counts(asked):
        found[told.began_s][told.group] = _Seen(told.counts, {})
    for (began_s, group), (liked, disliked) in store.verdicts(asked).items():
        seen = found[began_s].setdefault(group, _Seen({}, {}))
        seen.liked, seen.disliked = liked, disliked
    for (began_s, group), told_bins in bins.items():
        found[began_s].setdefault(group, _Seen({}, {})).bins = told_bins
    return found


def _line(group: Group, by: By) -> Group:
    alias, model, version = group
    if by == "alias":
        return alias, None, None
    return (alias, model, None) if by == "model" else (alias, None, version)


def _figures(began_s: int, seen: Sequence[_Seen], everything: Bins | None = None) -> Figures:
    """The signals of `seen`, whose wording is a part of `everything`."""
    sums = total(map(_sums, seen))
    waits, grams = _bins(seen, "wait"), _bins(seen, "gram")
    usual = {
        gram: rest
        for gram, count in (everything or {}).items()
        if (rest := count - grams.get(gram, 0)) > 0
    }
    most = max(sums.languages, key=lambda place: sums.languages[place], default=None)
    return Figures(
        began_s=began_s,
        answers=sums.answers,
        checked=sums.checked,
        format_compliance=_share(sums.good, sums.checked),
        repaired=sums.repaired,
        malformed=sums.malformed,
        unchecked=sums.unchecked,
        refusal_rate=_share(sums.refused, sums.answers),
        truncation_rate=_share(sums.truncated, sums.answers),
        output_p50=percentile(sums.lengths, 0.5),
        output_p90=percentile(sums.lengths, 0.9),
        sampled=sums.sampled,
        refusal_wording=_share(sums.worded, sums.sampled),
        language=None if most is None else LANGUAGES[most],
        language_share=None if most is None else sums.languages[most] / sums.sampled,
        divergence=jensen_shannon(grams, usual) if grams and usual else None,
        judged=sums.judged,
        feedback=_share(sums.liked, sums.judged),
        wait_p50_ms=percentile(waits, 0.5),
        wait_p90_ms=percentile(waits, 0.9),
        cost_nanousd=sum(each.counts.get("cost_nanousd", 0) for each in seen),
    )


def _span(found: _Found, window_s: int, asked: Asked, group: Group, *, whole: bool) -> Span:
    lately, before = list[_Seen](), list[_Seen]()
    wordings: dict[int, Bins] = {}
    for began_s, groups in found.items():
        own = [
            seen
            for each, seen in groups.items()
            if each == group or (whole and each[0] == group[0])
        ]
        (lately if began_s == window_s else before).extend(own)
        if whole:
            wordings[began_s] = _bins(own, "gram")
    starts = range(asked.since_s, window_s, asked.part_s)
    return Span(
        total(map(_sums, lately)),
        total(map(_sums, before)),
        wordings.get(window_s, {}),
        tuple(wordings.get(began_s, {}) for began_s in starts),
    )


def _sums(seen: _Seen) -> Sums:
    return Sums(
        **{name: seen.counts.get(name, 0) for name in _COUNTED},
        liked=seen.liked,
        disliked=seen.disliked,
        lengths=seen.bins.get("length", {}),
        languages=seen.bins.get("language", {}),
    )


def _bins(seen: Iterable[_Seen], kind: str) -> dict[int, int]:
    return added(each.bins[kind] for each in seen if kind in each.bins)


def _share(some: int, of: int) -> float | None:
    return some / of if of else None
