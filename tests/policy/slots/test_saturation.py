"""What share is let in when the loop lags: the decision, and a loop that is simulated."""

import asyncio
import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policy.saturation import LOWEST, Gate, Load, SaturationSettings, next_load

SETTINGS = SaturationSettings()
SERVE_S, REFUSE_S, STEPS, UPSTREAM_S = 750e-6, 17e-6, 3, 0.002
"""As measured: a stream of a hundred chunks, a refusal at the edge."""


def test_short_lag_is_no_overload() -> None:
    load = next_load(SETTINGS, Load(), 3.0, 10.0)
    assert load.share == 1.0
    assert next_load(SETTINGS, load, 0.0, 10.05).above_since_s > 10.05


def test_standing_lag_lets_in_less_by_how_much_it_is_too_high() -> None:
    load = next_load(SETTINGS, Load(), 0.2, 10.0)
    assert next_load(SETTINGS, load, 0.2, 10.25).share == pytest.approx(0.5)


def test_decrease_waits_for_its_effect() -> None:
    load = next_load(SETTINGS, next_load(SETTINGS, Load(), 0.2, 10.0), 0.2, 10.25)
    assert next_load(SETTINGS, load, 0.2, 10.3).share == load.share


def test_everybody_is_let_in_again_after_the_overload() -> None:
    load, now_s = Load(share=LOWEST, good=0.1), 0.0
    while load.share < 1.0:
        now_s += 0.05
        load = next_load(SETTINGS, load, 0.0, now_s)
    assert now_s < 10.0
    assert load.good == 1.0


@given(lags_s=st.lists(st.floats(0.0, 60.0), max_size=60))
def test_share_is_never_nothing_and_never_more_than_all(lags_s: list[float]) -> None:
    load, now_s = Load(), 0.0
    for lag_s in lags_s:
        now_s += 0.05 + lag_s
        load = next_load(SETTINGS, load, lag_s, now_s)
        assert LOWEST <= load.share <= 1.0


@given(share=st.floats(LOWEST, 1.0), count=st.integers(1, 200))
def test_share_is_spread_evenly(share: float, count: int) -> None:
    gate = Gate()
    gate.load = Load(share=share)
    let_in = sum(gate.admits() for _ in range(count))
    assert let_in == pytest.approx(share * count, abs=1.001)
    assert gate.refused == count - let_in


async def test_gate_opens_when_nobody_watches_any_more() -> None:
    gate = Gate()
    gate.load, gate.shedding = Load(share=0.1), True
    watch = asyncio.create_task(gate.run(0.001))
    await asyncio.sleep(0)
    watch.cancel()
    await asyncio.wait([watch])
    assert not gate.shedding
    assert gate.load == Load()


def goodput(factor: float, *, seconds: float = 20.0, deadline_s: float = 1.0) -> float:
    """Answers within the deadline, as a share of capacity, at `factor` times of it.

    A loop that handles in each turn all that is ready, as a real one does.
    """
    gate, now_s, due_s, look_s, turn_s, good = Gate(), 0.0, 0.0, 0.05, 0.0, 0
    later: list[tuple[float, float, int]] = []
    while now_s < seconds:
        work_s = 30e-6
        if now_s >= look_s:
            gate.look(max(now_s - look_s, turn_s), now_s)
            look_s = now_s + 0.05
        ready: list[tuple[float, int]] = []
        while later and later[0][0] <= now_s:
            ready.append(heapq.heappop(later)[1:])
        for born_s, steps in ready:
            work_s += SERVE_S / STEPS
            if steps > 1:
                heapq.heappush(later, (now_s + work_s + UPSTREAM_S, born_s, steps - 1))
            elif born_s > 5.0 and now_s + work_s - born_s <= deadline_s:
                good += 1
        while due_s <= now_s:
            if gate.shedding and not gate.admits():
                work_s += REFUSE_S
            else:
                work_s += SERVE_S / STEPS
                heapq.heappush(later, (now_s + work_s + UPSTREAM_S, due_s, STEPS - 1))
            due_s += SERVE_S / factor
        wake_s = min(due_s, look_s, later[0][0] if later else due_s)
        turn_s = work_s
        now_s = max(now_s + work_s, wake_s)
    return good / (seconds - 5.0) * SERVE_S


def test_five_times_its_capacity_leaves_a_gateway_nine_tenths_of_its_goodput() -> None:
    figures = {factor: goodput(factor) for factor in (0.5, 0.9, 1.0, 1.5, 3.0, 5.0)}
    shown = {f"{factor:g}x": f"{share:.3f}" for factor, share in figures.items()}
    print("\ngoodput by load:", shown)  # noqa: T201 - a figure, for `pytest -s`
    bound = (1 - 5 * REFUSE_S / SERVE_S) / (1 - REFUSE_S / SERVE_S)
    assert figures[0.5] == pytest.approx(0.5, abs=0.01)
    assert figures[5.0] >= 0.97 * bound
    assert figures[5.0] >= 0.9 * max(figures.values())
    assert figures[3.0] >= 0.92 * max(figures.values())
