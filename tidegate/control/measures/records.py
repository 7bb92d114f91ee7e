"""Counts each record once, when the store has taken it.

A batch is divided into groups of records that have all labels in common; within a group whole
columns are added up, so that a record costs less than a twentieth of what loading it does.

Counters begin at zero with the process: what was counted before is in the store. Many records that
waited while the process was not there are counted when they are loaded, not when they happened.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar, cast

from tidegate.alerts.objectives import Objective
from tidegate.control.brief import Brief
from tidegate.control.burns import BAD, SLOS, is_slow
from tidegate.control.finishes import FILTERED, REFUSED, TRUNCATED, has_waited
from tidegate.control.measures import catalogue as of
from tidegate.control.measures.bounds import NOTHING, OTHER, Names
from tidegate.control.measures.series import Counter, Histogram
from tidegate.control.measures.text import Meaning
from tidegate.control.rows import LOST, class_of, is_unpriced
from tidegate.guard.redaction import KINDS
from tidegate.store.rows import Judged
from tidegate.telemetry.attributes import OPERATIONS
from tidegate.telemetry.record import Record

VALUES: Final = 100
"""Of each label."""
COMBINATIONS: Final = 1_000
"""Of each counter's labels; of a histogram's a fifth of it."""
_LIMITED: Final = frozenset({
    "rate_limit_exceeded", "budget_exceeded", "conversation_limit_exceeded", "overloaded",
    "limits_unavailable", "price_unknown", "no_target_available",
})  # fmt: skip
"""Outcomes of requests that were planned: their alias is one that there is."""
_REFUSED: Final = frozenset({"limited", "refused"})
_FORMS: Final = frozenset({"good", "repaired", "malformed", "unchecked"})
_LEFT_OUT: Final = {"request unread": "request", "response unread": "response"}
_CLASSES: Final = ("ok", "client_gone", "limited", "refused", "failed", "lost")
_MS: Final = 1000.0

Told = Brief | Record
Expected = Mapping[str, Objective | None]
"""The aliases that there are, each with what is promised of it."""
_Number = TypeVar("_Number", int, float)
Key = tuple[
    str | None, str | None, str | None, str | None, str, bool, str
]  # fmt: skip


class _Labels(NamedTuple):
    """What the records of a group have in common, as it is shown."""

    alias: str
    provider: str
    target: str
    answered: str
    """The model as its provider names it."""
    outcome: str
    stream: bool
    operation: str

    @property
    def model(self) -> str:
        """The model that was asked, as the configuration names it."""
        return self.target.partition("/")[2] or (OTHER if self.target == OTHER else NOTHING)


class _Columns(NamedTuple):
    """The same fields of all records of a group."""

    attempts: Sequence[Sequence[object]]
    degraded: Sequence[str | None]
    adapted: Sequence[Sequence[str]]
    downgraded: Sequence[str | None]
    finish_reason: Sequence[str | None]
    findings: Sequence[dict[str, int]]
    cut: Sequence[Sequence[str]]
    form: Sequence[str | None]
    input_tokens: Sequence[int | None]
    output_tokens: Sequence[int | None]
    cost_nanousd: Sequence[int | None]
    duration_ms: Sequence[float]
    gateway_ms: Sequence[float | None]
    queue_ms: Sequence[float]
    ttft_ms: Sequence[float | None]
    tokens_per_s: Sequence[float | None]
    max_gap_ms: Sequence[float | None]


_key = cast(
    "Callable[[Told], Key]",
    attrgetter("alias", "provider", "target", "model", "outcome", "stream", "wire"),
)
_fields = cast("Callable[[Told], tuple[object, ...]]", attrgetter(*_Columns._fields))
_TOKENS: Final = (
    "input", "output", "cached_input", "cache_write", "reasoning", "audio_input", "audio_output",
)  # fmt: skip
_amounts = cast(
    "Callable[[Told], tuple[int | None, ...]]",
    attrgetter(*(f"{kind}_tokens" for kind in _TOKENS), "cost_nanousd"),
)


class Measures:
    """What was counted since the process began. Any thread may add and read."""

    def __init__(
        self,
        *,
        values: int = VALUES,
        combinations: int = COMBINATIONS,
        expected: Callable[[], Expected] = dict,
    ) -> None:
        self._turn = threading.Lock()
        self._expected = expected
        self._known: Expected = {}
        self._names = {
            name: Names(values)
            for name in ("alias", "team", "provider", "target", "response_model", "outcome", "how")
        }
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}

        def counter(meaning: Meaning, *, nano: bool = False) -> Counter:
            made = self._counters[meaning.name] = Counter(meaning, combinations, nano=nano)
            return made

        def histogram(
            meaning: Meaning, bounds: Sequence[float], *, scale: float = _MS
        ) -> Histogram:
            most = max(1, combinations // 5)
            made = self._histograms[meaning.name] = Histogram(meaning, bounds, most, scale=scale)
            return made

        self._requests = counter(of.REQUESTS)
        self._ended = counter(of.ENDED)
        self._slo_requests = counter(of.SLO_REQUESTS)
        self._slo_bad = counter(of.SLO_BAD)
        self._refused_answers = counter(of.REFUSED_ANSWERS)
        self._all_tokens = counter(of.ALL_TOKENS)
        self._cost = counter(of.COST, nano=True)
        self._unpriced = counter(of.UNPRICED)
        self._retries = counter(of.RETRIES)
        self._fallbacks = counter(of.FALLBACKS)
        self._hedges = counter(of.HEDGES)
        self._refusals = counter(of.REFUSALS)
        self._truncations = counter(of.TRUNCATIONS)
        self._findings = counter(of.FINDINGS)
        self._left_out = counter(of.LEFT_OUT)
        self._degraded = counter(of.DEGRADED)
        self._adapted = counter(of.ADAPTED)
        self._downgrades = counter(of.DOWNGRADES)
        self._lost = counter(of.LOST)
        self._lost_cost = counter(of.LOST_COST, nano=True)
        self._found = counter(of.FOUND)
        self._checked = counter(of.CHECKED)
        self._feedback = counter(of.FEEDBACK)
        self._dropped = counter(of.FEEDBACK_DROPPED)
        self._overflows = counter(of.OVERFLOWS)
        self._duration = histogram(of.DURATION, of.OPERATION_S)
        self._tokens = histogram(of.TOKENS, of.TOKEN_COUNTS, scale=1)
        self._first_token = histogram(of.FIRST_TOKEN, of.FIRST_TOKEN_S)
        self._each_token = histogram(of.EACH_TOKEN, of.EACH_TOKEN_S, scale=1)
        self._request_duration = histogram(of.REQUEST_DURATION, of.OPERATION_S)
        self._overhead = histogram(of.OVERHEAD, of.OVERHEAD_S)
        self._queue = histogram(of.QUEUE, of.WAIT_S)
        self._gap = histogram(of.GAP, of.WAIT_S)
        self._wait = histogram(of.WAIT, of.CONTENT_S)

    def take(self, records: Iterable[Told], *, found: int = 0) -> None:
        """Count `records`, which are in the store now and never were before.

        `found` of them had been given up as lost.
        """
        groups: dict[Key, list[Told]] = {}
        for record in records:
            key = _key(record)
            group = groups.get(key)
            if group is None:
                groups[key] = [record]
            else:
                group.append(record)
        with self._turn:
            self._expect()
            shown: dict[_Labels, list[Told]] = {}
            for key, group in groups.items():
                for target, part in _by_target(key[2], group):
                    labels = self._labels(key, target, len(part))
                    there = shown.setdefault(labels, part)
                    if there is not part:
                        there += part
            for labels, group in shown.items():
                self._count(labels, group)
            for each in self._histograms.values():
                each.fold()
            if found:
                self._found.add((), found)

    def lose(self, records: Sequence[Record]) -> None:
        """Count `records` that were given up as lost."""
        with self._turn:
            self._expect()
            if records:
                self._lost.add((), len(records))
                self._lost_cost.add((), sum(each.cost_nanousd or 0 for each in records))
            for record in records:
                alias = self._name("alias", record.alias, 1)
                self._ended.add((alias, LOST), 1)
                self._count_objectives(alias, LOST, [record])

    def judge(self, judged: Iterable[Judged]) -> None:
        """Count feedback by what became of it."""
        with self._turn:
            for each in judged:
                if each.became == "taken":
                    alias = self._name("alias", each.alias, 1)
                    self._feedback.add((alias, each.verdict or "none"), 1)
                elif each.became != "waiting":
                    self._dropped.add((each.became,), 1)

    def lines(self) -> list[str]:
        """Everything that was counted, for the page."""
        with self._turn:
            self._expect()
            return list(self._lines())

    def counter(self, meaning: Meaning) -> Counter:
        """The counter of that meaning."""
        return self._counters[meaning.name]

    def histogram(self, meaning: Meaning) -> Histogram:
        """The histogram of that meaning."""
        return self._histograms[meaning.name]

    def _lines(self) -> Iterator[str]:
        every = [*self._counters.values(), *self._histograms.values()]
        beyond = Counter(of.SERIES_OVERFLOWS, len(every))
        for each in every:
            yield from each.lines()
            if each.overflows:
                beyond.add((each.meaning.name,), each.overflows)
        yield from beyond.lines()

    def _expect(self) -> None:
        # A counter that begins with its first event has not grown, for Prometheus: so it begins
        # before.
        expected = self._expected()
        if expected == self._known:
            return
        self._known = dict(expected)
        for alias, objective in expected.items():
            if not self._names["alias"].admits(alias):
                continue
            for ended in _CLASSES:
                self._ended.add((alias, ended), 0)
            for slo in SLOS if objective is not None else ():
                if objective is not None and objective.of(slo) is not None:
                    self._slo_requests.add((alias, slo), 0)
                    self._slo_bad.add((alias, slo), 0)

    def _name(self, label: str, value: str | None, count: int, *, vouched: bool = True) -> str:
        """`value` of `label` as it is shown for so many records."""
        if not value:
            return NOTHING
        if self._names[label].admits(value, vouched=vouched):
            return value
        self._overflows.add((label,), count)
        return OTHER

    def _labels(self, key: Key, target: str | None, count: int) -> _Labels:
        alias, provider, _, model, outcome, stream, wire = key
        known = target is not None or outcome in _LIMITED
        if provider is None and target is not None:
            provider = target.partition("/")[0]
        return _Labels(
            self._name("alias", alias, count, vouched=known),
            self._name("provider", provider, count),
            self._name("target", target, count),
            self._name("response_model", model, count),
            self._name("outcome", outcome, count),
            stream,
            OPERATIONS.get(wire, OTHER),
        )

    def _count(self, labels: _Labels, group: list[Told]) -> None:
        alias, provider, model = labels.alias, labels.provider, labels.model
        told = _Columns._make(zip(*map(_fields, group), strict=True))
        self._count_teams(labels, group)
        self._request_duration.add((alias,), list(told.duration_ms))
        if labels.outcome == "ok":
            self._ended.add((alias, "ok"), len(group))
            self._count_objectives(alias, "ok", group)
        else:
            self._count_failures(alias, labels.outcome, group)
        if has_waited(labels.outcome):
            waits = zip(told.ttft_ms, told.duration_ms, strict=True)
            self._wait.add((alias,), [whole if ttft is None else ttft for ttft, whole in waits])
        if labels.target:
            self._count_asked(labels, told)
        if None in told.cost_nanousd:
            unpriced = sum(map(is_unpriced, group))
            if unpriced:
                self._unpriced.add((alias, provider, model), unpriced)
        if any(told.finish_reason) or labels.outcome == FILTERED:
            self._count_finishes(labels, told)
        downgraded = len(group) - told.downgraded.count(None)
        if downgraded:
            self._downgrades.add((alias,), downgraded)
        self._count_makeshift(alias, told)

    def _count_teams(self, labels: _Labels, group: list[Told]) -> None:
        """What is counted by team: many have few records each, so nothing else is."""
        teams: dict[str | None, list[Told]] = {}
        for record in group:
            teams.setdefault(record.team, []).append(record)
        stream = "true" if labels.stream else "false"
        for name, part in teams.items():
            team = self._name("team", name, len(part))
            self._requests.add((labels.alias, team, labels.outcome, stream), len(part))
            where = labels.alias, labels.provider, labels.model, team
            *tokens, costs = zip(*map(_amounts, part), strict=True)
            for kind, counts in zip(_TOKENS, tokens, strict=True) if labels.target else ():
                if any(counts):
                    self._all_tokens.add((*where, kind), sum(filter(None, counts)))
            cost = sum(filter(None, costs))
            tried = [each for each in part if len(each.attempts) > 1]
            if tried:
                cost -= self._count_tries(labels, team, tried)
            if cost:
                self._cost.add(where, cost)

    def _count_asked(self, labels: _Labels, told: _Columns) -> None:
        """What is measured of requests for which a provider was asked."""
        alias, provider, model = labels.alias, labels.provider, labels.model
        asked = labels.operation, provider, model, labels.answered
        error = NOTHING if labels.outcome == "ok" else labels.outcome
        self._duration.add((*asked, error), list(told.duration_ms))
        self._overhead.add((alias,), _known(told.gateway_ms))
        self._queue.add((alias,), list(told.queue_ms))
        if labels.stream:
            self._first_token.add(asked, _known(told.ttft_ms))
            self._gap.add((alias,), _known(told.max_gap_ms))
            paces = filter(None, told.tokens_per_s)
            self._each_token.add(asked, [1.0 / pace for pace in paces])
        self._tokens.add((*asked, "input"), _known(told.input_tokens))
        self._tokens.add((*asked, "output"), _known(told.output_tokens))

    def _count_failures(self, alias: str, outcome: str, group: list[Told]) -> None:
        for record in group:
            ended = class_of(record)
            self._ended.add((alias, ended), 1)
            self._count_objectives(alias, ended, (record,))
            if ended in _REFUSED:
                kind = record.limit.partition(" ")[0] if record.limit else NOTHING
                self._refusals.add((outcome, kind), 1)

    def _count_objectives(self, alias: str, ended: str, group: Sequence[Told]) -> None:
        objective = self._known.get(alias)
        if objective is None or (ended != "ok" and ended not in BAD):
            return
        if objective.availability is not None:
            self._slo_requests.add((alias, "availability"), len(group))
            self._slo_bad.add((alias, "availability"), len(group) if ended in BAD else 0)
        if objective.latency is not None and ended == "ok":
            slow = sum(is_slow(each, objective.under_s) for each in group)
            self._slo_requests.add((alias, "latency"), len(group))
            self._slo_bad.add((alias, "latency"), slow)

    def _count_finishes(self, labels: _Labels, told: _Columns) -> None:
        where = labels.alias, labels.provider, labels.model
        truncated = sum(reason in TRUNCATED for reason in told.finish_reason)
        if truncated:
            self._truncations.add(where, truncated)
        if labels.outcome == FILTERED:
            self._refused_answers.add(where, len(told.finish_reason))
        elif refused := sum(reason in REFUSED for reason in told.finish_reason):
            self._refused_answers.add(where, refused)

    def _count_tries(self, labels: _Labels, team: str, group: list[Told]) -> int:
        """Count all tries but the first; what those cost that were not the last, all together."""
        elsewhere = 0
        for record in group:
            before: str | None = None
            for each in record.attempts:
                target = self._name("target", each.target, 1)
                if each.hedge:
                    self._hedges.add((labels.alias, target), 1)
                elif each.target == before:
                    self._retries.add((labels.alias, target), 1)
                elif before is not None:
                    self._fallbacks.add((labels.alias, target), 1)
                if not each.hedge:
                    before = each.target
                if each.cost_nanousd:
                    provider, _, model = each.target.partition("/")
                    shown = NOTHING if target == NOTHING else target.partition("/")[2] or OTHER
                    provider = self._name("provider", provider, 1)
                    where = labels.alias, provider, shown if model else NOTHING, team
                    self._cost.add(where, each.cost_nanousd)
                    if record.cost_nanousd is not None:
                        elsewhere += each.cost_nanousd
        return elsewhere

    def _count_makeshift(self, alias: str, told: _Columns) -> None:
        if any(told.degraded):
            for how in filter(None, told.degraded):
                self._degraded.add((alias, self._name("how", how, 1)), 1)
        if any(told.findings):
            for kind, count in (each for found in told.findings for each in found.items()):
                self._findings.add((alias, kind if kind in KINDS else OTHER), count)
        for body in (_LEFT_OUT[each] for cut in told.cut for each in cut if each in _LEFT_OUT):
            self._left_out.add((alias, body), 1)
        if any(told.form):
            for form in filter(None, told.form):
                self._checked.add((alias, form if form in _FORMS else OTHER), 1)
        if any(told.adapted):
            for how in (each for adapted in told.adapted for each in adapted):
                self._adapted.add((alias, self._name("how", how, 1)), 1)


def _by_target(target: str | None, group: list[Told]) -> Iterable[tuple[str | None, list[Told]]]:
    """Records by the target that answered, or was tried last if none did."""
    if target is not None:
        return ((target, group),)
    parts: dict[str | None, list[Told]] = {}
    for record in group:
        tried = record.attempts[-1].target if record.attempts else None
        parts.setdefault(tried, []).append(record)
    return parts.items()


def _known(values: Sequence[_Number | None]) -> list[_Number]:
    return [value for value in values if value is not None]
