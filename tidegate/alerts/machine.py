"""From what rules find to what is said: pending, firing, resolved; once, and not too often.

A pure step. What was found is new: it waits for as long as its rule says, then it fires, which is
told once and again after `repeat_s`. What is no more found for `clear_s` is over, which is told if
its firing was. What could not be looked at stays as it is. Silence holds back words, not states:
whatever still fires when it ends is told then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tidegate.alerts.links import link
from tidegate.alerts.rules import Rule, Severity

MOST_OF_RULE: Final = 50
MOST_RECENT: Final = 100
MOST_TOLD: Final = 20_000
_SECOND_NS: Final = 10**9
_SUMMARY_CHARACTERS: Final = 600
_LABEL_CHARACTERS: Final = 200

Status = Literal["firing", "resolved"]
Labels = dict[str, str]


class Finding(Struct, frozen=True):
    """Something that a rule found."""

    labels: Labels
    value: float
    threshold: float
    summary: str
    severity: Severity | None = None
    """If it is not that of the rule."""
    once: str | None = None
    """It is told once for this, and is never over."""


class Alert(Struct, frozen=True):
    """What is said, about one thing."""

    id: str
    """The same for all that is said of this firing."""
    status: Status
    rule: str
    severity: Severity
    summary: str
    todo: str
    labels: Labels
    value: float
    threshold: float
    since_ns: int
    at_ns: int
    runbook: str
    repeated: bool = False
    silenced: bool = False
    link: str = ""
    """Where the console shows it; empty where nobody said how the console is reached."""


class Silence(Struct, frozen=True):
    """What is not told until then: of that rule and with those labels, where they are named."""

    until_ns: int
    rule: str | None = None
    labels: Labels = {}
    id: str = ""
    why: str = ""
    by: str = ""

    def covers(self, rule: str, labels: Labels, now_ns: int) -> bool:
        """Whether nothing is said of it now."""
        named = self.rule is None or self.rule == rule
        alike = all(labels.get(name) == value for name, value in self.labels.items())
        return now_ns < self.until_ns and named and alike


class Active(Struct, frozen=True):
    """Something found that is not over."""

    rule: str
    finding: Finding
    since_ns: int
    fired_ns: int | None = None
    """None while it is pending."""
    told_ns: int | None = None
    gone_ns: int | None = None
    """Since when it fires, but is not found any more."""

    @property
    def id(self) -> str:
        """As its alerts have it."""
        return _digest((self.rule, self.finding.labels, self.finding.once or self.since_ns))


class Memory(Struct, frozen=True):
    """All that is to be known from one step to the next."""

    active: dict[str, Active] = {}
    told: dict[str, int] = {}
    """What is told once, and when it was."""
    recent: tuple[Alert, ...] = ()
    """The latest last."""


def essence(memory: Memory) -> object:
    """What of it may not be forgotten: where it is the same, nothing need be written down."""
    active = {
        key: (each.since_ns, each.fired_ns, each.told_ns) for key, each in memory.active.items()
    }
    return active, len(memory.told), memory.recent


class Terms(Struct, frozen=True):
    """How it is told."""

    repeat_s: float = 4 * 3_600.0
    clear_s: float = 60.0
    runbooks: str = "docs/runbooks/"
    console: str = ""
    """`https://HOST` of the console, if it is reached from elsewhere."""


Found = Mapping[str, "list[Finding] | None"]
"""What each rule found; None where it could not look."""


class Turn(Struct, frozen=True):
    """What is to be known of a step besides what was found."""

    now_ns: int
    terms: Terms = Terms()
    silences: tuple[Silence, ...] = ()
    acknowledged: frozenset[str] = frozenset()
    """Ids of what somebody is looking at: it is not told again, only that it is over."""


def step(
    rules: Iterable[Rule], found: Found, memory: Memory, turn: Turn
) -> tuple[Memory, tuple[Alert, ...]]:
    """The memory after this look, and what is to be said, silenced ones included."""
    one = _Step(memory, turn)
    known = {rule.name: rule for rule in rules}
    for rule in known.values():
        findings = found.get(rule.name)
        for finding in findings or ():
            if finding.once is not None:
                one.tell_once(rule, finding, finding.once)
        lasting = [each for each in findings or () if each.once is None]
        for finding in lasting[:MOST_OF_RULE]:
            one.see(rule, finding)
    for key, each in memory.active.items():
        if key not in one.active and each.rule in known:
            one.miss(key, known[each.rule], each, looked=found.get(each.rule) is not None)
    recent = (*memory.recent, *one.said)[-MOST_RECENT:]
    return Memory(one.active, _bounded(one.told, found), recent), tuple(one.said)


class _Step:
    def __init__(self, memory: Memory, turn: Turn) -> None:
        self._before = memory.active
        self._turn = turn
        self.active: dict[str, Active] = {}
        self.told = dict(memory.told)
        self.said: list[Alert] = []

    def tell_once(self, rule: Rule, finding: Finding, once: str) -> None:
        if once not in self.told:
            now_ns = self._turn.now_ns
            self.told[once] = now_ns
            if finding.summary:
                self._say(rule, Active(rule.name, finding, now_ns, now_ns))

    def see(self, rule: Rule, finding: Finding) -> None:
        now_ns = self._turn.now_ns
        key = _digest((rule.name, finding.labels))
        before = self._before.get(key) or Active(rule.name, finding, now_ns)
        each = replace(before, finding=finding, gone_ns=None)
        if each.fired_ns is None and now_ns - each.since_ns >= rule.for_s * _SECOND_NS:
            each = replace(each, fired_ns=now_ns)
        if self._is_due(each):
            repeated = each.told_ns is not None
            if self._say(rule, each, repeated=repeated):
                each = replace(each, told_ns=now_ns)
        self.active[key] = each

    def miss(self, key: str, rule: Rule, each: Active, *, looked: bool) -> None:
        if not looked:
            self.active[key] = each
            return
        if each.fired_ns is None:
            return
        now_ns = self._turn.now_ns
        gone_ns = now_ns if each.gone_ns is None else each.gone_ns
        if now_ns - gone_ns < self._turn.terms.clear_s * _SECOND_NS:
            self.active[key] = replace(each, gone_ns=gone_ns)
        elif each.told_ns is not None:
            self._say(rule, each, "resolved")

    def _is_due(self, each: Active) -> bool:
        if each.fired_ns is None:
            return False
        if each.fired_ns == self._turn.now_ns:  # under a silence, this much is noted
            return True
        if each.told_ns is not None and each.id in self._turn.acknowledged:
            return False
        pause_ns = round(self._turn.terms.repeat_s * _SECOND_NS)
        rested = each.told_ns is None or self._turn.now_ns - each.told_ns >= pause_ns
        return rested and not self._is_silent(each)

    def _is_silent(self, each: Active) -> bool:
        now_ns, labels = self._turn.now_ns, each.finding.labels
        return any(one.covers(each.rule, labels, now_ns) for one in self._turn.silences)

    def _say(
        self, rule: Rule, each: Active, status: Status = "firing", *, repeated: bool = False
    ) -> bool:
        finding, silenced = each.finding, self._is_silent(each)
        now_ns, terms = self._turn.now_ns, self._turn.terms
        self.said.append(
            Alert(
                id=each.id,
                status=status,
                rule=rule.name,
                severity=finding.severity or rule.severity,
                summary=_plain(finding.summary, _SUMMARY_CHARACTERS),
                todo=rule.todo,
                labels={
                    name: _plain(value, _LABEL_CHARACTERS) for name, value in finding.labels.items()
                },
                value=finding.value,
                threshold=finding.threshold,
                since_ns=each.since_ns,
                at_ns=now_ns,
                runbook=f"{terms.runbooks}{rule.name}.md",
                repeated=repeated,
                silenced=silenced,
                link=link(terms.console, rule.name, finding.labels, (each.since_ns, now_ns))
                if terms.console
                else "",
            )
        )
        return not silenced


def _plain(text: str, most: int) -> str:
    # Callers chose some of the names in it.
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _bounded(told: dict[str, int], found: Found) -> dict[str, int]:
    # Periods that are over go first; what is found now would otherwise be told again.
    if len(told) <= MOST_TOLD:
        return told
    now = {each.once for findings in found.values() for each in findings or ()}
    kept = sorted(told, key=lambda once: (once in now, told[once]))[-MOST_TOLD:]
    return {once: told[once] for once in kept}


def _digest(value: object) -> str:
    text = msgspec.json.encode(value, order="sorted")
    return blake2b(text, digest_size=8).hexdigest()
