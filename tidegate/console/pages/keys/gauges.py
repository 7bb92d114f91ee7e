"""Limits of a scope, each beside how much of it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from markupsafe import Markup

from tidegate.console.charts import meter
from tidegate.console.page import Asked
from tidegate.console.refusals import Refusal
from tidegate.console.words import count, usd
from tidegate.control.admin.limits import EACH, show_limits_of
from tidegate.control.admin.shapes import Json, show_time
from tidegate.limits import DAY_S, HOUR_S, MINUTE_S, Kind, Rule
from tidegate.money import NANO

_WINDOWS: Final = {"minute": MINUTE_S, "hour": HOUR_S, "day": DAY_S}
_COUNTED: Final = frozenset({"organisation", "team", "user", "key", "feature", "alias", "provider"})
"""Kinds whose requests are summed up by name."""
_FULLEST: Final = 3
_SOFT: Final = 0.8
_MOST: Final = 500
_MOST_NAMES: Final = 1_000
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class Gauge:
    """One limit, and what is used of it."""

    label: str
    limit: str
    used: str | None
    """None where nobody counts it here."""
    part: float | None
    who: str | None
    """Whose, where the limit is for each of a kind."""
    soft: float
    note: str = ""

    @property
    def tone(self) -> str:
        """How bad it is."""
        if self.part is None or self.part < self.soft:
            return "tone-1"
        return "tone-warn" if self.part < 1 else "tone-bad"

    @property
    def bar(self) -> Markup | None:
        """The same drawn."""
        return None if self.part is None else meter(self.part, self.tone, self.soft)


@dataclass(frozen=True, slots=True)
class Ruled:
    """The limits of a scope."""

    kind: str
    name: str
    filed: bool
    """Whether they stand in the configuration file, where alone they can be changed."""
    gauges: tuple[Gauge, ...]


@dataclass(slots=True)
class Usage:
    """What is used, asked for once for each kind and time."""

    asked: Asked
    _budgets: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    _spent: dict[tuple[str, int], dict[str, Json]] = field(
        default_factory=dict[tuple[str, int], dict[str, Json]]
    )
    _named: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def budgets(self, kind: str) -> list[Json]:
        """How budgets of that kind stand, the fullest first."""
        if kind not in self._budgets:
            found = self.asked.api("GET", "/budgets", kind=kind, limit=_MOST)
            self._budgets[kind] = found["items"]
        return self._budgets[kind]

    def spent(self, kind: str, window_s: int) -> Mapping[str, Json]:
        """What each name of that kind asked in the time until this minute began."""
        if (kind, window_s) not in self._spent:
            until_s = self.asked.now_ns // NANO // MINUTE_S * MINUTE_S
            since, until = (show_time(at * NANO) for at in (until_s - window_s, until_s))
            found = self.asked.api(
                "GET", "/spend", by=kind, since=since, until=until, top=_MOST_NAMES
            )
            self._spent[kind, window_s] = {
                each["name"]: each for each in found["items"] if each["name"]
            }
        return self._spent[kind, window_s]

    def named(self, kind: str) -> frozenset[str]:
        """Those that have limits of their own, as far as there are not very many."""
        if kind not in self._named:
            found = self.asked.api("GET", "/limits", kind=kind, limit=_MOST)
            filed = self.asked.back.settings.configured().rules
            self._named[kind] = frozenset(each["name"] for each in found["items"]) | {
                rule.name for rule in filed if rule.kind == kind and rule.name is not None
            }
        return self._named[kind]


def filed_rule(rule: Rule) -> Json:
    """A rule of the configuration file as the admin API shows those of the store."""
    return {"kind": rule.kind, "name": rule.name or EACH, **show_limits_of(rule.limits)}


def gauges_of(rule: Json, usage: Usage, who: str | None = None) -> tuple[Gauge, ...]:
    """Every limit of `rule`; of one for each of a kind `who` is meant, or whoever used most."""
    if rule["name"] != EACH:
        who = rule["name"]
    return (*_budgets(rule, usage, who), *_rates(rule, usage, who), *_others(rule))


def ruled(asked: Asked, kind: Kind, name: str) -> Iterator[Ruled]:
    """The limits that hold for one scope: its own, or those of each of its kind."""
    filed = {
        (rule.kind, rule.name or EACH): rule for rule in asked.back.settings.configured().rules
    }
    for place in (name, EACH):
        own = filed.get((kind, place))
        rule = stored_rule(asked, kind, place) if own is None else filed_rule(own)
        if rule is not None:
            gauges = gauges_of(rule, Usage(asked), name)
            yield Ruled(kind, name, filed=own is not None, gauges=gauges)
            return


def stored_rule(asked: Asked, kind: str, name: str) -> Json | None:
    """The limits of one name as the admin API has them; None where there are none.

    Raises: `Refusal`, for any other cause.
    """
    try:
        return asked.api("GET", f"/limits/{kind}/{name}")
    except Refusal as refusal:
        if refusal.status == _NOT_FOUND:
            return None
        raise


def _budgets(rule: Json, usage: Usage, who: str | None) -> Iterator[Gauge]:
    for budget in rule["budgets"]:
        label = f"{usd(budget['amount']['nanousd'])} {_PERIODS[budget['period']]}"
        same = [
            each
            for each in usage.budgets(rule["kind"])
            if (each["period"], each["timezone"]) == (budget["period"], budget["timezone"])
            and (each["each"] if who is None else each["name"] == who)
        ]
        for stand in same[:_FULLEST] or [None]:
            yield _budget(label, budget, stand, who)


def _budget(label: str, budget: Json, stand: Json | None, who: str | None) -> Gauge:
    amount = budget["amount"]["nanousd"]
    spent: int | None = stand["spent"]["nanousd"] if stand else 0 if who is None else None
    if stand is None and who is not None:
        spent = 0  # who has spent nothing yet is in no list
    soft = budget["soft_percent"]
    notes = [f"from {soft} % on {budget['downgrade']} is asked"] if budget["downgrade"] else []
    if stand is not None and stand["ends_at"] is not None:
        notes.append(f"begins anew {stand['ends_at'][:16].replace('T', ' ')} UTC")
    part = (spent or 0) / amount if amount else 1.0
    return Gauge(
        label,
        usd(amount),
        usd(spent),
        part,
        stand["name"] if stand is not None and who is None else None,
        soft / 100,
        ", ".join(notes),
    )


def _rates(rule: Json, usage: Usage, who: str | None) -> Iterator[Gauge]:
    for what in ("requests", "tokens"):
        for window, window_s in _WINDOWS.items():
            limit: int | None = rule["limits"].get(f"{what}_per_{window}")
            if limit is None:
                continue
            label = f"{count(limit)} {what} a {window}"
            if rule["kind"] not in _COUNTED:
                yield Gauge(label, count(limit), None, None, None, _SOFT)
                continue
            name, used = _most(usage, rule["kind"], window_s, what, who)
            part = used / limit if limit else 1.0
            whose = name if who is None else None
            yield Gauge(label, count(limit), count(used), part, whose, _SOFT)


def _most(
    usage: Usage, kind: str, window_s: int, what: str, who: str | None
) -> tuple[str | None, int]:
    spent = usage.spent(kind, window_s)
    if who is not None:
        return who, _used(spent.get(who), what)
    others = spent.keys() - usage.named(kind)
    name = max(sorted(others), key=lambda each: _used(spent[each], what), default=None)
    return name, 0 if name is None else _used(spent[name], what)


def _used(spent: Any, what: str) -> int:
    if spent is None:
        return 0
    if what == "requests":
        return spent["requests"]
    return (spent["input_tokens"] or 0) + (spent["output_tokens"] or 0)


def _others(rule: Json) -> Iterator[Gauge]:
    limits = rule["limits"]
    if limits.get("concurrency") is not None:
        words = f"{count(limits['concurrency'])} requests at the same time"
        yield Gauge(words, count(limits["concurrency"]), None, None, None, _SOFT)
    if limits.get("steps") is not None:
        words = f"{count(limits['steps'])} requests in all"
        yield Gauge(words, count(limits["steps"]), None, None, None, _SOFT)


_PERIODS: Final = {"day": "a day", "week": "a week", "month": "a month", "total": "in all"}
