"""How many at once: each decision, and where it settles on a target of known capacity."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tide_tank import Asked, Target, World, percentile

from tidegate.errors import UpstreamFailed
from tidegate.policy.slots.lane import Lane, LaneSettings, Slot
from tidegate.policy.slots.limit import (
    Limit,
    LimitSettings,
    Seen,
    after_refusal,
    after_window,
    first_limit,
)

SETTINGS = LimitSettings()


def test_limit_begins_where_it_holds_nobody_back() -> None:
    assert first_limit(SETTINGS).limit == SETTINGS.most
    assert first_limit(LimitSettings(first=1)).limit == SETTINGS.least


def test_crowded_target_gets_fewer_by_what_waits_inside_it() -> None:
    state = Limit(100.0, best_s=0.4)
    after = after_window(SETTINGS, state, Seen(60, 0.9, 60.0, held_s=4.0), 9.0)
    assert after.good == 60 * (1 - 0.5 / 4.0)
    assert after.limit == after.good / 2
    assert (after.since_s, after.best_s) == (9.0, 0.4)
    again = after_window(SETTINGS, after, Seen(50, 0.4, 45.0, held_s=4.0), 10.0)
    assert again.limit == after.good
    crowded = after_window(SETTINGS, again, Seen(60, 0.9, 50.0, held_s=4.0), 11.0)
    assert crowded.limit == pytest.approx(0.9 * crowded.good)


def test_slack_is_a_small_part_of_what_an_answer_takes() -> None:
    state = Limit(100.0, best_s=0.08)
    slow = after_window(SETTINGS, state, Seen(60, 0.21, 60.0, held_s=4.0), 9.0)
    assert slow.limit > state.limit
    fast = after_window(SETTINGS, state, Seen(60, 0.21, 60.0, held_s=0.5), 9.0)
    assert fast.limit < state.limit


def test_what_our_own_loop_was_late_by_is_not_the_targets() -> None:
    state = Limit(100.0, best_s=0.03)
    seen = Seen(60, 0.08, 60.0, held_s=0.2)
    assert after_window(SETTINGS, state, seen, 9.0).limit < state.limit
    ours = structs.replace(seen, lag_s=0.05)
    assert after_window(SETTINGS, state, ours, 9.0).limit > state.limit


def test_unused_limit_does_not_grow() -> None:
    state = Limit(100.0, best_s=0.4)
    assert after_window(SETTINGS, state, Seen(49, 0.4, 40.0, 4.0), 9.0).limit == 100.0
    assert after_window(SETTINGS, state, Seen(50, 0.4, 40.0, 4.0), 9.0).limit == 100.625


def test_decrease_that_does_not_help_is_taken_back() -> None:
    state = Limit(200.0, best_s=0.3)
    for beside in (100.0, 80.0, 64.0, 52.0):  # three times as slow, however few
        state = after_window(SETTINGS, state, Seen(int(beside), 0.9, beside, 0.9), 1.0)
    assert state.limit == 200.0
    assert state.best_s == 0.9


def test_target_that_is_slow_for_the_fewest_is_not_given_fewer() -> None:
    state = Limit(50.0, best_s=0.3)
    after = after_window(SETTINGS, state, Seen(4, 3.0, 4.0, 3.0), 1.0)
    assert (after.limit, after.best_s) == (50.0, 3.0)


def test_refusals_of_one_round_trip_count_once() -> None:
    state = after_refusal(SETTINGS, Limit(100.0), 1.0, 60, 2.0)
    assert state.limit == 54.0
    assert after_refusal(SETTINGS, state, 1.5, 60, 2.5) is state


def test_refusals_that_go_on_for_the_fewest_were_not_for_their_number() -> None:
    state = Limit(100.0)
    for number in range(10):
        state = after_refusal(SETTINGS, state, float(number), 60 - 5 * number, float(number))
    assert state.limit < 20.0
    back = after_refusal(SETTINGS, state, 20.0, 4, 20.0)
    assert (back.limit, back.before) == (100.0, 0.0)
    assert after_refusal(SETTINGS, back, 21.0, 1, 21.0) is back


def test_limit_that_grew_by_itself_is_not_given_back() -> None:
    state = after_refusal(SETTINGS, Limit(100.0, best_s=0.4), 1.0, 60, 1.0)
    assert state.before == 100.0
    grown = after_window(SETTINGS, state, Seen(50, 0.4, 45.0, held_s=4.0), 2.0)
    assert grown.before == 0.0
    assert after_refusal(SETTINGS, grown, 3.0, 1, 3.0) is grown


@pytest.mark.parametrize("probed", [True, False])
def test_target_that_is_back_after_an_outage_gets_its_whole_load_at_once(*, probed: bool) -> None:
    lane, now_s = Lane("a", LaneSettings()), 0.0
    down = UpstreamFailed("The provider answered with status 503.")
    down.answered = 503
    for _ in range(20):
        slots = [lane.take("team", "u", now_s) for _ in range(40)]
        for slot in slots:
            now_s += 0.001
            assert isinstance(slot, Slot)
            slot.failed(down, now_s)
        if (lane.snapshot().limit or 0) < 40:
            break
    assert (lane.snapshot().limit or 0) < 40
    probe = lane.take("team", "u", now_s + 5.0)  # the breaker lets one through
    assert isinstance(probe, Slot)
    if probed:
        probe.answered(now_s + 5.2)
        probe.succeeded(now_s + 5.2)
    else:
        probe.failed(down, now_s + 5.2)
    assert lane.snapshot().limit == SETTINGS.most


windows = st.builds(
    Seen,
    used=st.integers(0, 5000),
    median_s=st.none() | st.floats(0.0, 600.0),
    beside=st.floats(1.0, 5000.0),
    held_s=st.floats(0.0, 600.0),
)


@given(seen=st.lists(windows | st.integers(0, 2000), max_size=40))
def test_limit_stays_within_its_bounds(seen: list[Seen | int]) -> None:
    state = first_limit(SETTINGS)
    for number, each in enumerate(seen):
        now_s = float(number)
        if isinstance(each, int):
            state = after_refusal(SETTINGS, state, now_s, each, now_s)
        else:
            state = after_window(SETTINGS, state, each, now_s)
        assert SETTINGS.least <= state.limit <= SETTINGS.most


def played(
    target: Target,
    lane: Lane,
    rates: dict[str, float],
    seconds: float,
    *,
    patience_s: float = 60.0,
    owners: bool = False,
) -> list[Asked]:
    """All that was asked when each user asks at its rate."""
    world, asked = target.world, list[Asked]()

    def come(user: str) -> None:
        owner = user if owners else "team"
        asked.append(Asked(world, lane, target, user, patience_s, owner=owner))
        asked[-1].come()

    for number, (user, rate) in enumerate(rates.items()):
        draw = random.Random(number)
        world.every(
            lambda draw=draw, rate=rate: draw.expovariate(rate),
            lambda user=user: come(user),
            seconds,
        )
    world.every(lambda: 0.05, lambda: lane.sweep(world.now_s), seconds + 30)
    world.run()
    return asked


@pytest.mark.parametrize(("places", "load"), [(50, 2.0), (10, 5.0)])
def test_limit_settles_where_the_target_is_busy_and_not_crowded(places: int, load: float) -> None:
    target = Target(World(), places, first_s=0.4, rest_s=3.6)
    lane = Lane("a", LaneSettings())
    limits: list[int] = []
    target.world.every(lambda: 1.0, lambda: limits.append(lane.snapshot().limit or 0), 200.0)
    asked = played(target, lane, {f"{n}": load * target.per_s / 5 for n in range(5)}, 200.0)
    good = sum(each.good for each in asked if each.began_s >= 100.0) / 100.0
    late = sorted(limits[100:])
    print(  # noqa: T201 - a figure, for `pytest -s`
        f"\n{places} places at {load:g} x: limit {late[0]} to {late[-1]}, "
        f"{good / target.per_s:.1%} of what the target can answer"
    )
    assert places * 0.85 <= late[len(late) // 2] <= places * 1.2 + 5
    assert good >= 0.95 * target.per_s


def test_target_that_refuses_is_kept_just_below_that() -> None:
    target = Target(World(), 50, first_s=0.4, rest_s=3.6, refuses=True)
    lane = Lane("a", LaneSettings())
    asked = played(target, lane, {f"{n}": target.per_s / 2 for n in range(4)}, 200.0)
    late = [each for each in asked if each.began_s >= 50.0]
    good = sum(each.good for each in late) / 150.0
    assert good >= 0.85 * target.per_s
    assert sum(each.error == "429" for each in late) <= 0.1 * sum(each.good for each in late)


def test_healthy_target_is_never_held_back() -> None:
    target = Target(World(), 50, first_s=0.4, rest_s=3.6)
    lane = Lane("a", LaneSettings())
    asked = played(target, lane, {"a": 0.7 * target.per_s}, 100.0)
    assert all(each.good for each in asked)
    assert lane.snapshot().waited == 0
    assert lane.snapshot().limit == SETTINGS.most


@pytest.mark.parametrize("settings", [LimitSettings(), LimitSettings(least=50, most=50)])
@pytest.mark.parametrize("owners", [False, True])
@pytest.mark.parametrize(("answer_s", "seconds"), [(4.0, 300.0), (0.4, 60.0)])
def test_user_at_fifty_times_the_rate_costs_the_others_a_fifth_of_their_p99_at_most(
    settings: LimitSettings, answer_s: float, seconds: float, *, owners: bool
) -> None:
    p99_s: dict[bool, float] = {}
    for noisy in (False, True):
        target = Target(World(), 50, first_s=answer_s / 10, rest_s=answer_s * 0.9)
        rate = 0.4 * target.per_s / 10
        rates = {f"quiet {number}": rate for number in range(10)}
        if noisy:
            rates["noisy"] = 50 * rate
        asked = played(target, Lane("a", LaneSettings(settings)), rates, seconds, owners=owners)
        quiet = [each for each in asked if each.user != "noisy" and each.began_s >= seconds / 3]
        assert sum(each.good for each in quiet) >= 0.999 * len(quiet)
        p99_s[noisy] = percentile([each.took_s for each in quiet if each.good], 0.99)
    print(  # noqa: T201 - a figure, for `pytest -s`
        f"\nnoisy neighbour, {answer_s:g} s, limit {settings.least}..{settings.most}, "
        f"{'a key each' if owners else 'one team'}: "
        f"p99 {p99_s[False]:.2f} s -> {p99_s[True]:.2f} s"
    )
    assert p99_s[True] <= 1.2 * p99_s[False]
