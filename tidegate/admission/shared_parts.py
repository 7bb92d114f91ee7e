"""What each scope is in Redis: its keys, and its limits as the script of admission is told them.

A part is written once, as the bytes that go out, and kept while its rules and periods last; a
request's command is parts put together. All keys share one hash tag, so that they are in one place
whatever Redis they are in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from msgspec import Struct

from tidegate.admission.redis_words import bulk
from tidegate.limits import DAY_S, Balance, Budget, Kind, Limits, Rate, Rule, Scope, span_of

KEPT_MS = 35 * DAY_S * 1000
"""How long holds outlast their end, and balances their period."""
MOST_PARTS = 50_000
_NS_PER_MS = 1_000_000
_NONE = Limits()


class Purse(Struct, frozen=True):
    """A budget of one scope in one period."""

    budget: Budget
    scope: Scope
    spent_key: bytes
    held_key: bytes
    began_ns: int
    ends_ns: int | None

    def lives_ms(self, unix_ns: int) -> int:
        """How long its keys live when they are made at `unix_ns`; 0 is for ever."""
        if self.ends_ns is None:
            return 0
        return max(0, self.ends_ns - unix_ns) // _NS_PER_MS + KEPT_MS


class Part(Struct, frozen=True, eq=False):
    """One scope's share of a command."""

    scope: Scope
    keys: bytes
    key_count: int
    arguments: bytes
    argument_count: int
    limits: Limits
    requests: dict[int, Rate]
    """By the place of the key among this part's, as all these."""
    tokens: dict[int, Rate]
    purses: dict[int, Purse]
    begins_ns: float
    ends_ns: float
    """Between which times of a request's beginning this is so."""
    known: bool
    """Whether Redis has been told what its budgets had spent."""


class Keys:
    """The names of everything that is kept in Redis."""

    def __init__(self, prefix: str) -> None:
        self._tag = b"{%b}:" % prefix.encode()
        self.holds = self._tag + b"hold:"
        self.index = self._tag + b"holds"
        self.unrecorded = self._tag + b"unrecorded"
        self.epoch = self._tag + b"epoch"
        self.known = self._tag + b"known"
        self.probe = self._tag + b"probe"
        self.seeding = self._tag + b"seeding"
        self.common = bulk(self.index) + bulk(self.epoch)

    def hold(self, request_id: str) -> bytes:
        """What a request holds."""
        return self.holds + request_id.encode()

    def mark(self, name: str) -> bytes:
        """That something was charged which was not held."""
        return self._tag + b"told:" + name.encode()

    def of(self, what: str, scope: Scope) -> bytes:
        """What is counted of `scope`."""
        return self._tag + f"{what}:{scope[0]}:{scope[1]}".encode()

    def money(self, scope: Scope, period: str, timezone: str, began_ns: int) -> tuple[bytes, bytes]:
        """What is spent and held in one period."""
        name = f"{period}:{timezone}:{began_ns}"
        return self.of(f"spent:{name}", scope), self.of(f"held:{name}", scope)


def budget_name(kind: str, name: str | None, period: str, timezone: str) -> bytes:
    """What a rule's budget is known by."""
    rule = f"{kind}:{period}:{timezone}"
    return (rule if name is None else f"{rule}:{name}").encode()


class Parts:
    """The parts of all scopes that are asked for, by the rules in force."""

    def __init__(self, rules: Iterable[Rule], keys: Keys) -> None:
        self.keys = keys
        self.known = frozenset[bytes]()
        """The names of budgets that Redis knows."""
        self.budgets = frozenset[bytes]()
        """The names of those that stand."""
        self._made: dict[Scope, Part] = {}
        self._named: dict[Scope, Limits] = {}
        self._unnamed: dict[Kind, Limits] = {}
        self.replace(rules)

    def replace(self, rules: Iterable[Rule]) -> None:
        """Go by `rules` from now on."""
        self._made, self._named, self._unnamed = {}, {}, {}
        for rule in rules:
            if rule.name is None:
                self._unnamed[rule.kind] = rule.limits
            else:
                self._named[rule.kind, rule.name] = rule.limits
        named = ((kind, name, limits) for (kind, name), limits in self._named.items())
        unnamed = ((kind, None, limits) for kind, limits in self._unnamed.items())
        self.budgets = frozenset(
            budget_name(kind, name, budget.period, budget.timezone)
            for kind, name, limits in chain(named, unnamed)
            for budget in limits.budgets
        )

    def learn(self, known: frozenset[bytes]) -> None:
        """Redis knows these budgets, and no others."""
        if known != self.known:
            self.known = known
            self._made = {}

    @property
    def unknown(self) -> frozenset[bytes]:
        """The budgets that stand and that Redis does not know."""
        return self.budgets - self.known

    def limits(self, scope: Scope) -> Limits:
        """What stands on `scope`."""
        limits = self._named.get(scope)
        return self._unnamed.get(scope[0], _NONE) if limits is None else limits

    def cover(self, balance: Balance) -> bytes | None:
        """The name of the unknown budget that `balance` belongs to, if there is one."""
        unknown = self.unknown
        for name in (balance.name, None):
            budget = budget_name(balance.kind, name, balance.period, balance.timezone)
            if budget in unknown:
                return budget
        return None

    def of(self, scopes: Sequence[Scope], unix_ns: int) -> list[Part]:
        """The parts of those of `scopes` that anything stands on."""
        made, parts = self._made, list[Part]()
        for scope in scopes:
            part = made.get(scope)
            if part is None or not part.begins_ns <= unix_ns < part.ends_ns:
                limits = self.limits(scope)
                if limits == _NONE:
                    continue
                part = self._make(scope, limits, unix_ns)
                if len(made) >= MOST_PARTS:
                    del made[next(iter(made))]
                made[scope] = part
            parts.append(part)
        return parts

    def _make(self, scope: Scope, limits: Limits, unix_ns: int) -> Part:
        keys, arguments = list[bytes](), list[bytes]()
        requests, tokens = _lowest(limits.requests), _lowest(limits.tokens)
        requests_at, tokens_at = dict[int, Rate](), dict[int, Rate]()
        purses, begins_ns, ends_ns = dict[int, Purse](), float("-inf"), float("inf")
        if scope[0] == "provider":
            arguments += [b"p", scope[1].encode()]
        for window_s in dict.fromkeys((*requests, *tokens)):
            of_requests, of_tokens = requests.get(window_s), tokens.get(window_s)
            if of_requests:
                requests_at[len(keys)] = of_requests
            if of_tokens:
                tokens_at[len(keys)] = of_tokens
            keys.append(self.keys.of(f"rate:{window_s}", scope))
            arguments += [b"r", b"%d" % window_s, _limit(of_requests), _limit(of_tokens)]
            arguments.append(b"%d" % (2_000 * window_s))
        if limits.concurrency is not None:
            keys.append(self.keys.of("run", scope))
            arguments += [b"c", b"%d" % limits.concurrency]
        if limits.steps is not None:
            keys.append(self.keys.of("steps", scope))
            arguments += [b"s", b"%d" % limits.steps]
        for budget in _strictest(limits.budgets):
            span = span_of(budget, unix_ns)
            money = self.keys.money(scope, budget.period, budget.timezone, span.began_ns)
            purses[len(keys)] = Purse(budget, scope, *money, span.began_ns, span.ends_ns)
            ends_ms = 0
            if span.ends_ns is not None:
                begins_ns, ends_ns = max(begins_ns, span.began_ns), min(ends_ns, span.ends_ns)
                ends_ms = span.ends_ns // _NS_PER_MS
            keys += money
            arguments += [b"b", b"%d" % budget.nanousd, b"%d" % ends_ms]
        if scope[0] == "provider":
            arguments += [b"p", b""]
        return Part(
            scope, b"".join(map(bulk, keys)), len(keys), b"".join(map(bulk, arguments)),
            len(arguments), limits, requests_at, tokens_at, purses, begins_ns, ends_ns,
            all(self._knows(scope, purse.budget) for purse in purses.values()),
        )  # fmt: skip

    def _knows(self, scope: Scope, budget: Budget) -> bool:
        name = scope[1] if scope in self._named else None
        own = budget_name(scope[0], scope[1], budget.period, budget.timezone)
        rule = budget_name(scope[0], name, budget.period, budget.timezone)
        return rule in self.known or own in self.known


def _limit(rate: Rate | None) -> bytes:
    return b"" if rate is None else b"%d" % rate.limit


def _lowest(rates: Iterable[Rate]) -> dict[int, Rate]:
    """By window; of two for one window the lower one stands."""
    lowest: dict[int, Rate] = {}
    for rate in rates:
        before = lowest.get(rate.window_s)
        if before is None or rate.limit < before.limit:
            lowest[rate.window_s] = rate
    return lowest


def _strictest(budgets: Iterable[Budget]) -> list[Budget]:
    """Of two for one period the lower one stands."""
    strictest: dict[tuple[str, str], Budget] = {}
    for budget in budgets:
        key = (budget.period, budget.timezone)
        if key not in strictest or budget.nanousd < strictest[key].nanousd:
            strictest[key] = budget
    return list(strictest.values())
