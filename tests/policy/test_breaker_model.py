"""The breaker against a model that keeps everything and counts by looking at all of it."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tidegate.policy.breaker import Breaker, BreakerSettings, Change

NEVER = -1e9
FOREVER_S = 1e6
"""A window that nothing leaves; that things leave it in time is tested by itself."""


@dataclass(eq=False)
class Attempt:
    """An attempt as the model sees it."""

    ticket: int
    opening: int
    """How many openings there had been when it began."""
    probe_since_s: float | None
    answered: bool = False


@dataclass
class Model:
    """What is known, kept as it happened."""

    limits: BreakerSettings
    state: str = "closed"
    until_s: float = NEVER
    openings: int = 0
    since_s: float = NEVER
    heard: bool = False
    rests_s: list[float] = field(default_factory=list[float])
    """Own verdicts since the last whole window of health."""
    answers: list[str] = field(default_factory=list[str])
    """Since it closed: `ok`, `bad`, `cut`, `end`."""
    probes: list[Attempt] = field(default_factory=list[Attempt])
    probed: int = 0
    deaf_until_s: float = NEVER

    def now(self, now_s: float) -> str:
        return "half_open" if self.state == "open" and now_s >= self.until_s else self.state

    def taken(self, now_s: float) -> bool:
        """Whether every probe's slot is taken."""
        latest_s = max((probe.probe_since_s or 0.0 for probe in self.probes), default=NEVER)
        lost = now_s - latest_s >= self.limits.max_cooldown_s
        return len(self.probes) >= self.limits.probes and not lost

    def admits(self, now_s: float) -> bool:
        state = self.now(now_s)
        if state == "half_open" and self.state == "half_open":
            return not self.taken(now_s)
        return state != "open"

    def open(self, now_s: float, asked_s: float | None, *, heard: bool = False) -> None:
        state = self.now(now_s)
        if state == "closed" and now_s - self.since_s >= self.limits.window_s:
            self.rests_s.clear()
        until_s = asked_s or 0.0
        if asked_s is None:
            rest_s = self.limits.cooldown_s * 2 ** len(self.rests_s)
            self.rests_s.append(rest_s)
            until_s = now_s + min(rest_s, self.limits.max_cooldown_s)
        if state == "open":
            if until_s > self.until_s:
                self.until_s = until_s
                self.heard = self.heard and heard
            return
        self.state, self.until_s, self.since_s, self.heard = "open", until_s, now_s, heard
        self.openings += 1
        self.probes.clear()

    def close(self, now_s: float) -> None:
        if self.heard:
            self.deaf_until_s = now_s + self.limits.max_cooldown_s
        self.state, self.until_s, self.since_s, self.heard = "closed", NEVER, now_s, False
        self.answers.clear()

    def in_a_row(self, bad: str, good: str) -> int:
        count = 0
        for answer in reversed(self.answers):
            if answer == good:
                break
            count += answer == bad
        return count

    def too_bad(self) -> bool:
        bad = self.answers.count("bad") + self.answers.count("cut")
        calls = self.answers.count("bad") + self.answers.count("ok")
        return (
            self.in_a_row("bad", "ok") >= self.limits.failures
            or self.in_a_row("cut", "end") >= self.limits.failures
            or (calls >= self.limits.min_requests and bad >= self.limits.share * calls)
        )


class Agreement(RuleBasedStateMachine):
    """Everything that may happen to a breaker, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.under_way: list[Attempt] = []
        self.changes: list[Change] = []

    @initialize(
        failures=st.integers(1, 4), share=st.sampled_from([0.3, 0.5, 1.0]),
        min_requests=st.integers(1, 12), probes=st.integers(1, 3),
        window_s=st.sampled_from([FOREVER_S, 2 * FOREVER_S]),
    )  # fmt: skip
    def begin(
        self, failures: int, share: float, min_requests: int, probes: int, window_s: float
    ) -> None:
        limits = BreakerSettings(
            failures=failures, share=share, window_s=window_s, min_requests=min_requests,
            cooldown_s=10.0, max_cooldown_s=60.0, probes=probes,
        )  # fmt: skip
        self.breaker = Breaker("p/m", limits, self.changes.append)
        self.model = Model(limits)

    @rule(wait_s=st.sampled_from([0.001, 1.0, 5.0, 10.0, 30.0, 60.0]))
    def wait(self, wait_s: float) -> None:
        self.now_s += wait_s

    @rule(anyway=st.booleans())
    def attempt(self, *, anyway: bool) -> None:
        model, admitted = self.model, self.model.admits(self.now_s)
        assert self.breaker.admits(self.now_s) == admitted
        ticket = self.breaker.admit(self.now_s, anyway=anyway)
        assert bool(ticket) == (admitted or anyway)
        probes = model.now(self.now_s) == "half_open" and admitted
        if probes and model.state == "open":
            model.state, model.since_s, model.probed = "half_open", self.now_s, 0
        if ticket:
            tried = Attempt(ticket, model.openings, self.now_s if probes else None)
            self.under_way.append(tried)
            if probes:
                # Of those that are lost, one makes place.
                del model.probes[model.limits.probes - 1 :]
                model.probes.append(tried)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        tried = data.draw(st.sampled_from(self.under_way))
        if tried.answered:
            return
        tried.answered = True
        self.breaker.succeeded(tried.ticket, self.now_s)
        model = self.model
        if tried.opening != model.openings:
            return
        if model.state == "closed":
            if tried.ticket > 0:
                model.answers.append("ok")
            return
        self.leave(tried)
        model.probed += 1
        if model.heard if model.state == "open" else model.probed >= model.limits.probes:
            model.close(self.now_s)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        tried = self.taken_from(data)
        if not tried.answered:
            self.breaker.cancelled(tried.ticket)
            self.leave(tried)
        else:
            self.breaker.finished(tried.ticket)
            if tried.opening == self.model.openings and tried.ticket > 0:
                self.model.answers.append("end")

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        tried = self.taken_from(data)
        self.breaker.failed(tried.ticket, self.now_s, answered=tried.answered)
        model = self.model
        if tried.opening != model.openings:
            return
        if model.state == "half_open":
            model.open(self.now_s, None)
        elif model.state == "closed":
            model.answers.append("cut" if tried.answered else "bad")
            if model.too_bad():
                model.open(self.now_s, None)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), rest_s=st.sampled_from([0.5, 12.0, 45.0, 900.0]))
    def be_told_to_rest(self, data: st.DataObject, rest_s: float) -> None:
        tried = self.taken_from(data)
        self.breaker.failed(tried.ticket, self.now_s, rest_s=rest_s, answered=tried.answered)
        self.model.open(self.now_s, self.now_s + min(rest_s, 60.0))

    @rule(ahead_s=st.sampled_from([-1.0, 3.0, 25.0, 900.0]))
    def hear(self, ahead_s: float) -> None:
        self.breaker.adopt(self.now_s + ahead_s, "told", self.now_s)
        model = self.model
        if ahead_s > 0 and self.now_s >= model.deaf_until_s and model.state != "half_open":
            model.open(self.now_s, self.now_s + min(ahead_s, 60.0), heard=True)

    @invariant()
    def agree(self) -> None:
        state = self.model.now(self.now_s)
        assert self.breaker.state(self.now_s) == state
        assert self.breaker.openings == self.model.openings
        assert self.breaker.heard == self.model.heard
        if state == "open":
            assert self.breaker.until_s == self.model.until_s
            assert self.breaker.retry_in_s(self.now_s) == self.model.until_s - self.now_s

    @invariant()
    def no_verdict_shortens_an_earlier_one(self) -> None:
        for before, then in zip(self.changes, self.changes[1:], strict=False):
            if (before.new, then.old, then.new) == ("open", "open", "open"):
                assert then.until_s > before.until_s
            if before.new == "open" and then.new == "half_open":
                assert then.now_s >= before.until_s

    @invariant()
    def changes_tell_the_whole_way(self) -> None:
        for before, then in zip(self.changes, self.changes[1:], strict=False):
            slept = before.new == "open" and then.old == "half_open"
            assert then.old == before.new or slept

    def taken_from(self, data: st.DataObject) -> Attempt:
        tried = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(tried)
        return tried

    def leave(self, tried: Attempt) -> None:
        """The slot of `tried` is free, if it had one; of a lost one, it is another's."""
        model = self.model
        if model.state == "half_open" and tried.opening == model.openings and tried.ticket > 0:
            if tried in model.probes:
                model.probes.remove(tried)
            elif model.probes:
                model.probes.pop(0)


class TestAgreement(Agreement.TestCase):
    """Run by pytest."""

    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
