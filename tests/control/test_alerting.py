"""Alerting over a real store: what it looks at, what it remembers, and a whole control process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import msgspec
import pytest
from alerts.receivers import Posted, receiving
from alerts.receivers import Receiver as Receiving
from store.storing import put, row

from tidegate.alerts.machine import Alert
from tidegate.alerts.objectives import Objective
from tidegate.alerts.settings import AlertSettings, Receiver
from tidegate.control.alerting import FILE, Alerting, Around
from tidegate.control.sinks.sending import Standing
from tidegate.ledger.spool import SpoolWriter
from tidegate.limits import Budget, Limits, Rule
from tidegate.policy.board import Board, LoadState, PartState, Poster, SharedState, Sources
from tidegate.policy.board import _started as started_of
from tidegate.policy.health import Wards
from tidegate.policy.slots.lane import LaneState
from tidegate.store.records import RecordStore

S = 10**9
NOW_NS = 1_790_000_000 * S
HOUR_NS = 3_600 * S
USD = 10**9


HOOK = Receiver("webhook", "https://hook.example")


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.ns = NOW_NS

    def now_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / S


class Post:
    """A machine with its control process's alerting."""

    def __init__(self, store: RecordStore, directory: Path, *rules: Rule) -> None:
        self.store = store
        self.directory = directory
        self.rules = rules
        self.clock = Hands()
        self.failing: str | None = None
        self.alerting = self.begin()
        self.heard = 0

    def begin(self) -> Alerting:
        """As after a restart."""
        spool, boards = self.directory / "spool", self.directory / "state"
        spool.mkdir(exist_ok=True, parents=True)
        around = Around(self.store, spool, boards, lambda: self.rules, lambda: self.failing)
        self.alerting = Alerting(around, AlertSettings(sinks={"hook": HOOK}), self.clock)
        self.heard = 0
        return self.alerting

    def said(self, after_s: float = 0.0) -> list[Alert]:
        """What is said at the next look."""
        self.clock.ns += round(after_s * S)
        self.alerting.look()
        owed = self.alerting.outbox.kept.owed
        for each in owed:
            self.alerting.outbox.settle(each.notice, "hook")
        return [alert for each in owed for alert in each.notice.alerts]

    def rules_said(self, after_s: float = 0.0) -> list[str]:
        return [f"{each.rule} {each.status}" for each in self.said(after_s)]


def budget(usd: float) -> Rule:
    return Rule("team", Limits(budgets=(Budget(round(usd * USD)),)), "product")


_NUMBERS = iter(range(10**9))


def spent(store: RecordStore, *usd: float, at_ns: int = NOW_NS, **fields: Any) -> None:
    numbered = [(next(_NUMBERS), amount) for amount in usd]
    rows = [
        row(n, started_ns=at_ns, cost_nanousd=round(amount * USD), **{"team": "product", **fields})
        for n, amount in numbered
    ]
    put(store, *rows, offset=next(_NUMBERS))


@pytest.fixture
def post(any_store: RecordStore, tmp_path: Path) -> Post:
    return Post(any_store, tmp_path / "here", budget(10))


def shares(said: list[Alert]) -> list[float]:
    assert {each.rule for each in said} <= {"budget"}
    return [each.threshold for each in said]


def test_each_share_of_a_budget_is_told_once_whatever_restarts(post: Post) -> None:
    spent(post.store, 4.9)
    assert post.said() == []
    spent(post.store, 0.2)
    assert shares(post.said(10)) == [0.5]
    post.begin()
    assert post.said(10) == []
    spent(post.store, 5)
    assert shares(post.said(10)) == [1.0]
    post.begin()
    assert post.said(10) == []


def test_a_budget_is_told_of_once_by_two_machines(post: Post, tmp_path: Path) -> None:
    other = Post(post.store, tmp_path / "there", *post.rules)
    spent(post.store, 9)
    assert shares(post.said() + other.said()) == [0.8]


def test_a_new_period_is_told_of_anew(post: Post) -> None:
    spent(post.store, 6)
    assert shares(post.said()) == [0.5]
    later_ns = NOW_NS + 31 * 24 * HOUR_NS
    spent(post.store, 6, at_ns=later_ns)
    assert shares(post.said((later_ns - NOW_NS) / S)) == [0.5]


def test_a_message_that_was_not_remembered_as_told_is_the_same_message(post: Post) -> None:
    spent(post.store, 6)
    (first,) = post.said()
    with post.store.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM alert_memory")
    assert post.said(10) == []
    assert first.rule == "budget"


def failures(store: RecordStore, now_ns: int, count: int) -> None:
    rows = [row(next(_NUMBERS), started_ns=now_ns, ended="failed") for _ in range(count)]
    put(store, *rows, offset=next(_NUMBERS))


def test_failures_are_told_within_fifteen_seconds_and_when_they_are_over(post: Post) -> None:
    failures(post.store, NOW_NS, 10)
    assert post.rules_said() == []
    assert post.rules_said(5) == ["errors firing"]
    post.begin()
    assert post.rules_said(60) == []
    assert post.rules_said(360) == []
    assert post.rules_said(60) == ["errors resolved"]


def payload(wait_ms: float, **fields: Any) -> bytes:
    record: dict[str, Any] = {
        "request_id": "r", "started_ns": NOW_NS, "worker": "gw-0", "wire": "chat", "path": "/",
        "config_version": "c", "alias": "fast", "duration_ms": wait_ms,
    }  # fmt: skip
    return msgspec.msgpack.encode({**record, **fields})


def answers(store: RecordStore, count: int, one: bytes) -> None:
    rows = [row(next(_NUMBERS), started_ns=NOW_NS, payload=one) for _ in range(count)]
    put(store, *rows, offset=next(_NUMBERS))


def test_slow_answers_are_told_of(post: Post) -> None:
    answers(post.store, 25, payload(40_000.0))
    assert post.rules_said() == []
    assert sorted(post.rules_said(5)) == ["latency-p50 firing", "latency-p99 firing"]


def test_a_stream_that_begins_soon_may_last(post: Post) -> None:
    answers(post.store, 25, payload(400_000.0, stream=True, ttft_ms=300.0))
    post.said()
    assert post.said(5) == []


def test_cut_answers_are_told_of(post: Post) -> None:
    answers(post.store, 60, payload(10.0, finish_reason="length"))
    post.said()
    assert post.rules_said(60) == ["truncation firing"]


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [("personal-data", {"email": 2, "card": 1}), ("leaked-credentials", {"api_key": 1})],
)
def test_much_more_of_what_is_masked_is_told_of_until_it_is_over(
    post: Post, rule: str, kinds: dict[str, int]
) -> None:
    post.clock.ns = usual = NOW_NS - 30 * 60 * S
    rows = [
        row(next(_NUMBERS), started_ns=usual, payload=payload(10.0, started_ns=usual))
        for _ in range(60)
    ]
    put(post.store, *rows, offset=next(_NUMBERS))
    assert post.said() == []
    answers(post.store, 55, payload(10.0))
    answers(post.store, 5, payload(10.0, findings=kinds))
    assert post.rules_said(30 * 60) == []
    assert post.rules_said(60) == [f"{rule} firing"]
    assert post.rules_said(60) == []
    later = [said for _ in range(8) for said in post.rules_said(60)]
    assert later.count(f"{rule} resolved") == 1
    assert f"{rule} firing" not in later


def test_a_budget_that_refuses_is_told_to_be_spent(post: Post) -> None:
    spent(post.store, 9.5)
    limit = "team product usd_per_month"
    answers(post.store, 1, payload(1.0, outcome="budget_exceeded", limit=limit))
    assert shares(post.said()) == [1.0]


def test_traffic_that_stops_is_told_of(post: Post) -> None:
    for minute in range(6, 60, 2):
        at_ns = NOW_NS - minute * 60 * S
        rows = [row(next(_NUMBERS), started_ns=at_ns) for _ in range(40)]
        put(post.store, *rows, offset=next(_NUMBERS))
    assert post.said() == []
    (said,) = post.said(60)
    assert (said.rule, said.severity) == ("throughput-drop", "page")


def test_while_records_are_not_loaded_nothing_is_said_of_traffic(post: Post) -> None:
    post.failing = "disk full"
    failures(post.store, NOW_NS, 10)
    post.said()
    assert post.rules_said(10) == ["records-not-loaded firing"]


def test_a_store_that_is_gone_is_told_of_and_remembered_here(tmp_path: Path) -> None:
    store = RecordStore(f"sqlite:///{tmp_path}/none/tidegate.db")
    post = Post(store, tmp_path / "here")
    post.failing = "no such disk"
    assert post.said() == []
    (said,) = post.said(10)
    assert said.rule == "store-lost"
    assert "unable to open database file" in said.summary
    assert (tmp_path / "here" / "spool" / FILE).stat().st_mode & 0o777 == 0o600
    post.begin()
    assert post.said(10) == []
    store.close()


def test_dear_hours_and_users_are_told_of(post: Post) -> None:
    for hour in range(2, 40):
        spent(post.store, 0.5, at_ns=NOW_NS - hour * HOUR_NS, team=None)
    for number in range(6):
        spent(post.store, 0.1, user=f"u{number}", team=None)
    spent(post.store, 20, user="ann", team=None)
    assert sorted(post.rules_said()) == ["spend-rate firing", "user-cost firing"]


def test_a_feature_that_has_become_dear_is_told_of(post: Post) -> None:
    day_ns = 24 * HOUR_NS
    spent(post.store, *[0.001] * 100, feature="chat", team=None, at_ns=NOW_NS - 9 * day_ns)
    spent(post.store, *[0.003] * 100, feature="chat", team=None, at_ns=NOW_NS - 2 * day_ns)
    assert post.rules_said() == ["feature-cost firing"]


def test_unknown_prices_are_told_of(post: Post) -> None:
    put(post.store, row(1, started_ns=NOW_NS, unpriced=True))
    assert post.rules_said() == ["price-missing firing"]


async def test_boards_are_looked_at(post: Post) -> None:
    retired = PartState("openai", "account", "second", "retired")
    lost = SharedState("down", 0.0, "refused")
    sources = Sources(Wards(), lambda _now_s: (retired,), lambda: lost)
    await Poster(post.directory / "state", "gw-0", sources).post()
    assert post.rules_said() == ["account-retired firing"]
    (said,) = post.said(5)
    assert said.rule == "redis-lost"
    assert said.labels["worker"] == "gw-0"
    assert said.labels["machine"]


async def test_boards_tell_of_a_lost_redis_that_limits_are_counted_in(post: Post) -> None:
    down = SharedState("down", 0.0, "it does not answer")
    sources = Sources(Wards(), counting=lambda: down)
    await Poster(post.directory / "state", "gw-0", sources).post()
    assert post.said() == []
    (said,) = post.said(5)
    assert (said.rule, said.labels["worker"]) == ("redis-lost", "gw-0")
    assert "it does not answer" in said.summary


async def test_boards_tell_of_processes_that_have_too_much_to_do(post: Post) -> None:
    busy = LoadState(share=0.5, lag_s=0.3, pending_bytes=7)
    lanes = (LaneState("p/m", 4, 4, 60, None, None, None, 60, 0),)
    for worker in ("gw-0", "gw-1"):
        sources = Sources(Wards(), load=lambda: busy, lanes=lambda: lanes)
        await Poster(post.directory / "state", worker, sources).post()
    assert post.said() == []
    assert sorted(set(post.rules_said(10))) == ["shedding firing", "spool-not-written firing"]
    said = post.said(20)
    assert {each.rule for each in said} == {"loop-lag", "queue-depth"}
    assert [each.value for each in said if each.rule == "queue-depth"] == [120]


def live(directory: Path, started: int | None, pid: int) -> None:
    directory.mkdir(exist_ok=True)
    board = Board("gw-0", pid, started, 0, 0.0)
    (directory / "gw-0.json").write_bytes(msgspec.json.encode(board))


def test_a_process_that_is_replaced_again_and_again_is_told_of(post: Post) -> None:
    seen: list[str] = []
    with ExitStack() as stack:
        for _ in range(4):
            process = stack.enter_context(subprocess.Popen(["sleep", "60"]))
            stack.callback(process.kill)
            live(post.directory / "state", started_of(process.pid), process.pid)
            seen += post.rules_said(3)
    assert seen == ["process-restarting firing"]
    assert post.alerting.watch.restarts == {"gw-0": 3}


def test_a_process_that_is_not_there_is_told_of(post: Post) -> None:
    around = replace(post.alerting._around, gateways=1)
    post.alerting = Alerting(around, AlertSettings(sinks={"hook": HOOK}), post.clock)
    assert post.said() == []
    assert post.rules_said(20) == ["gateways-missing firing"]


def test_a_sink_that_takes_nothing_is_told_of_after_a_while(post: Post) -> None:
    around = replace(
        post.alerting._around,
        sinks=lambda: {"traces": Standing(behind=3, failing="it answered 503"), "hook": Standing()},
    )
    post.alerting = Alerting(around, AlertSettings(sinks={"hook": HOOK}), post.clock)
    assert post.said() == []
    assert post.said(299) == []
    (said,) = post.said(1)
    assert (said.rule, said.labels["sink"]) == ("sink-stuck", "traces")


PROMISED = {"fast": Objective(availability=0.99, latency=0.9, under_s=2.0)}


def promise(post: Post) -> None:
    around = replace(post.alerting._around, objectives=lambda: PROMISED)
    post.alerting = Alerting(around, AlertSettings(sinks={"hook": HOOK}), post.clock)


def rows(store: RecordStore, count: int, at_ns: int, **fields: Any) -> None:
    made = [row(next(_NUMBERS), started_ns=at_ns, **fields) for _ in range(count)]
    put(store, *made, offset=next(_NUMBERS))


def test_an_error_budget_that_burns_fast_is_told_of(post: Post) -> None:
    promise(post)
    rows(post.store, 80, NOW_NS)
    rows(post.store, 18, NOW_NS, slow=True)
    rows(post.store, 50, NOW_NS, ended="limited")
    assert post.said() == []
    rows(post.store, 17, NOW_NS, ended="failed")
    said = {(each.rule, each.labels["slo"]) for each in post.said(10) if "slo" in each.labels}
    assert said == {("slo-fast-burn", "availability"), ("slo-burn", "availability")}
    (left,) = (
        each.left for (_, slo), each in (post.alerting.watch.facts.burns or {}).items()
        if slo == "availability"
    )  # fmt: skip
    assert left == pytest.approx(1 - (17 / 115) / 0.01)


def test_what_burnt_an_hour_ago_is_over_when_its_short_window_is(post: Post) -> None:
    promise(post)
    rows(post.store, 100, NOW_NS - 600 * S, ended="failed")
    rows(post.store, 100, NOW_NS)
    assert "slo-fast-burn" not in {each.rule for each in post.said()}


def test_late_answers_burn_the_budget_of_latency(post: Post) -> None:
    promise(post)
    rows(post.store, 300, NOW_NS - 5 * HOUR_NS, slow=True)
    rows(post.store, 700, NOW_NS, slow=False)
    rows(post.store, 99, NOW_NS, slow=True)
    said = post.said()
    assert [(each.rule, each.labels) for each in said] == [
        ("slo-slow-burn", {"alias": "fast", "slo": "latency"})
    ]


def test_input_that_is_cached_no_more_is_told_of(post: Post) -> None:
    rows(post.store, 60, NOW_NS - 3 * HOUR_NS, tokens=(100, 80, 0, 0, 0, 0, 0))
    rows(post.store, 60, NOW_NS, tokens=(100, 30, 0, 0, 0, 0, 0))
    (said,) = [each for each in post.said() if each.rule == "cache-drop"]
    assert "30% of the input" in said.summary


async def test_a_look_that_goes_wrong_is_not_the_last(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    looks = asyncio.Queue[None]()
    loop = asyncio.get_running_loop()

    def rules() -> list[Rule]:
        loop.call_soon_threadsafe(looks.put_nowait, None)
        raise ZoneInfoNotFoundError("no such zone")

    spool = post.directory / "spool"
    around = Around(post.store, spool, post.directory / "state", rules, lambda: None)
    alerting = asyncio.create_task(Alerting(around, AlertSettings(every_s=0.0)).run())
    await looks.get()
    await looks.get()
    alerting.cancel()
    await asyncio.wait([alerting])
    assert "alerting could not look; it goes on" in caplog.messages


CONFIG = """
control: {{port: 0}}
store: sqlite:///tidegate.db
spool: {{directory: spool}}
anonymous: true
teams: {{product: {{budget: {{usd: 10, period: total}}}}}}
alerts:
  sinks:
    hook: {{kind: webhook, url: {url}, allow_private: true, secret: "{secret}"}}
"""


def a_record(name: str, usd: float) -> bytes:
    return msgspec.msgpack.encode(
        {
            "request_id": name, "started_ns": NOW_NS, "worker": "gw-0", "wire": "chat", "path": "/",
            "config_version": "c", "team": "product", "alias": "fast",
            "cost_nanousd": round(usd * USD),
        }
    )  # fmt: skip


async def test_control_process_tells_of_each_share_once_whatever_restarts(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    config = tmp_path / "tidegate.yaml"
    spool = SpoolWriter(tmp_path / "spool", writer="gw-0")
    told: list[list[float]] = []
    with receiving() as at:
        config.write_text(CONFIG.format(url=at.url, secret="word"))
        for name, usd in (("one", 5.0), ("two", 3.5), ("three", 2.0)):
            await spool.append(a_record(name, usd))
            posted = await asyncio.to_thread(next_while_running, config, environment, at)
            told.append([each["threshold"] for each in posted.told["alerts"]])
            assert posted.headers["tidegate-signature"]
        assert at.posted.empty()
    spool.close()
    assert told == [[0.5], [0.8], [1.0]]


def next_while_running(config: Path, environment: dict[str, str], at: Receiving) -> Posted:
    command = [sys.executable, "-m", "tidegate.control", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            return at.next()
        finally:
            process.terminate()
            assert process.wait(60) == 0
