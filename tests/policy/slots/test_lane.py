"""A lane: who runs, who waits, and that nothing is left behind."""

import asyncio
import time
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tidegate.errors import Draining, Overloaded, UpstreamFailed, UpstreamRateLimited
from tidegate.policy.slots.lane import Lane, LaneSettings, Slot
from tidegate.policy.slots.limit import LimitSettings
from tidegate.policy.slots.line import QueueSettings, Waiting
from tidegate.policy.slots.pace import Pace
from tidegate.policy.slots.register import Slots


def fixed(limit: int, **queue: float) -> LaneSettings:
    return LaneSettings(
        LimitSettings(least=limit, most=limit),
        QueueSettings(**queue),  # type: ignore[arg-type]
    )


def taken(lane: Lane, user: str = "user", now_s: float = 0.0) -> Slot:
    slot = lane.take("owner", user, now_s)
    assert isinstance(slot, Slot)
    return slot


def queued(lane: Lane, user: str = "user", now_s: float = 0.0, **more: str) -> Waiting[Slot]:
    waiting = lane.take("owner", user, now_s, **more)  # type: ignore[arg-type]
    assert isinstance(waiting, Waiting)
    return waiting


def test_slot_that_is_given_back_goes_to_the_next_in_line() -> None:
    lane = Lane("a", fixed(1))
    slot, first, second = taken(lane), queued(lane), queued(lane)
    slot.succeeded(1.0)
    assert first.slot is not None
    assert second.slot is None
    assert lane.running == 1


def test_only_the_first_ending_of_a_slot_counts() -> None:
    lane = Lane("a", fixed(2))
    one, _ = taken(lane), taken(lane)
    one.succeeded(1.0)
    one.cancelled(1.0)
    one.failed(UpstreamRateLimited("no"), 1.0)
    assert lane.running == 1


def test_user_who_fills_its_part_is_refused_and_others_are_not() -> None:
    lane = Lane("a", fixed(1, per_user=2))
    taken(lane)
    for _ in range(2):
        queued(lane)
    with pytest.raises(Overloaded) as refused:
        lane.take("owner", "user", 0.0)
    assert refused.value.retry_after_s
    queued(lane, "other")


def test_full_queue_makes_room_for_an_owner_with_less_than_its_share() -> None:
    lane = Lane("a", fixed(1, length=4))
    taken(lane)
    loud = [queued(lane, f"made up {number}") for number in range(4)]
    assert lane.full
    quiet = lane.take("quiet", "user", 0.0)
    assert isinstance(quiet, Waiting)
    assert [each.error is not None for each in loud] == [False, False, False, True]
    with pytest.raises(Overloaded):
        lane.take("owner", "yet another", 0.0)


def test_batch_gets_one_turn_of_ten_while_interactive_ones_wait() -> None:
    lane = Lane("a", fixed(1))
    slot = taken(lane)
    batch = [queued(lane, priority="batch") for _ in range(5)]
    interactive = [queued(lane, f"{number}") for number in range(30)]
    for turn in range(20):
        slot.succeeded(float(turn) / 10)
        slot = next(
            each.slot for each in (*batch, *interactive) if each.slot and not each.slot.over
        )
    assert sum(each.slot is not None for each in batch) == 2
    assert sum(each.slot is not None for each in interactive) == 18


def test_who_could_not_be_answered_in_time_is_refused_at_once() -> None:
    lane = Lane("a", fixed(1))
    taken(lane).succeeded(4.0)
    taken(lane, now_s=4.0)
    with pytest.raises(Overloaded) as refused:
        lane.take("owner", "user", 4.0, deadline_s=10.0)  # 4 s of waiting, 4 s of answering
    assert refused.value.retry_after_s == pytest.approx(4.0)
    assert isinstance(lane.take("owner", "user", 4.0, deadline_s=12.5), Waiting)


def test_who_waited_too_long_is_told_so_by_the_next_sweep() -> None:
    lane = Lane("a", fixed(1, wait_s=2.0))
    taken(lane)
    waiting = queued(lane)
    lane.sweep(1.9)
    assert waiting.waits
    lane.sweep(2.0)
    assert isinstance(waiting.error, Overloaded)
    assert lane.line.count == 0


def test_one_that_is_too_late_is_passed_over_when_a_slot_is_free() -> None:
    lane = Lane("a", fixed(1, wait_s=2.0))
    slot, late = taken(lane), queued(lane)
    in_time = queued(lane, now_s=1.0)
    slot.succeeded(2.5)
    assert late.error is not None
    assert in_time.slot is not None


async def test_turn_comes_to_who_awaits_it() -> None:
    lane = Lane("a", fixed(1))
    slot, waiting = taken(lane), queued(lane)
    turn = asyncio.ensure_future(waiting.turn())
    await asyncio.sleep(0)
    slot.succeeded(1.0)
    assert (await turn).lane is lane


async def test_request_cancelled_just_as_its_turn_comes_passes_it_on() -> None:
    lane = Lane("a", fixed(1))
    now_s = asyncio.get_running_loop().time()
    slot = taken(lane, now_s=now_s)
    waiting, behind = queued(lane, now_s=now_s), queued(lane, now_s=now_s)
    turn = asyncio.ensure_future(waiting.turn())
    await asyncio.sleep(0)
    slot.succeeded(now_s)
    turn.cancel()
    await asyncio.wait([turn])
    assert turn.cancelled()
    assert behind.slot is not None
    assert lane.running == 1


async def test_request_that_is_cancelled_leaves_the_queue() -> None:
    lane = Lane("a", fixed(1))
    slot, turn = taken(lane), asyncio.ensure_future(queued(lane).turn())
    await asyncio.sleep(0)
    turn.cancel()
    await asyncio.wait([turn])
    assert lane.line.count == 0
    slot.succeeded(1.0)
    assert lane.running == 0
    assert not lane.busy


async def test_drain_refuses_who_waits() -> None:
    slots = Slots()
    lane = slots.of("a", fixed(1))
    slot, turn = taken(lane), asyncio.ensure_future(queued(lane).turn())
    await asyncio.sleep(0)
    slots.drain()
    with pytest.raises(Draining):
        await turn
    slot.succeeded(1.0)
    assert lane.running == 0


def test_refusals_of_the_target_lower_the_limit_once_a_round_and_its_failures_do_not() -> None:
    lane = Lane("a", LaneSettings(LimitSettings(most=100)))
    slots = [taken(lane) for _ in range(50)]
    slots.pop().failed(UpstreamFailed("broken"), 1.0)
    assert lane.snapshot().limit == 100
    for slot in slots[:30]:
        slot.failed(UpstreamRateLimited("too many"), 1.0)
    assert lane.snapshot().limit == 44


def test_without_a_limit_as_many_run_as_come() -> None:
    lane = Lane("a", LaneSettings(limit=None))
    for slot in [taken(lane) for _ in range(5000)]:
        slot.succeeded(1.0)
    assert lane.snapshot().limit is None


def test_paced_requests_run_as_their_time_comes() -> None:
    lane = Lane("a", fixed(100))
    lane.heard(Pace(2.0, 60.0), 0.0)
    taken(lane)
    waiting = [queued(lane) for _ in range(3)]
    lane.sweep(0.4)
    assert not any(each.slot for each in waiting)
    lane.sweep(1.0)
    assert [each.slot is not None for each in waiting] == [True, True, False]
    lane.heard(None, 1.1)
    assert waiting[2].slot is not None
    assert not lane.busy


def test_pace_ends_with_the_time_it_was_told_for() -> None:
    lane = Lane("a", fixed(100))
    lane.heard(Pace(0.1, 5.0), 0.0)
    taken(lane)
    assert lane.busy
    for _ in range(10):
        taken(lane, now_s=5.0)


async def test_lanes_are_told_how_late_the_event_loop_is() -> None:
    slots = Slots()
    lane = slots.of("a", fixed(1))
    sweeping = asyncio.create_task(slots.run(0.001))
    await asyncio.sleep(0)
    began_s = time.monotonic()
    while time.monotonic() < began_s + 0.02:
        """Nothing else runs meanwhile."""
    while lane.lag_s <= 0.01:  # noqa: ASYNC110 - nobody tells; the first turns may be in time
        await asyncio.sleep(0)
    sweeping.cancel()
    with suppress(asyncio.CancelledError):
        await sweeping


def test_lane_in_use_outlives_one_that_is_idle() -> None:
    slots = Slots(limit=2)
    used = slots.of("used", fixed(1))
    taken(used)
    slots.of("idle", fixed(1))
    slots.of("new", fixed(1))
    assert slots.get("used") is used
    assert slots.get("idle") is None
    assert [each.name for each in slots.snapshot()] == ["new", "used"]


def test_reload_changes_the_limit_and_keeps_who_runs() -> None:
    slots = Slots()
    lane = slots.of("a", fixed(1))
    slot, waiting = taken(lane), queued(lane)
    assert slots.of("a", fixed(2)) is lane
    lane.sweep(1.0)
    assert waiting.slot is not None
    slot.succeeded(1.0)
    assert lane.running == 1


LENGTH, PER_USER, LIMIT = 6, 3, 3


class Traffic(RuleBasedStateMachine):
    """Anything may happen in any order; slots and places add up all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.lane = Lane("a", fixed(LIMIT, length=LENGTH, per_user=PER_USER, wait_s=5.0))
        self.running: list[Slot] = []
        self.waiting: list[Waiting[Slot]] = []
        self.left: list[Waiting[Slot]] = []
        self.refusals: list[tuple[float | None, int]] = []

    @rule(
        owner=st.sampled_from("ab"),
        user=st.sampled_from("xyz"),
        priority=st.sampled_from(["interactive", "batch"]),
        weight=st.integers(1, 3),
        patience_s=st.sampled_from([1.0, 60.0]),
    )
    def come(self, owner: str, user: str, priority: str, weight: int, patience_s: float) -> None:
        try:
            got = self.lane.take(
                owner,
                user,
                self.now_s,
                priority=priority,
                weight=weight,
                deadline_s=self.now_s + patience_s,
            )
        except Overloaded as refused:
            self.refusals.append((refused.retry_after_s, len(self.running)))
        else:
            if isinstance(got, Slot):
                assert not self.waiting
                self.running.append(got)
            else:
                self.waiting.append(got)
        self.settle()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["good", "bad", "cancelled"]))
    def end(self, data: st.DataObject, how: str) -> None:
        slot = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        for _ in range(2):
            if how == "good":
                slot.answered(self.now_s)
                slot.succeeded(self.now_s)
            elif how == "bad":
                slot.failed(UpstreamFailed("broken"), self.now_s)
            else:
                slot.cancelled(self.now_s)
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiting = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        waiting.leave(self.now_s)
        waiting.leave(self.now_s)
        self.left.append(waiting)
        self.settle()

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0]))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.lane.sweep(self.now_s)
        self.settle()

    def settle(self) -> None:
        """Move on whose wait is over."""
        for each in list(self.waiting):
            if not each.waits:
                self.waiting.remove(each)
                assert (each.slot is None) != (each.error is None)
                if each.slot is not None:
                    self.running.append(each.slot)

    @invariant()
    def adds_up(self) -> None:
        assert self.lane.running == len(self.running) <= LIMIT
        assert self.lane.line.count == len(self.waiting) <= LENGTH
        for user in {(each.owner, each.user, each.batch) for each in self.waiting}:
            same = [e for e in self.waiting if (e.owner, e.user, e.batch) == user]
            assert len(same) <= PER_USER

    @invariant()
    def nobody_waits_beside_a_free_slot(self) -> None:
        assert not self.waiting or len(self.running) == LIMIT

    @invariant()
    def nobody_is_refused_while_a_slot_is_free_and_all_are_told_when(self) -> None:
        for retry_after_s, running in self.refusals:
            assert retry_after_s is not None
            assert retry_after_s > 0
            assert running == LIMIT
        self.refusals.clear()

    @invariant()
    def who_left_gets_nothing(self) -> None:
        assert not any(each.slot or each.error for each in self.left)


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
