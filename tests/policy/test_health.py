"""What is known of targets: what counts, what is counted, and what a reload leaves alone."""

import logging

import pytest

from tidegate.errors import (
    BadRequest,
    ConnectTimeout,
    ContentFiltered,
    ContextOverflow,
    DeadlineExceeded,
    Draining,
    FirstTokenTimeout,
    IdleTimeout,
    InternalError,
    TidegateError,
    Unsupported,
    UpstreamCut,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamForbiddenAddress,
    UpstreamMalformed,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamUnreachable,
)
from tidegate.policy.breaker import BreakerSettings, Change
from tidegate.policy.health import Health, HealthSettings, Trial, Wards, counts
from tidegate.policy.hedge import HedgeSettings

DAMNING = [
    UpstreamFailed, UpstreamTimeout, ConnectTimeout, FirstTokenTimeout, IdleTimeout,
    UpstreamUnreachable, UpstreamTls, UpstreamForbiddenAddress, UpstreamProtocol, UpstreamCut,
    UpstreamMalformed, UpstreamDenied, UpstreamRateLimited,
]  # fmt: skip
HARMLESS = [
    UpstreamRefused, ContextOverflow, ContentFiltered, Unsupported, BadRequest, DeadlineExceeded,
    Draining, InternalError,
]  # fmt: skip
SETTINGS = HealthSettings(
    breaker=BreakerSettings(failures=3, cooldown_s=10.0),
    hedge=HedgeSettings(percentile=0.5, min_s=0.0),
)


@pytest.fixture
def health() -> Health:
    return Wards().of("p/m", SETTINGS)


def begun(health: Health, now_s: float = 0.0) -> Trial:
    trial = health.begin(now_s)
    assert trial is not None
    return trial


def fail(health: Health, error: TidegateError, times: int = 3, now_s: float = 0.0) -> None:
    for _ in range(times):
        begun(health, now_s).failed(error, now_s)


@pytest.mark.parametrize("error", DAMNING)
def test_errors_that_speak_of_the_target_open_its_breaker(
    health: Health, error: type[TidegateError]
) -> None:
    fail(health, error("It failed."))
    assert health.begin(0.0) is None
    assert health.failed == 3


@pytest.mark.parametrize("error", HARMLESS)
def test_mistakes_of_one_caller_never_open_it(health: Health, error: type[TidegateError]) -> None:
    fail(health, error("It failed."), 1000)
    assert health.admits(0.0)
    assert health.failed == 0


def test_error_while_another_account_is_free_speaks_of_the_account() -> None:
    error = UpstreamDenied("The key is not accepted.")
    assert counts(error)
    error.spare = True
    assert not counts(error)


def test_callers_who_leave_never_open_it_and_leave_nothing_behind(health: Health) -> None:
    for _ in range(1000):
        begun(health).cancelled()
    assert health.admits(0.0)
    assert health.outstanding == 0


def test_429_with_its_time_opens_for_that_time(health: Health) -> None:
    begun(health).failed(UpstreamRateLimited("Slow down.", retry_after_s=4.0), 1.0)
    assert health.breaker.retry_in_s(1.0) == 4.0


def test_retry_after_of_another_failure_does_not_open(health: Health) -> None:
    begun(health).failed(UpstreamFailed("It answered 503.", retry_after_s=4.0), 1.0)
    assert health.admits(1.0)


def test_first_ending_of_an_attempt_is_the_only_one(health: Health) -> None:
    trial = begun(health)
    other = begun(health)
    trial.failed(UpstreamFailed("It failed."), 0.0)
    trial.failed(UpstreamFailed("It failed."), 0.0)
    trial.answered(0.0)
    trial.succeeded()
    trial.outrun(0.0)
    trial.cancelled()
    assert health.breaker.failures == 1
    assert health.latencies.count == 0
    assert health.outstanding == 1
    other.cancelled()
    assert health.outstanding == 0


def test_answer_that_breaks_after_its_begin_is_a_failure(health: Health) -> None:
    for _ in range(3):
        trial = begun(health)
        trial.answered(0.0)
        trial.failed(UpstreamCut("It was cut."), 0.0)
    assert not health.admits(0.0)
    assert health.breaker.reason == "3 answers in a row were cut"


def test_good_end_clears_the_cut_ones(health: Health) -> None:
    for number in range(8):
        trial = begun(health)
        trial.answered(0.0)
        if number % 2:
            trial.succeeded()
        else:
            trial.failed(UpstreamCut("It was cut."), 0.0)
    assert health.admits(0.0)


def test_probe_closes_with_its_first_content_not_only_with_its_end(health: Health) -> None:
    fail(health, UpstreamFailed("It failed."))
    probe = begun(health, 10.0)
    assert health.begin(10.0) is None
    probe.answered(11.0)
    assert health.breaker.state(11.0) == "closed"
    probe.cancelled()
    assert health.admits(11.0)


def test_probe_that_is_cancelled_or_refused_makes_place(health: Health) -> None:
    fail(health, UpstreamFailed("It failed."))
    begun(health, 10.0).cancelled()
    begun(health, 10.0).failed(UpstreamRefused("Wrong."), 10.0)
    begun(health, 10.0).outrun(10.0)
    assert health.breaker.state(10.0) == "half_open"
    assert health.admits(10.0)


def test_first_tokens_of_streams_set_the_wait_before_a_hedge(health: Health) -> None:
    assert health.hedge_after_s() is None
    for number in range(40):
        trial = begun(health, 0.0)
        trial.answered(float(number))
        begun(health).answered(900.0, whole=True)
    assert health.latencies.count == 40
    assert health.hedge_after_s() == 19.0


def test_a_whole_answer_is_not_measured_by_first_tokens(health: Health) -> None:
    for number in range(40):
        begun(health).answered(float(number))
    assert health.hedge_after_s() is not None
    assert health.hedge_after_s(whole=True) is None
    noted = health.latencies.count
    begun(health).outrun(9.0, whole=True)
    assert health.latencies.count == noted
    health.settings = HealthSettings(hedge=HedgeSettings(after_s=2.0))
    assert health.hedge_after_s(whole=True) == 2.0


def test_attempt_that_was_outrun_keeps_the_percentile_honest(health: Health) -> None:
    for _ in range(30):
        begun(health).answered(1.0)
        begun(health).outrun(5.0)
        begun(health).outrun(5.0)
    assert health.hedge_after_s() == 5.0


def test_budgets_are_paid_by_first_tries_only() -> None:
    health = Wards().of("p/m", HealthSettings(retry_share=1.0, hedge=HedgeSettings(max_share=1.0)))
    while health.retry_budget.allows(0.0):
        health.retry_budget.withdraw(0.0)
    assert health.begin_hedge(0.0) is not None
    assert not health.retry_budget.allows(0.0)
    assert not health.hedge_budget.allows()
    begun(health)
    assert health.hedge_budget.allows()
    assert health.retry_budget.allows(0.0)
    health.retry_budget.withdraw(0.0)
    assert health.begin_again(0.0) is not None
    assert not health.retry_budget.allows(0.0)
    assert (health.calls, health.retries, health.hedges) == (3, 1, 1)


def test_resting_target_is_neither_retried_nor_hedged_to_but_may_be_tried_anyway(
    health: Health,
) -> None:
    fail(health, UpstreamFailed("It failed."))
    assert health.begin_again(1.0) is None
    assert health.begin_hedge(1.0) is None
    assert health.begin(1.0, anyway=True) is not None
    assert (health.retries, health.hedges, health.outstanding) == (0, 0, 1)


def test_breaker_that_is_switched_off_lets_everything_through() -> None:
    health = Wards().of("p/m", HealthSettings(breaker=None))
    fail(health, UpstreamRateLimited("Slow down.", retry_after_s=4.0), 100)
    trial = begun(health)
    trial.answered(0.0)
    trial.succeeded()
    assert health.admits(0.0)
    assert health.hedge_after_s() is None
    assert health.snapshot(0.0).state == "closed"


def test_reload_changes_settings_and_nothing_else() -> None:
    wards = Wards()
    health = wards.of("p/m", SETTINGS)
    under_way = begun(health)
    fail(health, UpstreamFailed("It failed."))
    stricter = HealthSettings(retry_share=0.5, breaker=BreakerSettings(failures=1))
    assert wards.of("p/m", stricter) is health
    assert health.breaker.retry_in_s(0.0) == 10.0
    assert health.retry_budget.share == 0.5
    under_way.cancelled()
    assert health.outstanding == 0
    assert wards.of("p/m", HealthSettings(breaker=None)).admits(0.0)


def test_number_of_targets_is_bounded_and_the_longest_unused_goes() -> None:
    wards = Wards(limit=3)
    for second, name in enumerate(("a", "b", "c", "a", "c"), start=1):
        begun(wards.of(name, SETTINGS), float(second)).cancelled()
    wards.of("d", SETTINGS)
    assert sorted(wards.names()) == ["a", "c", "d"]
    assert wards.get("b") is None


def test_what_rests_or_is_in_use_is_not_forgotten_for_what_is_fine() -> None:
    wards = Wards(limit=3)
    fail(wards.of("resting", SETTINGS), UpstreamFailed("It failed."), now_s=1.0)
    begun(wards.of("in use", SETTINGS), 2.0)
    for number in range(10):
        begun(wards.of(f"fine-{number}", SETTINGS), 3.0 + number).cancelled()
    assert sorted(wards.names()) == ["fine-9", "in use", "resting"]


def test_every_change_is_logged_once_and_told_to_listeners(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tidegate.policy")
    wards, told = Wards(), list[Change]()
    wards.listen(told.append)
    health = wards.of("p/m", SETTINGS)
    fail(health, UpstreamFailed("It failed."))
    begun(health, 10.0).answered(10.0)
    assert [record.message for record in caplog.records] == [
        "a target rests", "a target is probed", "a target is back",
    ]  # fmt: skip
    fields: dict[str, object] = getattr(caplog.records[0], "fields")  # noqa: B009 - not declared
    assert fields == {
        "target": "p/m", "from": "closed", "to": "open", "reason": "3 failures in a row",
        "wait_s": 10.0,
    }  # fmt: skip
    assert [change.new for change in told] == ["open", "half_open", "closed"]


def test_snapshot_tells_all_that_is_known() -> None:
    wards = Wards()
    health, fresh = wards.of("p/m", SETTINGS), wards.of("a/b", SETTINGS)
    for _ in range(20):
        begun(health).answered(0.5)
    fail(health, UpstreamFailed("It failed."), now_s=2.0)
    quiet, busy = wards.snapshot(4.0)
    assert fresh.name == quiet.name
    assert (quiet.state, quiet.since_s, quiet.until_s) == ("closed", None, None)
    assert quiet.first_token_p50_s is None
    assert (busy.state, busy.since_s, busy.until_s, busy.reason) == (
        "open", 2.0, 12.0, "3 failures in a row",
    )  # fmt: skip
    assert (busy.calls, busy.failed, busy.failures, busy.outstanding) == (23, 3, 3, 20)
    assert (busy.first_token_p50_s, busy.first_token_p95_s) == (0.5, 0.5)
    assert busy.retry_in_s(4.0) == 8.0
    assert wards.snapshot(4.5) == (quiet, busy)
    assert wards.snapshot(12.0)[1].state == "half_open"
    assert wards.snapshot(12.0)[1].retry_in_s(12.0) == 0.0
