"""What follows a failed try, and how many tries an outage may cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import (
    ConnectTimeout,
    ContentFiltered,
    ContextOverflow,
    DeadlineExceeded,
    FirstTokenTimeout,
    IdleTimeout,
    Unsupported,
    UpstreamCut,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTls,
    UpstreamUnreachable,
)
from tidegate.policy.retry import (
    SAVED,
    Again,
    Elsewhere,
    RetryBudget,
    RetrySettings,
    Step,
    Stop,
    next_step,
    pause_s,
)

SETTINGS = RetrySettings(attempts=3, base_s=0.2, cap_s=5.0, patience_s=30.0)
RETRYABLE = [
    UpstreamFailed, UpstreamRateLimited, UpstreamMalformed, UpstreamUnreachable, UpstreamProtocol,
    UpstreamCut,
]  # fmt: skip
TIMEOUTS = [ConnectTimeout, FirstTokenTimeout, IdleTimeout]
MISTAKES = [UpstreamRefused, ContextOverflow, ContentFiltered]
ELSEWHERE_ONLY = [UpstreamDenied, UpstreamTls, Unsupported]
EVERY = [*RETRYABLE, *TIMEOUTS, *MISTAKES, *ELSEWHERE_ONLY, DeadlineExceeded]

shares = st.floats(0.0, 1.0, exclude_max=True)
seconds = st.floats(0.0, 1e6)


def after(
    error: type[UpstreamError],
    tries: int = 1,
    *,
    spare: bool = False,
    retry_after_s: float | None = None,
    others_left: bool = True,
    now_s: float = 1000.0,
    deadline_s: float = 1300.0,
    draw: float = 0.5,
    budget_allows: bool = True,
) -> Step:
    failed = error("It failed.", retry_after_s=retry_after_s)
    failed.spare = spare
    return next_step(
        failed, tries, SETTINGS, others_left=others_left, now_s=now_s, deadline_s=deadline_s,
        draw=draw, budget_allows=budget_allows,
    )  # fmt: skip


def kind(step: Step) -> str:
    return type(step).__name__


@pytest.mark.parametrize("others_left", [True, False])
@pytest.mark.parametrize("error", RETRYABLE)
def test_what_may_pass_is_tried_again_after_a_pause(
    error: type[UpstreamError], *, others_left: bool
) -> None:
    assert after(error, others_left=others_left) == Again(0.1)
    assert after(error, 2, others_left=others_left) == Again(0.2)


@pytest.mark.parametrize("spare", [True, False])
@pytest.mark.parametrize("others_left", [True, False])
@pytest.mark.parametrize("error", [*MISTAKES, DeadlineExceeded])
def test_a_callers_mistake_and_the_deadline_are_the_end(
    error: type[UpstreamError], *, others_left: bool, spare: bool
) -> None:
    assert kind(after(error, others_left=others_left, spare=spare)) == "Stop"


@pytest.mark.parametrize("error", ELSEWHERE_ONLY)
def test_what_would_fail_again_goes_elsewhere_or_stops(error: type[UpstreamError]) -> None:
    assert kind(after(error)) == "Elsewhere"
    assert kind(after(error, others_left=False)) == "Stop"


@pytest.mark.parametrize("error", TIMEOUTS)
def test_a_wait_is_not_repeated_while_others_are_left(error: type[UpstreamError]) -> None:
    assert after(error) == Elsewhere("it was too slow")
    assert after(error, others_left=False) == Again(0.1)


def test_free_account_is_tried_at_once_and_still_counted() -> None:
    for error in (UpstreamDenied, UpstreamRateLimited, UpstreamFailed):
        assert after(error, spare=True, retry_after_s=60.0) == Again(0.0)
        assert kind(after(error, 3, spare=True)) == "Elsewhere"
        assert kind(after(error, spare=True, budget_allows=False)) == "Elsewhere"


def test_free_replica_is_tried_when_one_could_not_be_connected_but_no_second_wait_is_made() -> None:
    assert after(ConnectTimeout, spare=True) == Again(0.0)
    assert kind(after(FirstTokenTimeout, spare=True)) == "Elsewhere"
    assert after(FirstTokenTimeout, spare=True, others_left=False) == Again(0.0)


@pytest.mark.parametrize("error", [UpstreamRateLimited, UpstreamFailed])
def test_retry_after_is_obeyed_within_bounds(error: type[UpstreamError]) -> None:
    step = after(error, retry_after_s=4.0, draw=0.0)
    assert step == Again(4.0)
    assert after(error, retry_after_s=4.0, draw=0.5) == Again(4.1)
    assert kind(after(error, retry_after_s=6.0)) == "Elsewhere"
    assert after(error, retry_after_s=6.0, others_left=False, draw=0.0) == Again(6.0)
    assert kind(after(error, retry_after_s=31.0, others_left=False)) == "Stop"
    assert after(error, retry_after_s=-5.0, draw=0.0) == Again(0.0)


def test_retry_after_that_outlives_the_deadline_goes_elsewhere_or_stops() -> None:
    assert kind(after(UpstreamRateLimited, retry_after_s=4.0, deadline_s=1003.0)) == "Elsewhere"
    step = after(UpstreamRateLimited, retry_after_s=4.0, deadline_s=1003.0, others_left=False)
    assert step == Stop("the pause would outlive the deadline")


def test_attempts_and_budget_bound_the_tries() -> None:
    assert kind(after(UpstreamFailed, 3)) == "Elsewhere"
    assert kind(after(UpstreamFailed, 3, others_left=False)) == "Stop"
    assert kind(after(UpstreamFailed, budget_allows=False)) == "Elsewhere"
    assert kind(after(UpstreamFailed, budget_allows=False, others_left=False)) == "Stop"


def test_nothing_follows_the_deadline() -> None:
    assert after(UpstreamFailed, now_s=5.0, deadline_s=5.0) == Stop("the deadline has passed")


@given(
    error=st.sampled_from(EVERY), tries=st.integers(1, 5), spare=st.booleans(),
    retry_after_s=st.none() | st.floats(), others_left=st.booleans(), now_s=seconds,
    left_s=st.floats(-10.0, 100.0), draw=shares, budget_allows=st.booleans(),
)  # fmt: skip
def test_no_step_breaks_a_promise(
    *, error: type[UpstreamError], tries: int, retry_after_s: float | None, now_s: float,
    left_s: float, draw: float, spare: bool, others_left: bool, budget_allows: bool,
) -> None:  # fmt: skip
    deadline_s = now_s + left_s
    step = after(
        error, tries, spare=spare, retry_after_s=retry_after_s, others_left=others_left,
        now_s=now_s, deadline_s=deadline_s, draw=draw, budget_allows=budget_allows,
    )  # fmt: skip
    if now_s >= deadline_s:
        assert isinstance(step, Stop)
    if isinstance(step, Again):
        assert budget_allows
        assert tries < SETTINGS.attempts
        assert step.pause_s >= 0.0
        assert now_s + step.pause_s < deadline_s
        assert error.retryable or spare
        if retry_after_s is not None and not spare:
            assert step.pause_s >= retry_after_s
            assert retry_after_s <= SETTINGS.patience_s
    if isinstance(step, Elsewhere):
        assert others_left
        assert error.elsewhere


@given(tries=st.integers(1, 10_000), draw=shares)
def test_pause_is_full_jitter_below_a_doubling_bound(tries: int, draw: float) -> None:
    bound_s = min(5.0, 0.2 * 2.0 ** min(tries - 1, 100))
    assert pause_s(SETTINGS, tries, draw) == pytest.approx(draw * bound_s)
    assert pause_s(SETTINGS, tries, 0.0) == 0.0


def test_outage_costs_at_most_the_share_and_what_was_saved() -> None:
    budget, retries, now_s = RetryBudget(0.1), 0, 50.0
    for _ in range(10_000):  # 200 requests a second, each wants two retries
        now_s += 0.005
        budget.deposit()
        for _ in range(2):
            if budget.allows(now_s):
                budget.withdraw(now_s)
                retries += 1
    assert 1000 <= retries <= 1000 + 10 + 5  # the share, what was saved, what time brought


def test_target_with_few_requests_is_retried_too() -> None:
    budget = RetryBudget(0.1)
    for minute in range(10):
        budget.deposit()
        assert budget.allows(60.0 * minute)
        budget.withdraw(60.0 * minute)


def test_no_share_and_no_reserve_is_no_retry() -> None:
    budget = RetryBudget(0.0, reserve=0.0, per_s=0.0)
    for second in range(100):
        budget.deposit()
        assert not budget.allows(float(second))


@given(
    share=st.floats(0.0, 1.0), reserve=st.floats(0.0, 20.0), per_s=st.floats(0.0, 2.0),
    steps=st.lists(st.tuples(st.floats(0.0, 5.0), st.booleans()), max_size=200),
)  # fmt: skip
def test_retries_stay_within_the_budget_over_any_stretch(
    share: float, reserve: float, per_s: float, steps: list[tuple[float, bool]]
) -> None:
    budget, now_s = RetryBudget(share, reserve=reserve, per_s=per_s), 7.0
    history: list[tuple[float, int, int]] = []
    for wait_s, first in steps:
        now_s += wait_s
        if first:
            budget.deposit()
            history.append((now_s, 1, 0))
        elif budget.allows(now_s):
            budget.withdraw(now_s)
            history.append((now_s, 0, 1))
    for begin in range(len(history)):
        stretch = history[begin:]
        retries = sum(each[2] for each in stretch)
        firsts = sum(each[1] for each in stretch)
        saved = SAVED if begin else min(SAVED, reserve)
        passed_s = stretch[-1][0] - (stretch[0][0] if begin else 7.0)
        assert retries <= saved + share * (firsts + 1) + per_s * passed_s + 1e-6
