"""What the control process shows of the gateways' boards."""

import re

from tidegate.control.metrics import metrics
from tidegate.policy.board import Board, PartState, SharedState
from tidegate.policy.health import TargetState

SAMPLE = re.compile(
    r"(?P<name>[a-z_:][a-z0-9_:]*)"
    r'(?:\{(?P<labels>[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*)\})?'
    r" (?P<value>-?[0-9.]+(?:e[+-]?[0-9]+)?)"
)


def target(name: str, **fields: object) -> TargetState:
    usual: dict[str, object] = {
        "state": "closed", "since_s": None, "until_s": None, "reason": "", "heard": False,
        "failures": 0, "openings": 0, "outstanding": 0, "calls": 7, "failed": 0, "retries": 0,
        "hedges": 0, "first_token_p50_s": None, "first_token_p95_s": 0.25,
    }  # fmt: skip
    return TargetState(name, **{**usual, **fields})  # pyright: ignore[reportArgumentType]


def board(worker: str, *targets: TargetState, **fields: object) -> Board:
    return Board(worker, 1, None, 0, 0.0, targets, **fields)  # pyright: ignore[reportArgumentType]


def read(page: bytes) -> dict[str, float]:
    """The samples, checked against the format: each family announced once, before its samples."""
    samples: dict[str, float] = {}
    announced: list[str] = []
    assert page.endswith(b"\n")
    for line in page.decode().splitlines():
        if line.startswith("# HELP "):
            announced.append(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == announced[-1]
            assert kind == ("counter" if name.endswith("_total") else "gauge")
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample["name"] == announced[-1]
            key = f"{sample['name']}{{{sample['labels']}}}" if sample["labels"] else sample["name"]
            assert key not in samples
            samples[key] = float(sample["value"])
    assert len(announced) == len(set(announced))
    return samples


def test_every_target_of_every_gateway_has_its_samples() -> None:
    page = metrics(
        [
            board("gw-0", target("p/m", state="open", openings=2), target("q/n")),
            board("gw-1", target("p/m", state="half_open")),
        ],
        loaded=5,
        failing=False,
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
    samples = read(metrics([board("gw-0", parts=parts, shared=shared)], loaded=0, failing=True))
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
    samples = read(metrics([board("gw-0", target('a"b\\c\nd'))], loaded=0, failing=False))
    assert samples[r'tidegate_breaker_state{target="a\"b\\c\nd",worker="gw-0"}'] == 0


def test_without_gateways_only_the_records_are_counted() -> None:
    assert read(metrics([], loaded=1, failing=False)).keys() == {
        "tidegate_records_loaded_total", "tidegate_records_loading",
    }  # fmt: skip
