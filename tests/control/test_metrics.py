"""What the control process shows of the gateways' boards."""

import pytest
from exposition import read

from tidegate.control.metrics import Pass, metrics
from tidegate.policy.board import Board, LimitState, LoadState, PartState, SharedState
from tidegate.policy.health import TargetState
from tidegate.policy.slots.lane import LaneSettings
from tidegate.policy.slots.register import Slots


def target(name: str, **fields: object) -> TargetState:
    usual: dict[str, object] = {
        "state": "closed", "since_s": None, "until_s": None, "reason": "", "heard": False,
        "failures": 0, "openings": 0, "outstanding": 0, "calls": 7, "failed": 0, "retries": 0,
        "hedges": 0, "first_token_p50_s": None, "first_token_p95_s": 0.25,
    }  # fmt: skip
    return TargetState(name, **{**usual, **fields})  # pyright: ignore[reportArgumentType]


def board(worker: str, *targets: TargetState, **fields: object) -> Board:
    return Board(worker, 1, None, 0, 0.0, targets, **fields)  # pyright: ignore[reportArgumentType]


def test_every_target_of_every_gateway_has_its_samples() -> None:
    page = metrics(
        [
            board("gw-0", target("p/m", state="open", openings=2), target("q/n")),
            board("gw-1", target("p/m", state="half_open")),
        ],
        Pass(loaded=5, failing=False),
    )
    samples = read(page)
    assert samples['tidegate_breaker_state{target="p/m",worker="gw-0"}'] == 2
    assert samples['tidegate_breaker_state{target="p/m",worker="gw-1"}'] == 1
    assert samples['tidegate_breaker_state{target="q/n",worker="gw-0"}'] == 0
    assert samples['tidegate_breaker_openings_total{target="p/m",worker="gw-0"}'] == 2
    assert samples['tidegate_target_calls_total{target="q/n",worker="gw-0"}'] == 7
    assert samples['tidegate_target_first_token_p95_seconds{target="q/n",worker="gw-0"}'] == 0.25
    assert not any("p50" in name for name in samples)
    assert samples["tidegate_records_loaded_total"] == 5
    assert samples["tidegate_records_loading"] == 1


def test_accounts_replicas_and_sharing_have_theirs() -> None:
    parts = (
        PartState("p", "account", "main", "retired", times_out=1, left={"tokens": 1e15}),
        PartState("p", "replica", "http://one", "warming", outstanding=3, latency_s=0.05),
    )
    shared = SharedState("down", 0.0, "it does not answer")
    samples = read(metrics([board("gw-0", parts=parts, shared=shared)], Pass(0, failing=True)))
    account = 'provider="p",kind="account",part="main",worker="gw-0"'
    replica = 'provider="p",kind="replica",part="http://one",worker="gw-0"'
    assert samples[f"tidegate_part_usable{{{account}}}"] == 0
    assert samples[f"tidegate_part_usable{{{replica}}}"] == 1
    assert samples[f"tidegate_part_outstanding{{{replica}}}"] == 3
    assert f"tidegate_part_outstanding{{{account}}}" not in samples
    assert samples[f'tidegate_part_quota_left{{{account},allowance="tokens"}}'] == 1e15
    assert samples['tidegate_breakers_shared{worker="gw-0"}'] == 0
    assert samples["tidegate_records_loading"] == 0


def test_names_cannot_break_out_of_their_labels() -> None:
    samples = read(metrics([board("gw-0", target('a"b\\c\nd'))], Pass(0, failing=False)))
    assert samples[r'tidegate_breaker_state{target="a\"b\\c\nd",worker="gw-0"}'] == 0


def test_without_gateways_only_the_records_are_counted() -> None:
    assert read(metrics([], Pass(1, failing=False))).keys() == {
        "tidegate_records_loaded_total", "tidegate_records_loading", "tidegate_gateway_processes",
    }  # fmt: skip


def test_how_much_a_process_has_to_do_is_told() -> None:
    load = LoadState(
        running=7, admitted=5, held_nanousd=1_500_000_000, exceeded=1, shed=3, share=0.25,
        lag_s=0.115, pending_bytes=99,
    )  # fmt: skip
    page = metrics([board("gw-0", load=load), board("gw-1")], Pass(0, failing=False))
    samples = read(page)
    of = '{worker="gw-0"}'
    assert samples[f"tidegate_requests_running{of}"] == 7
    assert samples[f"tidegate_requests_admitted{of}"] == 5
    assert samples[f"tidegate_holds_usd{of}"] == 1.5
    assert samples[f"tidegate_charges_above_hold_total{of}"] == 1
    assert samples[f"tidegate_shed_total{of}"] == 3
    assert samples[f"tidegate_let_in_ratio{of}"] == 0.25
    assert samples[f"tidegate_loop_lag_seconds{of}"] == 0.115
    assert samples[f"tidegate_spool_pending_bytes{of}"] == 99
    assert samples["tidegate_gateway_processes"] == 2
    assert not any("gw-1" in name for name in samples)


def test_turns_at_targets_are_told() -> None:
    slots = Slots()
    lane = slots.of("p/m", LaneSettings())
    lane.take("team", "user", 0.0)
    slots.of("p/unlimited", LaneSettings(limit=None))
    samples = read(metrics([board("gw-0", lanes=slots.snapshot())], Pass(0, failing=False)))
    assert samples['tidegate_concurrency_running{target="p/m",worker="gw-0"}'] == 1
    assert samples['tidegate_concurrency_limit{target="p/m",worker="gw-0"}'] >= 1
    assert samples['tidegate_queue_depth{target="p/m",worker="gw-0"}'] == 0
    assert 'tidegate_concurrency_limit{target="p/unlimited",worker="gw-0"}' not in samples


def test_limit_is_told_by_kind_where_most_of_it_is_used() -> None:
    limits = (
        LimitState("user", "a", "requests_per_minute", 100, 90),
        LimitState("user", "b", "requests_per_minute", 100, 1),
        LimitState("team", "t", "usd_per_month", 10**9, 10**9),
    )
    full = (LimitState("user", "c", "concurrency", 0, 0),)
    page = metrics([board("gw-0", limits=limits), board("gw-1", limits=full)], Pass(0, False))
    samples = read(page)
    ratio = "tidegate_limit_used_ratio"
    assert samples[f'{ratio}{{scope_kind="user",limit="requests_per_minute"}}'] == 0.99
    assert samples[f'{ratio}{{scope_kind="team",limit="usd_per_month"}}'] == 0
    assert samples[f'{ratio}{{scope_kind="user",limit="concurrency"}}'] == 1


@pytest.mark.parametrize(("state", "value"), [("up", 1), ("down", 0), ("connecting", 0)])
def test_whether_redis_counts_is_told_where_it_should(state: str, value: int) -> None:
    counting = SharedState(state, 0.0)  # pyright: ignore[reportArgumentType]
    samples = read(metrics([board("gw-0", counting=counting)], Pass(0, failing=False)))
    assert samples['tidegate_shared_up{worker="gw-0"}'] == value


def test_what_waits_in_the_spool_is_told() -> None:
    samples = read(metrics([], Pass(1, failing=True, lag_s=12.5, waiting=(2, 4096))))
    assert samples["tidegate_loader_lag_seconds"] == 12.5
    assert samples["tidegate_spool_waiting_segments"] == 2
    assert samples["tidegate_spool_waiting_bytes"] == 4096
