"""What records add to the sums: charges of scopes, roll-ups per minute, hour and day, quality.

The cost of a try that was not the last one counts for the provider and model of that try; the
requests, the tokens and the rest of the cost for those of the last one. So every sum of costs, by
whatever, is the sum of the records' costs.

A row taken off again with `sign=-1` leaves the sums as they were before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from operator import add, neg
from typing import Final

import msgspec
from sqlalchemy import Connection

from tidegate.store.bulk import merge_many
from tidegate.store.names import OTHER, Names
from tidegate.store.quality import add_quality
from tidegate.store.rows import Row
from tidegate.store.stale import note_changes
from tidegate.store.tables.money import (
    charges,
    rollup_groups,
    rollups_day,
    rollups_hour,
    rollups_minute,
)

MINUTE_S, QUARTER_S, HOUR_S, DAY_S = 60, 900, 3_600, 86_400
COUNTS: Final = (
    "requests", "errors", "unpriced", "input_tokens", "cached_input_tokens",
    "cache_write_tokens", "output_tokens", "reasoning_tokens", "audio_input_tokens",
    "audio_output_tokens", "cost_nanousd", "slow",
)  # fmt: skip
_SECOND_NS = 10**9
_MINUTE_NS, _QUARTER_NS = MINUTE_S * _SECOND_NS, QUARTER_S * _SECOND_NS
_NO_TOKENS = (0,) * 7
FINE: Final = frozenset({"ok", "client_gone"})
"""Outcomes that are no errors."""

Group = tuple[
    str | None, str | None, str | None, str | None, str | None, str | None, str | None,
    str | None, str,
]  # fmt: skip
"""Key, user, team, organisation, feature, alias, model, provider, class of outcome."""
_BOUNDED: Final = (("user", 1), ("feature", 4), ("alias", 5), ("model", 6))
_CHARGED: Final = (
    "alias", "conversation", "feature", "key", "organisation", "provider", "team", "user",
)  # fmt: skip
"""Kinds of scopes, in the order that their charges are kept in."""
_encode = msgspec.msgpack.Encoder().encode

Counts = tuple[int, ...]
Sums = dict[tuple[int, Group], Counts]
"""The counts by minute and group."""
Spans = dict[tuple[int, int], Counts]
"""The counts by when a span began and the id of a group."""


def add_sums(connection: Connection, names: Names, rows: Sequence[Row], sign: int = 1) -> None:
    """Add what `rows` add, in a transaction that waits its turn."""
    _add_charges(connection, rows, sign)
    _add_rollups(connection, names, rows, sign)
    add_quality(connection, names, rows, sign)


def group_id(group: Group) -> int:
    """63 bits of a digest of the group."""
    digest = blake2b(_encode(group), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _add_charges(connection: Connection, rows: Sequence[Row], sign: int) -> None:
    quarters = defaultdict[int, list[Row]](list)
    for row in rows:
        if row["cost_nanousd"]:
            quarters[row["started_ns"] // _QUARTER_NS].append(row)
    values: list[tuple[str, str, int, int]] = []
    for kind in _CHARGED:
        for quarter, some in sorted(quarters.items()):
            sums = defaultdict[str, int](int)
            for row in some:
                cost = row["cost_nanousd"] or 0
                if kind == "provider":
                    for provider, _, spent in row["elsewhere"]:
                        sums[provider] += spent
                        cost -= spent
                name = row[kind]
                if name is not None:
                    sums[name] += cost
            values += [
                (kind, name, quarter * QUARTER_S, sign * nanousd)
                for name in sorted(sums)
                if (nanousd := sums[name])
            ]
    merge_many(connection, charges, values, add=["nanousd"])


def _add_rollups(connection: Connection, names: Names, rows: Sequence[Row], sign: int) -> None:
    sums = _by_minute(rows, sign)
    by_day = defaultdict[int, set[Group]](set)
    for minute_s, group in sums:
        by_day[minute_s // DAY_S * DAY_S].add(group)
    counted = {day_s: _bounded(connection, names, day_s, by_day[day_s]) for day_s in sorted(by_day)}
    kept = {number: group for each in counted.values() for number, group in each.values()}
    merge_many(connection, rollup_groups, [(number, *kept[number]) for number in sorted(kept)])
    spans: Spans = {}
    for (minute_s, group), counts in sums.items():
        number, _ = counted[minute_s // DAY_S * DAY_S][group]
        _merge(spans, (minute_s, number), counts)
    for table, span_s in ((rollups_minute, 0), (rollups_hour, HOUR_S), (rollups_day, DAY_S)):
        if span_s:  # hours from the minutes' sums, days from the hours'
            shorter, spans = spans, {}
            for (began_s, number), counts in shorter.items():
                _merge(spans, (began_s // span_s * span_s, number), counts)
            note_changes(connection, {(span_s, began_s) for began_s, _ in spans})
        values = [(*at, *spans[at]) for at in sorted(spans)]
        merge_many(connection, table, values, add=COUNTS)


def _merge(spans: Spans, at: tuple[int, int], counts: Counts) -> None:
    there = spans.get(at)
    spans[at] = counts if there is None else tuple(map(add, there, counts))


def _by_minute(rows: Sequence[Row], sign: int) -> Sums:
    sums: Sums = {}
    for row in rows:
        minute_s = row["started_ns"] // _MINUTE_NS * MINUTE_S
        owner = row["key"], row["user"], row["team"], row["organisation"], row["feature"]
        alias, ended, cost = row["alias"], row["ended"], row["cost_nanousd"] or 0
        for provider, model, spent in row["elsewhere"]:
            group: Group = (*owner, alias, model, provider, ended)
            _add(sums, (minute_s, group), (0, 0, 0, *_NO_TOKENS, sign * spent, 0))
            cost -= spent
        group = (*owner, alias, row["model"], row["provider"], ended)
        tokens = row["tokens"] if sign > 0 else map(neg, row["tokens"])
        counts = (
            sign, sign * (ended not in FINE), sign * row["unpriced"], *tokens, sign * cost,
            sign * row.get("slow", False),
        )  # fmt: skip
        _add(sums, (minute_s, group), counts)
    return sums


def _add(sums: Sums, at: tuple[int, Group], counts: Counts) -> None:
    there = sums.get(at)
    sums[at] = counts if there is None else tuple(map(add, there, counts))


def _bounded(
    connection: Connection, names: Names, day_s: int, groups: set[Group]
) -> dict[Group, tuple[int, Group]]:
    # Each group, and the one it is counted as, with its id.
    apart: dict[int, set[str]] = {}
    fit = True
    for kind, place in _BOUNDED:
        wanted = {name for group in groups if (name := group[place]) is not None}
        apart[place] = names.apart(connection, day_s, kind, wanted)
        fit = fit and len(apart[place]) == len(wanted)
    numbers: dict[Group, int] = {}
    counted: dict[Group, tuple[int, Group]] = {}
    for group in groups:
        if fit:
            counted[group] = group_id(group), group
            continue
        key, user, team, organisation, feature, alias, model, provider, ended = group
        reduced: Group = (
            key, _or_other(user, apart[1]), team, organisation, _or_other(feature, apart[4]),
            _or_other(alias, apart[5]), _or_other(model, apart[6]), provider, ended,
        )  # fmt: skip
        counted[group] = _numbered(numbers, reduced)
    single = {f"{number:x}": number for number, _ in counted.values()}
    alone = names.apart(connection, day_s, "group", single)
    if len(alone) < len(single):
        fitting = {single[each] for each in alone}
        for group, (number, reduced) in counted.items():
            if number not in fitting:
                key, _, team, organisation, _, alias, model, provider, ended = reduced
                rest: Group = (
                    key, OTHER, team, organisation, OTHER, alias, model, provider, ended,
                )  # fmt: skip
                counted[group] = _numbered(numbers, rest)
    return counted


def _numbered(numbers: dict[Group, int], group: Group) -> tuple[int, Group]:
    number = numbers.get(group)
    if number is None:
        number = numbers[group] = group_id(group)
    return number, group


def _or_other(name: str | None, apart: set[str]) -> str | None:
    return name if name is None or name in apart else OTHER
