"""What every engine of admission must do, whichever way it counts: a machine against a naive model.

Plug an engine in by a `Subject` that makes it, with its time in the test's hands:

    TestEmbedded = machine(EmbeddedSubject).TestCase

The model keeps every request and every charge in lists and sums them up anew for each question.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tidegate.admission.engine import Ask, Left, Spent, Ticket
from tidegate.errors import BudgetReached, LimitReached, LimitsUnavailable, StepsReached
from tidegate.limits import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    Balance,
    Budget,
    Kind,
    Limits,
    Period,
    Rate,
    Rule,
    Scope,
    span_of,
)

NEVER_S = 1e9
NEAR = 1e-6
"""Where a sum of fractions comes so near to a limit, either answer is right."""
START_NS = 1_780_000_000 * 10**9
PROVIDERS = ("p", "q")
SCOPES: tuple[tuple[Scope, ...], ...] = (
    (("organisation", "o"),),
    (("team", "a"), ("team", "b")),
    (("user", "x"), ("user", "y"), ("user", "z")),
    (("conversation", "c"),),
    tuple(("provider", name) for name in PROVIDERS),
)
EARLY: tuple[Scope, ...] = (("team", "a"), ("organisation", "o"), ("provider", "q"))
"""Who may have spent something before the engine began."""
SPANS: tuple[tuple[Period, str], ...] = (
    ("day", "UTC"), ("day", "America/New_York"), ("month", "Europe/Berlin"), ("total", "UTC"),
)  # fmt: skip


class Subject(Protocol):
    """An engine under test and its time. An asynchronous one awaits inside these."""

    def __init__(self, rules: Iterable[Rule], now_s: float) -> None:
        """`now_s` is the time of the clock that rates go by; `restore` has not been called."""
        ...

    def advance(self, duration_s: float) -> None:
        """Let so much time go by."""
        ...

    def admit(self, ask: Ask) -> Ticket: ...

    def extend(
        self, ticket: Ticket, scopes: Sequence[Scope], tokens: int, nanousd: int
    ) -> None: ...

    def settle(self, ticket: Ticket, spent: Sequence[Spent]) -> None: ...

    def soft(self, scopes: Iterable[Scope], unix_ns: int) -> Budget | None: ...

    def restore(self, balances: Iterable[Balance]) -> None: ...

    def replace(self, rules: Iterable[Rule]) -> None: ...

    def close(self) -> None: ...


class Taken:
    """One counting of a request on one scope's rates."""

    def __init__(self, scope: Scope, at_s: float, requests: int, tokens: int) -> None:
        self.scope, self.at_s, self.requests, self.tokens = scope, at_s, requests, tokens


class Open:
    """An admitted request, as the model knows it."""

    def __init__(self, ticket: Ticket, ask: Ask, scopes: Sequence[Scope]) -> None:
        self.ticket, self.ask = ticket, ask
        self.scopes: list[Scope] = list(scopes)
        self.tokens, self.nanousd = ask.tokens, ask.nanousd
        self.taken: list[Taken] = []


class Model:
    """Everything that was ever admitted, and the naive sums over it."""

    def __init__(self, rules: Iterable[Rule], now_s: float) -> None:
        self.rules = list(rules)
        self.now_s = now_s
        self.restored = False
        self.open: list[Open] = []
        self.taken: list[Taken] = []
        self.steps: dict[Scope, int] = {}
        self.charges: list[tuple[Scope, int, int]] = []

    def limits(self, scope: Scope) -> Limits:
        of_kind = [rule for rule in self.rules if rule.kind == scope[0]]
        named = [rule.limits for rule in of_kind if rule.name == scope[1]]
        unnamed = [rule.limits for rule in of_kind if rule.name is None]
        return (*named, *unnamed, Limits())[0]

    def left(self, scope: Scope, what: str, rate: Rate) -> float:
        index = math.floor(self.now_s / rate.window_s)
        windows = {index: 0, index - 1: 0}
        for taken in self.taken:
            window = math.floor(taken.at_s / rate.window_s)
            if taken.scope == scope and window in windows:
                windows[window] += getattr(taken, what)
        share = 1 - (self.now_s / rate.window_s - index)
        return rate.limit - windows[index] - share * windows[index - 1]

    def running(self, scope: Scope) -> int:
        return sum(scope in one.scopes for one in self.open)

    def settled(self, scope: Scope, budget: Budget, unix_ns: int) -> int:
        span = span_of(budget, unix_ns)
        return sum(
            nanousd
            for charged, charged_ns, nanousd in self.charges
            if charged == scope and span_of(budget, charged_ns) == span
        )

    def held(self, scope: Scope, budget: Budget, unix_ns: int) -> int:
        span = span_of(budget, unix_ns)
        return sum(
            one.nanousd
            for one in self.open
            if scope in one.scopes and span_of(budget, one.ask.unix_ns) == span
        )

    def margins(
        self, scopes: Iterable[Scope], tokens: int, nanousd: int, unix_ns: int, *, again: bool
    ) -> list[tuple[str, float]]:
        """Of each limit, its name and how much more than asked for would have gone."""
        found: list[tuple[str, float]] = []
        names = {MINUTE_S: "minute", HOUR_S: "hour", DAY_S: "day"}
        for scope in scopes:
            limits, said = self.limits(scope), " ".join(scope)
            for what, rates, count in (
                ("requests", limits.requests, 0 if again else 1),
                ("tokens", limits.tokens, tokens),
            ):
                found += [
                    (
                        f"{said} {what}_per_{names[rate.window_s]}",
                        self.left(scope, what, rate) - count,
                    )
                    for rate in rates
                    if count
                ]
            if limits.concurrency is not None and not again:
                found.append((f"{said} concurrency", limits.concurrency - self.running(scope) - 1))
            if limits.steps is not None and not again:
                found.append((f"{said} steps", limits.steps - self.steps.get(scope, 0) - 1))
            for budget in limits.budgets if nanousd else ():
                spent = self.settled(scope, budget, unix_ns) + self.held(scope, budget, unix_ns)
                name = "usd_total" if budget.period == "total" else f"usd_per_{budget.period}"
                found.append((f"{said} {name}", budget.nanousd - spent - nanousd))
        return found

    def paid(self, scopes: Iterable[Scope]) -> bool:
        return any(self.limits(scope).budgets for scope in scopes)

    def take(self, one: Open, scopes: Iterable[Scope], tokens: int) -> None:
        for scope in scopes:
            taken = Taken(scope, self.now_s, 1, tokens)
            one.taken.append(taken)
            self.taken.append(taken)
            self.steps[scope] = self.steps.get(scope, 0) + 1

    def settle(self, one: Open, spent: Sequence[Spent]) -> None:
        self.open.remove(one)
        corrected: set[Scope] = set()
        for scope in one.scopes:
            parts = [part for part in spent if scope[0] != "provider" or part.provider == scope[1]]
            self.charges.append((scope, one.ask.unix_ns, sum(part.nanousd for part in parts)))
        for taken in one.taken:
            parts = [
                part
                for part in spent
                if taken.scope[0] != "provider" or part.provider == taken.scope[1]
            ]
            first = taken.scope not in corrected
            corrected.add(taken.scope)
            taken.tokens = sum(part.tokens for part in parts) if first else 0

    def balances(self) -> list[Balance]:
        """What a store would tell: each charge of each scope, by the period of each budget."""
        sums: dict[tuple[Kind, str, Period, str, int], int] = {}
        for scope, unix_ns, nanousd in self.charges:
            for budget in self.limits(scope).budgets:
                began_ns = span_of(budget, unix_ns).began_ns
                key = (*scope, budget.period, budget.timezone, began_ns)
                sums[key] = sums.get(key, 0) + nanousd
        return [Balance(*key, nanousd) for key, nanousd in sums.items()]


WINDOWS = (MINUTE_S, HOUR_S)
"""Always the same ones: a window that comes and goes is another limit each time."""
WIDE = st.just(10_000)
"""Most limits are out of the way, so that each of them comes to be the one that is reached."""
NUMBERS = st.tuples(
    st.tuples(WIDE | WIDE | st.integers(2, 12), WIDE | WIDE | st.integers(10, 40)),
    st.tuples(WIDE | WIDE | st.integers(40, 200), WIDE | WIDE | st.integers(100, 600)),
    st.sampled_from((None, None, None, 1, 2, 5)),
    st.tuples(st.integers(40, 150), st.integers(40, 150)),
    st.sampled_from((None, None, None, 3, 20)),
    st.sampled_from((None, "cheap")),
)
"""Small enough to be reached within forty steps, and large enough not to be reached at once."""
SETTINGS = st.lists(NUMBERS, min_size=7, max_size=7)


def limits_of(kind: Kind, spans: Sequence[tuple[Period, str]], numbers: Any) -> Limits:
    requests, tokens, concurrency, money, steps, downgrade = numbers
    return Limits(
        requests=tuple(map(Rate, requests, WINDOWS)),
        tokens=tuple(map(Rate, tokens, WINDOWS)),
        concurrency=concurrency,
        budgets=tuple(
            Budget(nanousd, period, zone, 0.8, downgrade)
            for nanousd, (period, zone) in zip(money, spans, strict=False)
        ),
        steps=steps if kind == "conversation" else None,
    )


Shape = dict[tuple[Kind, str | None], Sequence[tuple[Period, str]]]
"""For which scopes there are rules, and which budgets these have: what changes more rarely."""


RULED: tuple[tuple[Kind, str | None], ...] = (
    ("organisation", None), ("team", None), ("team", "a"), ("conversation", None),
    ("provider", None), ("provider", "q"), ("user", None),
)  # fmt: skip
SOME_SPANS = st.lists(
    st.sampled_from(SPANS), unique_by=lambda span: span[0], min_size=1, max_size=2
)
SHAPES = st.fixed_dictionaries({}, optional=dict.fromkeys(RULED[:-1], SOME_SPANS))


def rules_of(shape: Shape, settings: Sequence[Any]) -> list[Rule]:
    return [
        Rule(kind, limits_of(kind, spans, numbers), name)
        for ((kind, name), spans), numbers in zip(shape.items(), settings, strict=False)
    ]


class Machine(RuleBasedStateMachine):
    """Every interleaving of requests, rules, time and periods; the model knows the answer."""

    make: type[Subject]
    """What is under test."""
    reshapes = True
    """Whether budgets may come and go while it runs."""

    @initialize(
        numbers=SETTINGS,
        shape=SHAPES,
        users=st.booleans(),
        early=st.booleans(),
        known=st.sampled_from((True, True, True, False)),
    )
    def begin(
        self, numbers: list[Any], shape: Shape, users: bool, early: bool, known: bool
    ) -> None:
        self.shape: Shape = {**shape, ("user", None): ()} if users else shape
        self.number = 0
        self.wall_ns = self.latest_ns = START_NS
        rules = rules_of(self.shape, numbers)
        self.model = Model(rules, START_NS / 1e9)
        self.subject = self.make(rules, START_NS / 1e9)
        self.strict = True
        """Whether nobody has spent more than was held, and no limit was lowered."""
        for scope in EARLY if early else ():
            self.model.charges.append((scope, START_NS - 10**9, 20))
        if known:
            self.restore()

    @precondition(lambda self: not self.model.restored)
    @rule()
    def restore(self) -> None:
        self.subject.restore(self.model.balances())
        self.model.restored = True

    @precondition(lambda self: self.model.restored)
    @rule()
    def restore_again(self) -> None:
        self.subject.restore([Balance("team", "a", *span, 0, 1_000) for span in SPANS])

    @rule(
        data=st.data(),
        tokens=st.integers(0, 40),
        nanousd=st.sampled_from((0, 1, 7, 20, 40)),
        earlier_s=st.sampled_from((0, 0, 0, 30)),
        times=st.integers(1, 5),
    )
    def admit(
        self, data: st.DataObject, tokens: int, nanousd: int, earlier_s: int, times: int
    ) -> None:
        scopes = tuple(
            scope
            for names in SCOPES
            for scope in (data.draw(st.sampled_from((*names, *names, None))),)
            if scope is not None
        )
        for _ in range(times):
            self.admit_one(scopes, tokens, nanousd, earlier_s)

    def admit_one(
        self, scopes: tuple[Scope, ...], tokens: int, nanousd: int, earlier_s: int
    ) -> None:
        self.number += 1
        ask = Ask(
            f"r{self.number}", scopes, tokens, nanousd, self.wall_ns - earlier_s * 10**9, NEVER_S
        )
        margins = self.model.margins(scopes, tokens, nanousd, ask.unix_ns, again=False)
        left = {what: self.tightest(scopes, what) for what in ("requests", "tokens")}
        try:
            ticket = self.subject.admit(ask)
        except (LimitReached, LimitsUnavailable) as error:
            self.check_refusal(error, scopes, margins)
            return
        self.check_admitted(scopes, margins)
        one = Open(ticket, ask, scopes)
        self.model.take(one, scopes, tokens)
        self.model.open.append(one)
        assert ticket.held_nanousd == (nanousd if self.model.paid(scopes) else 0)
        check_left(ticket.requests, left["requests"], 1)
        check_left(ticket.tokens, left["tokens"], tokens)

    @precondition(lambda self: self.model.open)
    @rule(
        data=st.data(),
        tokens=st.sampled_from((0, 0, 5, 40)),
        nanousd=st.sampled_from((0, 0, 5, 40)),
        provider=st.sampled_from((*PROVIDERS, None)),
    )
    def extend(self, data: st.DataObject, tokens: int, nanousd: int, provider: str | None) -> None:
        one = data.draw(st.sampled_from(self.model.open))
        named: list[Scope] = [] if provider is None else [("provider", provider)]
        further = [scope for scope in named if scope not in one.scopes]
        margins = self.model.margins(one.scopes, tokens, nanousd, one.ask.unix_ns, again=True)
        margins += self.model.margins(
            further, one.tokens + tokens, one.nanousd + nanousd, one.ask.unix_ns, again=False
        )
        try:
            self.subject.extend(one.ticket, named, tokens, nanousd)
        except (LimitReached, LimitsUnavailable) as error:
            self.check_refusal(error, [*one.scopes, *further], margins)
            return
        self.check_admitted(further, margins)
        if tokens:
            for scope in one.scopes:
                more = Taken(scope, self.model.now_s, 0, tokens)
                one.taken.append(more)
                self.model.taken.append(more)
        one.tokens += tokens
        one.nanousd += nanousd
        self.model.take(one, further, one.tokens)
        one.scopes += further
        assert one.ticket.held_nanousd == (one.nanousd if self.model.paid(one.scopes) else 0)

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), twice=st.booleans(), over=st.sampled_from((0, 0, 0, 0, 0, 7)))
    def settle(self, data: st.DataObject, twice: bool, over: int) -> None:
        one = data.draw(st.sampled_from(self.model.open))
        providers = [name for kind, name in one.scopes if kind == "provider"] or ["p"]
        cuts = data.draw(st.integers(0, one.nanousd))
        parts = [cuts] if len(providers) == 1 else [cuts, one.nanousd - cuts]
        spent = [
            Spent(name, data.draw(st.integers(0, 2 * one.tokens)), nanousd + over)
            for name, nanousd in zip(providers, parts, strict=True)
        ]
        self.strict = self.strict and not over
        self.subject.settle(one.ticket, spent)
        if twice:
            self.subject.settle(one.ticket, spent)
        self.model.settle(one, spent)

    @rule(duration_s=st.sampled_from((0.25, 7.0, 30.0, 59.75, 121.0, 3_000.0, 20_000.0, 86_400.0)))
    def time_goes_on(self, duration_s: float) -> None:
        self.subject.advance(duration_s)
        self.model.now_s += duration_s
        self.wall_ns += int(duration_s * 1e9)
        self.latest_ns = max(self.latest_ns, self.wall_ns)

    @rule(back_s=st.sampled_from((0, 60, 5_000, 80_000)))
    def wall_clock_is_set(self, back_s: int) -> None:
        self.wall_ns = self.latest_ns - back_s * 10**9

    @rule(numbers=SETTINGS)
    def limits_change(self, numbers: list[Any]) -> None:
        self.strict = False
        self.model.rules = rules_of(self.shape, numbers)
        self.subject.replace(self.model.rules)

    @precondition(lambda self: self.reshapes and not self.model.open)
    @rule(numbers=SETTINGS, shape=SHAPES)
    def budgets_come_and_go(self, numbers: list[Any], shape: Shape) -> None:
        """Rates stay, since one that was away for a while begins anew."""
        self.strict = False
        self.shape = {scope: shape.get(scope, ()) for scope in self.shape}
        self.model.rules = rules_of(self.shape, numbers)
        self.subject.replace(self.model.rules)
        self.subject.restore(self.model.balances())
        self.model.restored = True

    @invariant()
    def nothing_is_above_its_cap(self) -> None:
        if not getattr(self, "strict", False):
            return
        for names in SCOPES:
            for scope in names:
                limits = self.model.limits(scope)
                if limits.concurrency is not None:
                    assert self.model.running(scope) <= limits.concurrency
                for budget in limits.budgets:
                    before = 20 if self.model.charges else 0
                    spent = self.model.settled(scope, budget, self.wall_ns)
                    held = self.model.held(scope, budget, self.wall_ns)
                    assert spent + held <= max(budget.nanousd, before)

    @invariant()
    def soft_caps_are_told(self) -> None:
        if not getattr(self, "model", None) or not self.model.restored:
            return
        for names in SCOPES:
            for scope in names:
                spent = [
                    budget
                    for budget in self.model.limits(scope).budgets
                    if budget.downgrade is not None
                    and self.model.settled(scope, budget, self.wall_ns)
                    >= budget.soft * budget.nanousd
                ]
                told = self.subject.soft([scope], self.wall_ns)
                assert told in spent if spent else told is None

    def teardown(self) -> None:
        if hasattr(self, "subject"):
            self.subject.close()

    def tightest(self, scopes: Iterable[Scope], what: str) -> float | None:
        lefts = [
            self.model.left(scope, what, rate)
            for scope in scopes
            for rate in getattr(self.model.limits(scope), what)
        ]
        return min(lefts, default=None)

    def check_admitted(self, scopes: Iterable[Scope], margins: list[tuple[str, float]]) -> None:
        assert all(margin > -NEAR for _, margin in margins), margins
        assert self.model.restored or not self.model.paid(scopes)

    def check_refusal(
        self,
        error: LimitReached | LimitsUnavailable,
        scopes: Iterable[Scope],
        margins: list[tuple[str, float]],
    ) -> None:
        """It was right to refuse, and named a limit that is reached."""
        if isinstance(error, LimitsUnavailable):
            assert not self.model.restored
            assert self.model.paid(scopes)
            return
        reached = [name for name, margin in margins if margin < NEAR]
        assert error.limit in reached
        assert isinstance(error, StepsReached) == error.limit.endswith(" steps")
        assert isinstance(error, BudgetReached) == (" usd_" in error.limit)


def check_left(told: Left | None, before: float | None, taken: int) -> None:
    """A ticket tells what is left of the tightest limit."""
    if before is None:
        assert told is None
        return
    assert told is not None
    assert before - taken - 1 - NEAR <= told.remaining <= max(before - taken, 0) + NEAR
    assert told.reset_s >= 0


def machine(subject: type[Subject], *, examples: int = 100, reshapes: bool = True) -> type[Any]:
    """The machine over `subject`; its `TestCase` is what pytest runs."""
    made = type(f"{subject.__name__}Machine", (Machine,), {"make": subject, "reshapes": reshapes})
    case: Any = made
    case.TestCase.settings = settings(
        max_examples=examples,
        phases=(Phase.generate,),  # an example of forty steps takes longer to shrink than to read
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
    )
    return made
