"""What answers were like: hourly sums for each alias, model and prompt version.

They change in the transaction that records do, so each record is in them exactly once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Table,
    func,
    literal_column,
    select,
)

from tidegate.store.bulk import merge_many
from tidegate.store.database import Database
from tidegate.store.names import OTHER, Names
from tidegate.store.packed import binned
from tidegate.store.rows import Observed, Row, Sample
from tidegate.store.tables.quality import (
    QUALITY_COUNTS,
    feedback,
    quality_bins,
    quality_groups,
    quality_hour,
)

HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_SECOND_NS: Final = 10**9
_HOUR_NS: Final = HOUR_S * _SECOND_NS

Group = tuple[str | None, str | None, str | None]
"""Alias, model, prompt version."""
Bin = tuple[str, int]
"""Kind and number."""


class Told(NamedTuple):
    """What was counted of one group in one part of the time."""

    began_s: int
    group: Group
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which answers are meant: from `since_s` until before `until_s`, in parts of `part_s`.

    Parts are whole hours and end at `until_s`.
    """

    since_s: int
    until_s: int
    part_s: int = HOUR_S
    alias: str | None = None
    model: str | None = None
    version: str | None = None


def add_quality(connection: Connection, names: Names, rows: Sequence[Row], sign: int = 1) -> None:
    """Add what `rows` tell of answers, in a transaction that waits its turn."""
    alike = _alike(rows)
    if not alike:
        return
    counted = _bounded(
        connection, names, {(hour // 24, _group(alias, seen)) for hour, alias, seen in alike}
    )
    sums = defaultdict[tuple[int, int], list[int]](lambda: [0] * len(QUALITY_COUNTS))
    bins = defaultdict[tuple[int, int, str, int], int](int)
    groups: dict[int, Group] = {}
    for (hour, alias, seen), some in alike.items():
        group = counted[hour // 24, _group(alias, seen)]
        began_s, number = hour * HOUR_S, group_id(group)
        groups[number] = group
        there = sums[began_s, number]
        for place, count in enumerate(_counts(seen, some)):
            there[place] += sign * count
        for kind, value in (("length", seen.length_bin), ("wait", seen.wait_bin)):
            if value is not None:
                bins[began_s, number, kind, value] += sign * some.answers
        for sample in some.samples:
            bins[began_s, number, "language", sample.language] += sign
            whole: Group = group[0], None, None
            alone = group_id(whole)
            groups[alone] = whole
            for gram, count in sample.grams.items():
                bins[began_s, alone, "gram", gram] += sign * count
    merge_many(connection, quality_groups, [(number, *groups[number]) for number in sorted(groups)])
    merge_many(
        connection, quality_hour, [(*at, *sums[at]) for at in sorted(sums)], add=QUALITY_COUNTS
    )
    values = [(*at, bins[at]) for at in sorted(bins)]
    merge_many(connection, quality_bins, values, add=["count"])


def group_id(group: Group) -> int:
    """63 bits of a digest of the group."""
    digest = blake2b(msgspec.msgpack.encode(group), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass(slots=True)
class _Alike:
    """Answers of an hour and a group that look the same."""

    answers: int = 0
    tokens: int = 0
    nanousd: int = 0
    samples: list[Sample] = field(default_factory=list[Sample])


def _group(alias: str | None, seen: Observed) -> Group:
    return alias, seen.model, seen.version


def _alike(rows: Sequence[Row]) -> dict[tuple[int, str | None, Observed], _Alike]:
    # There are far fewer ways to look than answers: what follows is done once for each.
    found = defaultdict[tuple[int, str | None, Observed], _Alike](_Alike)
    for row in rows:
        seen = row.get("observed")
        if seen is None:
            continue
        sample = seen.sample
        if sample is not None:
            seen = replace(seen, sample=None)
        some = found[row["started_ns"] // _HOUR_NS, row["alias"], seen]
        some.answers += 1
        some.tokens += row["tokens"][3]
        some.nanousd += row["cost_nanousd"] or 0
        if sample is not None:
            some.samples.append(sample)
    return found


def _counts(seen: Observed, some: _Alike) -> tuple[int, ...]:
    number, form = some.answers, seen.form
    return (
        number, number * (form == "good"), number * (form == "repaired"),
        number * (form == "malformed"), number * (form == "unchecked"), number * seen.truncated,
        number * seen.refused, len(some.samples), sum(each.refuses for each in some.samples),
        some.tokens, some.nanousd,
    )  # fmt: skip


def _bounded(
    connection: Connection, names: Names, told: Iterable[tuple[int, Group]]
) -> dict[tuple[int, Group], Group]:
    # Each group of a day, and the one it is counted as.
    by_day = defaultdict[int, set[Group]](set)
    for day, group in told:
        by_day[day].add(group)
    counted: dict[tuple[int, Group], Group] = {}
    for day, groups in sorted(by_day.items()):
        apart = [
            names.apart(
                connection, day * _DAY_S, kind, {name for each in groups if (name := each[place])}
            )
            for place, kind in enumerate(("alias", "model", "version"))
        ]
        reduced: dict[Group, Group] = {
            group: (
                _or_other(group[0], apart[0]),
                _or_other(group[1], apart[1]),
                _or_other(group[2], apart[2]),
            )
            for group in groups
        }
        single = {f"{group_id(group):x}" for group in reduced.values()}
        fitting = names.apart(connection, day * _DAY_S, "quality", single)
        for group, short in reduced.items():
            if f"{group_id(short):x}" not in fitting:
                short = (short[0], OTHER, OTHER)  # noqa: PLW2901  what does not fit is the rest
            counted[day, group] = short
    return counted


def _or_other(name: str | None, apart: set[str]) -> str | None:
    return name if not name or name in apart else OTHER


class QualityStore:
    """The sums of a database, to be asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self, asked: Asked) -> list[Told]:
        """The sums of each group and part. Raises: `SQLAlchemyError`."""
        part, group = _part(quality_hour.c.began_s, asked), quality_hour.c.group_id
        sums = [func.sum(quality_hour.c[name]) for name in QUALITY_COUNTS]
        query = select(part, group, *sums).where(*_within(quality_hour, asked))
        with self._database.reading() as connection:
            groups = _groups(connection, asked)
            found = [tuple(row) for row in connection.execute(query.group_by(part, group))]
        return [
            Told(
                _began(row[0], asked),
                groups[row[1]],
                dict(zip(QUALITY_COUNTS, map(int, row[2:]), strict=True)),
            )
            for row in found
            if row[1] in groups  # one that came just now is told the next time
        ]

    def bins(self, asked: Asked, *kinds: str) -> dict[tuple[int, Group, str], dict[int, int]]:
        """How many values fell where, by part, group and kind. Raises: `SQLAlchemyError`."""
        found = defaultdict[tuple[int, Group, str], dict[int, int]](dict)
        with self._database.reading(still=True) as connection:
            groups = _groups(connection, asked)
            for each in binned(connection, kinds, asked.part_s, asked.since_s, asked.until_s):
                group = groups.get(each.group_id)
                if group is None:
                    continue
                part_s = each.began_s - (each.began_s - asked.since_s) % asked.part_s
                there = found[part_s, group, each.kind]
                if there:
                    for value, count in each.bins.items():
                        there[value] = there.get(value, 0) + count
                else:
                    there.update(each.bins)
        return dict(found)

    def verdicts(self, asked: Asked) -> dict[tuple[int, Group], tuple[int, int]]:
        """How many judged answers are liked and disliked, by when they were given.

        Raises: `SQLAlchemyError`.
        """
        began = feedback.c.started_ns // literal_column(str(_SECOND_NS), BigInteger)
        part = _part(began, asked)
        group = feedback.c.alias, feedback.c.model, feedback.c.version
        query = (
            select(part.label("part"), *group, feedback.c.verdict, func.count().label("sum"))
            .where(
                feedback.c.started_ns >= asked.since_s * _SECOND_NS,
                feedback.c.started_ns < asked.until_s * _SECOND_NS,
                feedback.c.verdict.in_(("up", "down")),
                *(
                    feedback.c[name] == value
                    for name in ("alias", "model", "version")
                    if (value := getattr(asked, name)) is not None
                ),
            )
            .group_by(part, *group, feedback.c.verdict)
        )
        found: dict[tuple[int, Group], tuple[int, int]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(query).mappings():
                at = _began(row["part"], asked), (row["alias"], row["model"], row["version"])
                liked, disliked = found.get(at, (0, 0))
                more = (row["sum"], 0) if row["verdict"] == "up" else (0, row["sum"])
                found[at] = liked + more[0], disliked + more[1]
        return found


def _groups(connection: Connection, asked: Asked) -> dict[int, Group]:
    query = select(quality_groups).where(*_passing(asked))
    return {row.id: (row.alias, row.model, row.version) for row in connection.execute(query)}


def _part(began_s: ColumnElement[int], asked: Asked) -> ColumnElement[int]:
    # Counted from `since_s` on. Spelled out, not bound: PostgreSQL takes two parameters for two
    # different groupings.
    since, size = (literal_column(str(n), BigInteger) for n in (asked.since_s, asked.part_s))
    return (began_s - since) - (began_s - since) % size


def _began(part: int, asked: Asked) -> int:
    return int(part) + asked.since_s


def _within(table: Table, asked: Asked) -> list[ColumnElement[bool]]:
    within: list[ColumnElement[bool]] = [
        table.c.began_s >= asked.since_s, table.c.began_s < asked.until_s,
    ]  # fmt: skip
    if passing := _passing(asked):
        within.append(table.c.group_id.in_(select(quality_groups.c.id).where(*passing)))
    return within


def _passing(asked: Asked) -> list[ColumnElement[bool]]:
    return [
        quality_groups.c[name] == value
        for name in ("alias", "model", "version")
        if (value := getattr(asked, name)) is not None
    ]
