"""What scopes have spent in the present periods of their budgets, and what is still held.

A request counts for the period that it began in. Sums are kept by quarters of an hour, and every
time zone there is keeps its midnights on one; a zone that did not would be counted from up to a
quarter before its midnight on: never too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tidegate.limits import KINDS, Balance, Budget, Kind, Limits, OpenHold, Owed, Rule, span_of
from tidegate.store.held import Held, HeldStore
from tidegate.store.records import RecordStore
from tidegate.telemetry.record import decode

MOST_HOLDS: Final = 50_000


class Stand(NamedTuple):
    """What one scope has spent of one budget in the present period."""

    rule: Rule
    name: str
    budget: Budget
    began_ns: int
    spent_nanousd: int


def stands(held: HeldStore, rules: Iterable[Rule], now_ns: int) -> Iterator[Stand]:
    """How each budget of `rules` stands; one without a name is theirs whom no other rule names.

    Raises: `SQLAlchemyError`, `ZoneInfoNotFoundError`.
    """
    rules = list(rules)
    named = {(rule.kind, rule.name) for rule in rules}
    for rule in rules:
        for budget in rule.limits.budgets:
            began_ns = span_of(budget, now_ns).began_ns
            spent = held.charged(rule.kind, rule.name, began_ns)
            if rule.name is not None:
                spent = {rule.name: spent.get(rule.name, 0)}
            for name, nanousd in spent.items():
                if rule.name is not None or (rule.kind, name) not in named:
                    yield Stand(rule, name, budget, began_ns, nanousd)


def balances(store: RecordStore, rules: Iterable[Rule], now_ns: int) -> list[Balance]:
    """Of each budget of `rules`, everybody who has spent anything, lost requests included.

    What holds may still cost is in none of them: load the spool and settle the lost first.
    Raises: `SQLAlchemyError`, `ZoneInfoNotFoundError`.
    """
    return owed(store, rules, now_ns).balances


def owed(store: RecordStore, rules: Iterable[Rule], now_ns: int) -> Owed:
    """As `balances`, and the requests that hold something of these budgets: of one moment."""
    rules = list(rules)
    budgets = [(rule, budget) for rule in rules for budget in rule.limits.budgets]
    wanted = [(rule.kind, rule.name, span_of(budget, now_ns).began_ns) for rule, budget in budgets]
    spent, held = store.held.owed(wanted, MOST_HOLDS)
    found: dict[tuple[str, str, str, str], Balance] = {}
    for (rule, budget), (_, _, began_ns), by_name in zip(budgets, wanted, spent, strict=True):
        for name, nanousd in by_name.items():
            period, zone = budget.period, budget.timezone
            balance = Balance(rule.kind, name, period, zone, began_ns, nanousd)
            found[rule.kind, name, period, zone] = balance
    return Owed(list(found.values()), _holds(held, rules))


def _holds(held: Sequence[Held], rules: Sequence[Rule]) -> list[OpenHold]:
    limits: Mapping[tuple[Kind, str | None], Limits] = {
        (rule.kind, rule.name): rule.limits for rule in rules
    }
    found = (_hold(each, limits) for each in held)
    return [each for each in found if each.holds]


def _hold(held: Held, limits: Mapping[tuple[Kind, str | None], Limits]) -> OpenHold:
    record = decode(held.payload)
    holds: list[Balance] = []
    for kind in KINDS:
        name: str | None = getattr(record, kind)
        if name is None:
            continue
        on = limits.get((kind, name)) or limits.get((kind, None)) or Limits()
        holds += (
            Balance(
                kind, name, budget.period, budget.timezone,
                span_of(budget, record.started_ns).began_ns, held.held_nanousd,
            )
            for budget in on.budgets
        )  # fmt: skip
    until_s = record.started_ns / 1e9 + record.expires_ms / 1e3
    return OpenHold(record.request_id, until_s, tuple(holds))
