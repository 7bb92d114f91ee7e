"""A sample of the latest records: how long answers take, how they end, which budgets refuse.

Of each minute and alias at most so many are kept, each as likely as any other, so that an hour of
heavy traffic fits; percentiles are therefore those of a sample.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from tidegate.alerts.facts import WINDOW_S, Heard
from tidegate.control.finishes import FILTERED, REFUSED, TRUNCATED, has_waited
from tidegate.guard.redaction import CREDENTIALS

MOST_READ: Final = 1_000
"""Records that are read in one look; of more, the newest."""
_OF_MINUTE: Final = 60
_MINUTES: Final = 65
_MOST_ALIASES: Final = 100
_MINUTE_S, _SECOND_NS, _MS = 60, 10**9, 1_000.0


class _Said(Struct):
    """What matters of a record."""

    started_ns: int
    alias: str | None = None
    outcome: str = "ok"
    ttft_ms: float | None = None
    duration_ms: float = 0.0
    queue_ms: float = 0.0
    finish_reason: str | None = None
    limit: str | None = None
    findings: dict[str, int] = {}


class _Answer(NamedTuple):
    wait_s: float | None
    queue_s: float
    truncated: bool
    refused: bool
    overloaded: bool
    personal: int
    credentials: int


class _Minute:
    """A fair sample of one minute. Source: Vitter, "Random Sampling with a Reservoir", R."""

    __slots__ = ("answers", "seen")

    def __init__(self) -> None:
        self.answers: list[_Answer] = []
        self.seen = 0

    def add(self, answer: _Answer, draw: random.Random) -> None:
        self.seen += 1
        if len(self.answers) < _OF_MINUTE:
            self.answers.append(answer)
        elif (place := draw.randrange(self.seen)) < _OF_MINUTE:
            self.answers[place] = answer


Minutes = dict[int, _Minute]


class Hearing:
    """The sample; one thread at a time uses it."""

    def __init__(self) -> None:
        self._aliases: OrderedDict[str, Minutes] = OrderedDict()
        self._refusing: dict[tuple[str, str, str], int] = {}
        self._draw = random.Random(0)  # noqa: S311  a sample, not a secret

    def hear(self, payloads: Iterable[bytes]) -> None:
        """Take records into the sample; what is none is passed over."""
        for payload in payloads:
            try:
                self._take(_decoder.decode(payload))
            except msgspec.DecodeError:
                continue

    def heard(self, now_ns: int) -> dict[str, Heard]:
        """What was heard of each alias in the last minutes, beside the hour before."""
        now_s = now_ns // _SECOND_NS
        first = now_s // _MINUTE_S - WINDOW_S // _MINUTE_S
        told: dict[str, Heard] = {}
        for alias, minutes in self._aliases.items():
            for minute in [each for each in minutes if each < first - _MINUTES]:
                del minutes[minute]
            latest = _between(minutes, first, now_s)
            lately = _heard(latest, _heard(_between(minutes, first - _MINUTE_S, first)))
            if lately is not None:
                told[alias] = lately
        return told

    def refusing(self, now_ns: int) -> frozenset[tuple[str, str, str]]:
        """Kind, name and period of the budgets that refused somebody in the last minutes."""
        since_ns = now_ns - WINDOW_S * _SECOND_NS
        self._refusing = {each: at for each, at in self._refusing.items() if at >= since_ns}
        return frozenset(self._refusing)

    def _take(self, said: _Said) -> None:
        if said.outcome == "budget_exceeded" and said.limit is not None:
            kind, _, rest = said.limit.partition(" ")
            name, _, period = rest.rpartition(" usd_")
            self._refusing[kind, name, period.removeprefix("per_")] = said.started_ns
        if said.alias is None:
            return
        minutes = self._aliases.setdefault(said.alias, {})
        self._aliases.move_to_end(said.alias)
        if len(self._aliases) > _MOST_ALIASES:
            self._aliases.popitem(last=False)
        over_ns = said.started_ns + round(said.duration_ms * 10**6)
        minute = minutes.setdefault(over_ns // _SECOND_NS // _MINUTE_S, _Minute())
        minute.add(_answer(said), self._draw)


def _answer(said: _Said) -> _Answer:
    credentials = sum(said.findings.get(kind, 0) for kind in CREDENTIALS) if said.findings else 0
    wait_ms = said.duration_ms if said.ttft_ms is None else said.ttft_ms
    return _Answer(
        wait_s=wait_ms / _MS if has_waited(said.outcome) else None,
        queue_s=said.queue_ms / _MS,
        truncated=said.finish_reason in TRUNCATED,
        refused=said.finish_reason in REFUSED or said.outcome == FILTERED,
        overloaded=said.outcome == "overloaded",
        personal=sum(said.findings.values()) - credentials,
        credentials=credentials,
    )


def _between(minutes: Minutes, first: int, until: int) -> list[_Answer]:
    within = (each for minute, each in minutes.items() if first <= minute < until)
    return [answer for each in within for answer in each.answers]


def _heard(answers: Sequence[_Answer], usual: Heard | None = None) -> Heard | None:
    if not answers:
        return None
    waits = sorted(each.wait_s for each in answers if each.wait_s is not None)
    return Heard(
        answers=len(answers),
        p50_s=_percentile(waits, 0.5),
        p99_s=_percentile(waits, 0.99),
        queue_p95_s=_percentile(sorted(each.queue_s for each in answers), 0.95),
        truncated=_share(each.truncated for each in answers),
        refused=_share(each.refused for each in answers),
        overloaded=_share(each.overloaded for each in answers),
        personal=_share(each.personal for each in answers),
        credentials=_share(each.credentials for each in answers),
        usual=usual,
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank: the least value that `share` of all are not above; 0.0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _share(are: Iterable[int]) -> float:
    """How much of it there is for each."""
    said = list(are)
    return sum(said) / len(said)


_decoder = msgspec.msgpack.Decoder(_Said)
