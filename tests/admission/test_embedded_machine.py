"""The embedded engine, held to the contract by the machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from admission_contract import machine

from tidegate.admission.embedded import Embedded
from tidegate.admission.engine import Ask, Spent, Ticket
from tidegate.limits import Balance, Budget, Rule, Scope


class EmbeddedSubject:
    """It needs nothing but a clock."""

    def __init__(self, rules: Iterable[Rule], now_s: float) -> None:
        self.now_s = now_s
        self.engine = Embedded(rules, monotonic=lambda: self.now_s)

    def advance(self, duration_s: float) -> None:
        self.now_s += duration_s

    def admit(self, ask: Ask) -> Ticket:
        return self.engine.admit(ask)

    def extend(self, ticket: Ticket, scopes: Sequence[Scope], tokens: int, nanousd: int) -> None:
        self.engine.extend(ticket, scopes, tokens, nanousd)

    def settle(self, ticket: Ticket, spent: Sequence[Spent]) -> None:
        self.engine.settle(ticket, spent)

    def soft(self, scopes: Iterable[Scope], unix_ns: int) -> Budget | None:
        return self.engine.soft(scopes, unix_ns)

    def restore(self, balances: Iterable[Balance]) -> None:
        self.engine.restore(balances)

    def replace(self, rules: Iterable[Rule]) -> None:
        self.engine.replace(rules)

    def close(self) -> None:
        assert self.engine.running >= 0


TestEmbedded = machine(EmbeddedSubject).TestCase
