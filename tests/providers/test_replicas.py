from __future__ import annotations

import logging
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import (
    DeadlineExceeded,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamUnreachable,
)
from tidegate.providers.replicas import Health, Replica, Replicas
from tidegate.providers.replicas.balance import BALANCES
from tidegate.types import Call

FAILED = UpstreamFailed("5xx")
LEFT = None, None
"""How a request ends whose caller left before anything came."""


def ask(**body: Any) -> Call:
    return Call("chat", "m", body, stream=False, wants_usage=False)


CALL = ask(messages=[{"role": "user", "content": "Hello"}])


def replicas(
    count: int, balance: str = "weighted", weights: tuple[float, ...] = (), **health: Any
) -> Replicas:
    made = [
        Replica(f"http://r{place}.example", None, weights[place] if weights else 1.0)
        for place in range(count)
    ]
    return Replicas("gpus", made, balance=balance, health=Health(**health))


def end(
    some: Replicas,
    replica: Replica,
    error: UpstreamError | None = None,
    latency_s: float | None = 0.1,
    now_s: float = 0.0,
) -> None:
    replica.begin()
    some.ended(replica, error, latency_s, now_s)


def fail(some: Replicas, replica: Replica, now_s: float, times: int = 5) -> None:
    for _ in range(times):
        end(some, replica, FAILED, None, now_s)


def picks(some: Replicas, now_s: float, count: int = 2000) -> Counter[str]:
    chance = random.Random(7)
    return Counter(some.pick(CALL, now_s, chance.random()).url[7:9] for _ in range(count))


@pytest.mark.parametrize("balance", BALANCES)
def test_the_only_replica_is_taken_whatever_happens_to_it(balance: str) -> None:
    some = replicas(1, balance)
    only = some.all[0]
    fail(some, only, 0.0, 100)
    assert some.pick(CALL, 0.0, 0.5) is only
    assert some.pick(CALL, 0.0, 0.5, avoid=only) is only
    assert not some.spare(0.0)
    assert some.snapshot(0.0)[0].state == "usable"


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("draw", [0.0, 0.25, 0.5, 0.999999, 1 - 2**-53])
def test_every_draw_picks_one(balance: str, draw: float) -> None:
    for count in (2, 3, 7):
        some = replicas(count, balance)
        assert some.pick(CALL, 0.0, draw) in some.all


@pytest.mark.parametrize("balance", BALANCES)
def test_one_that_was_tried_before_is_avoided(balance: str) -> None:
    some = replicas(3, balance)
    tried = some.pick(CALL, 0.0, 0.5)
    assert all(some.pick(CALL, 0.0, draw / 10, avoid=tried) is not tried for draw in range(10))


def test_weights_are_shares() -> None:
    taken = picks(replicas(3, weights=(1, 2, 7)), 0.0, 10_000)
    assert taken["r0"] == pytest.approx(1000, rel=0.1)
    assert taken["r1"] == pytest.approx(2000, rel=0.1)
    assert taken["r2"] == pytest.approx(7000, rel=0.1)


# Ejection


def test_failures_in_a_row_eject_and_a_success_between_does_not() -> None:
    some = replicas(2)
    bad, good = some.all
    fail(some, bad, 0.0, 4)
    end(some, bad)
    fail(some, bad, 0.0, 4)
    assert some.snapshot(0.0)[0].state == "usable"
    fail(some, bad, 0.0, 1)
    assert some.snapshot(0.0)[0].state == "ejected"
    assert {some.pick(CALL, 9.9, draw / 10) for draw in range(10)} == {good}
    assert some.spare(9.9, bad)
    assert not some.spare(9.9, good)


@pytest.mark.parametrize(
    "error",
    [
        UpstreamRefused("400"),
        UpstreamDenied("401"),
        UpstreamRateLimited("429"),
        DeadlineExceeded("late"),
    ],
)
def test_answers_that_a_healthy_server_gives_do_not_eject(error: UpstreamError) -> None:
    some = replicas(2)
    for _ in range(50):
        end(some, some.all[0], error, 0.1)
    assert some.snapshot(0.0)[0].state == "usable"


def test_callers_that_leave_say_nothing_of_a_replica() -> None:
    some = replicas(2)
    fail(some, some.all[0], 0.0, 4)
    end(some, some.all[0], *LEFT)
    fail(some, some.all[0], 0.0, 1)
    assert some.snapshot(0.0)[0].state == "ejected"
    assert [each.outstanding for each in some.all] == [0, 0]


def test_ejections_grow_and_a_good_time_ends_the_row() -> None:
    some = replicas(2, ejection_s=10.0, longest_ejection_s=60.0, slow_start_s=0.0)
    bad = some.all[0]
    lengths: list[float] = []
    now_s = 0.0
    for _ in range(5):
        fail(some, bad, now_s)
        lengths.append(bad.ejected_until_s - now_s)
        now_s = bad.ejected_until_s
        some.pick(CALL, now_s, 0.5)
    assert lengths == [10, 20, 40, 60, 60]
    now_s += 61
    fail(some, bad, now_s)
    assert bad.ejected_until_s - now_s == 10


def test_never_more_than_a_share_is_ejected() -> None:
    some = replicas(5, max_ejected=0.5)
    for replica in some.all:
        fail(some, replica, 0.0)
    states = Counter(each.state for each in some.snapshot(0.0))
    assert states == {"ejected": 2, "usable": 3}


def test_one_of_two_may_be_ejected_whatever_the_share() -> None:
    some = replicas(2, max_ejected=0.1)
    fail(some, some.all[0], 0.0)
    assert some.snapshot(0.0)[0].state == "ejected"


def test_when_all_are_ejected_all_are_tried() -> None:
    some = replicas(3, max_ejected=1.0)
    for replica in some.all:
        fail(some, replica, 0.0)
    assert {each.state for each in some.snapshot(0.0)} == {"ejected"}
    assert set(picks(some, 1.0)) == {"r0", "r1", "r2"}
    assert not some.spare(1.0)


def test_slow_start_brings_the_weight_back_bit_by_bit() -> None:
    some = replicas(2, ejection_s=10.0, slow_start_s=30.0)
    fail(some, some.all[0], 0.0)
    assert picks(some, 9.0)["r0"] == 0
    assert some.snapshot(12.0)[0].state == "warming"
    for now_s, share in ((10.0, 0.1), (25.0, 0.5), (34.0, 0.8), (41.0, 1.0)):
        taken = picks(some, now_s, 10_000)["r0"] / 10_000
        assert taken == pytest.approx(share / (1 + share), abs=0.02)
    assert some.snapshot(41.0)[0].state == "usable"


def test_ejections_and_returns_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    some = replicas(2)
    fail(some, some.all[0], 0.0)
    for good in (False,) * 5 + (True,):
        some.probed(some.all[1], good=good, now_s=0.0)
    said = [
        (record.getMessage(), record.__dict__["fields"]["replica"]) for record in caplog.records
    ]
    assert said == [
        ("a replica fails and is ejected", "http://r0.example"),
        ("a replica does not answer its probes", "http://r1.example"),
        ("a replica answers its probes again", "http://r1.example"),
    ]


# Probes' verdicts


def test_failed_probes_in_a_row_take_a_replica_out_until_a_good_one() -> None:
    some = replicas(2, failures=3, slow_start_s=10.0)
    for good in (False, False, True, False, False):
        some.probed(some.all[0], good=good, now_s=0.0)
    assert some.snapshot(0.0)[0].state == "usable"
    some.probed(some.all[0], good=False, now_s=0.0)
    assert some.snapshot(0.0)[0].state == "down"
    assert picks(some, 1e6)["r0"] == 0
    some.probed(some.all[0], good=True, now_s=100.0)
    assert some.snapshot(100.0)[0].state == "warming"
    assert 0 < picks(some, 100.0)["r0"] < picks(some, 111.0)["r0"]


def test_probes_may_take_all_out_and_then_all_are_tried() -> None:
    some = replicas(2, failures=1)
    for replica in some.all:
        some.probed(replica, good=False, now_s=0.0)
    assert set(picks(some, 0.0)) == {"r0", "r1"}


def test_a_good_probe_does_not_end_an_ejection() -> None:
    some = replicas(2, failures=2)
    fail(some, some.all[0], 0.0, 2)
    some.probed(some.all[0], good=True, now_s=1.0)
    assert some.snapshot(1.0)[0].state == "ejected"


# Balance, simulated: so many arrivals a second, served at each replica's own pace.


def simulate(
    some: Replicas, latencies_s: list[float], *, rate: float, seconds: float, seed: int = 3
) -> tuple[Counter[str], list[float]]:
    """How many requests each replica got, and how long each request took (queueing included).

    A replica slows down with every request that it has under way.
    """
    chance = random.Random(seed)
    running: list[tuple[float, Replica, float]] = []
    taken: Counter[str] = Counter()
    times: list[float] = []
    now_s = 0.0
    while now_s < seconds:
        now_s += chance.expovariate(rate)
        for done in sorted([each for each in running if each[0] <= now_s], key=lambda e: e[0]):
            running.remove(done)
            some.ended(done[1], None, done[2], done[0])
        replica = some.pick(CALL, now_s, chance.random())
        place = some.all.index(replica)
        took_s = latencies_s[place] * (1 + replica.outstanding / 4) * chance.uniform(0.8, 1.2)
        replica.begin()
        running.append((now_s + took_s, replica, took_s))
        taken[replica.url[7:9]] += 1
        times.append(took_s)
    return taken, times


def mean(times: list[float]) -> float:
    return sum(times) / len(times)


@pytest.mark.parametrize("balance", ["least_outstanding", "peak_ewma"])
def test_equal_replicas_get_equal_parts(balance: str) -> None:
    taken, _ = simulate(replicas(4, balance), [0.2] * 4, rate=100, seconds=30)
    assert max(taken.values()) < 1.15 * min(taken.values())


@pytest.mark.parametrize("balance", ["least_outstanding", "peak_ewma"])
def test_a_slow_replica_gets_less_and_everybody_waits_less(balance: str) -> None:
    slow = [0.2, 0.2, 0.2, 1.5]
    _, blind = simulate(replicas(4), slow, rate=60, seconds=60)
    taken, times = simulate(replicas(4, balance), slow, rate=60, seconds=60)
    assert taken["r3"] < 0.5 * taken["r0"]
    assert mean(times) < 0.5 * mean(blind)


def test_peak_ewma_tells_a_slow_one_by_its_latency_even_when_nothing_queues() -> None:
    slow = [0.05, 0.05, 0.05, 0.5]
    taken, times = simulate(replicas(4, "peak_ewma"), slow, rate=5, seconds=300)
    _, by_count = simulate(replicas(4, "least_outstanding"), slow, rate=5, seconds=300)
    assert taken["r3"] < 0.15 * taken["r0"]
    assert mean(times) < 0.7 * mean(by_count)


@pytest.mark.parametrize("balance", ["least_outstanding", "peak_ewma"])
def test_weights_count_in_every_balance(balance: str) -> None:
    some = replicas(2, balance, weights=(1, 3))
    taken, _ = simulate(some, [0.3, 0.1], rate=80, seconds=60)
    assert 2 < taken["r1"] / taken["r0"] < 7


def test_a_replica_that_fails_at_once_does_not_draw_all_requests() -> None:
    some = replicas(3, "peak_ewma", failures=1000)
    chance = random.Random(5)
    taken: Counter[str] = Counter()
    for step in range(600):
        now_s = step / 100
        replica = some.pick(CALL, now_s, chance.random())
        replica.begin()
        bad = replica is some.all[0]
        some.ended(replica, FAILED if bad else None, 0.001 if bad else 0.2, now_s)
        taken[replica.url[7:9]] += 1
    assert taken["r0"] < 30


def test_an_old_latency_is_forgotten_so_that_a_recovered_replica_is_tried() -> None:
    some = replicas(2, "peak_ewma")
    slow, quick = some.all
    end(some, slow, latency_s=5.0, now_s=0.0)
    end(some, quick, latency_s=0.1, now_s=0.0)
    assert some.pick(CALL, 1.0, 0.3) is quick
    end(some, quick, latency_s=0.1, now_s=60.0)
    assert some.pick(CALL, 60.0, 0.3) is slow


def test_a_peak_counts_at_once_and_calm_bit_by_bit() -> None:
    some = replicas(2, "peak_ewma")
    replica = some.all[0]
    end(some, replica, latency_s=0.1, now_s=0.0)
    end(some, replica, latency_s=2.0, now_s=1.0)
    assert replica.latency_s(1.0) == 2.0
    end(some, replica, latency_s=0.1, now_s=2.0)
    assert 1.5 < replica.latency_s(2.0) < 2.0


# Any history


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["good", "failed", "refused", "left", "probe", "no probe"]),
        st.floats(0, 50),
        st.floats(0, 1, exclude_max=True),
    ),
    max_size=60,
)


@pytest.mark.parametrize("balance", BALANCES)
@given(events=_EVENTS)
def test_after_any_history_one_is_picked_and_the_usable_are_preferred(
    balance: str, events: list[tuple[int, str, float, float]]
) -> None:
    some = replicas(4, balance, failures=2, weights=(1, 2, 3, 4))
    now_s = 0.0
    for place, what, passed_s, draw in events:
        now_s += passed_s
        replica = some.all[place]
        match what:
            case "good":
                end(some, replica, None, draw, now_s)
            case "failed":
                end(some, replica, UpstreamUnreachable("x"), None, now_s)
            case "refused":
                end(some, replica, UpstreamRefused("x"), draw, now_s)
            case "left":
                end(some, replica, *LEFT, now_s)
            case _:
                some.probed(replica, good=what == "probe", now_s=now_s)
        picked = some.pick(CALL, now_s, draw)
        usable = [each for each in some.all if each.usable(now_s)]
        assert picked in (usable or some.all)
        assert all(0 < each.warm <= each.weight for each in usable)
        assert all(each.outstanding == 0 for each in some.all)
        ejected = [each for each in some.all if now_s < each.ejected_until_s]
        assert len(ejected) <= 2
        assert len(some.snapshot(now_s)) == 4
