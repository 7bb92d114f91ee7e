"""The status board: what is written, when, and what readers believe."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import UpstreamFailed
from tidegate.policy.board import (
    Board,
    LimitState,
    LoadState,
    PartState,
    Poster,
    SharedState,
    Sources,
    read_boards,
    shown,
    state_directory,
)
from tidegate.policy.breaker import BreakerSettings
from tidegate.policy.health import HealthSettings, Wards
from tidegate.policy.slots.lane import LaneSettings
from tidegate.policy.slots.register import Slots

SETTINGS = HealthSettings(breaker=BreakerSettings(failures=1, cooldown_s=10.0))
SECOND_NS = 1_000_000_000
BEGUN_NS = 1_700_000_000 * SECOND_NS


class StoppedClock:
    def now_ns(self) -> int:
        return BEGUN_NS

    def monotonic(self) -> float:
        return 0.0


class Gateway:
    """What a gateway process has of this."""

    def __init__(self, directory: Path, worker: str = "gw-0") -> None:
        self.wards = Wards()
        self.parts: tuple[PartState, ...] = ()
        self.shared: SharedState | None = None
        sources = Sources(self.wards, lambda _now_s: self.parts, lambda: self.shared)
        self.poster = Poster(directory, worker, sources, clock=StoppedClock())

    def fail(self, name: str) -> float:
        now_s = asyncio.get_running_loop().time()
        trial = self.wards.of(name, SETTINGS).begin(now_s)
        assert trial is not None
        trial.failed(UpstreamFailed("It failed."), now_s)
        return now_s


@pytest.fixture
async def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path / "state")


def shown_in(directory: Path, after_s: float = 0.0) -> dict[str, list[dict[str, Any]]]:
    return shown(read_boards(directory), BEGUN_NS + int(after_s * SECOND_NS))


async def test_reader_sees_what_the_gateway_knows(tmp_path: Path, gateway: Gateway) -> None:
    gateway.fail("p/m")
    gateway.wards.of("a/b", SETTINGS)
    gateway.parts = (PartState("p", "account", "main", "resting", until_s=1e9, left={"tokens": 5}),)
    gateway.shared = SharedState("down", 0.0, "refused")
    assert await gateway.poster.post()
    told = shown_in(tmp_path / "state", after_s=4.0)
    quiet, failing = told["targets"]
    assert (quiet["name"], quiet["state"], quiet["for_s"]) == ("a/b", "closed", None)
    assert (failing["worker"], failing["state"], failing["failed"]) == ("gw-0", "open", 1)
    assert failing["retry_in_s"] == pytest.approx(6.0, abs=0.5)
    assert failing["for_s"] == pytest.approx(4.0, abs=0.5)
    assert told["parts"][0]["left"] == {"tokens": 5}
    assert told["gateways"][0]["shared"]["state"] == "down"
    json.dumps(told, allow_nan=False)
    assert shown_in(tmp_path / "state", after_s=60.0)["targets"][1]["retry_in_s"] == 0.0


async def test_written_only_when_something_changed(tmp_path: Path, gateway: Gateway) -> None:
    assert await gateway.poster.post()
    assert not await gateway.poster.post()
    gateway.fail("p/m")
    assert await gateway.poster.post()
    assert not await gateway.poster.post()
    gateway.parts = (PartState("p", "replica", "one", "ejected"),)
    assert await gateway.poster.post()
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["gw-0.json"]
    assert gateway.poster.path.stat().st_mode & 0o777 == 0o600


async def test_load_turns_and_limits_are_written_when_they_change(tmp_path: Path) -> None:
    load, limits, slots = LoadState(), [LimitState("team", "red", "steps", 9, 9)], Slots()
    lane = slots.of("p/m", LaneSettings())
    sources = Sources(
        Wards(),
        load=lambda: load,
        lanes=slots.snapshot,
        limits=lambda: tuple(limits),
        counting=lambda: SharedState("up", 1.0),
    )
    poster = Poster(tmp_path, "gw-0", sources, clock=StoppedClock())
    assert await poster.post()
    assert not await poster.post()
    load = LoadState(running=3, held_nanousd=2**53 + 1, lag_s=0.005)
    assert await poster.post()
    lane.take("red", "", 0.0)
    assert await poster.post()
    limits[0] = LimitState("team", "red", "steps", 9, 8)
    assert await poster.post()
    (board,) = read_boards(tmp_path)
    assert (board.load, board.lanes, board.limits) == (load, slots.snapshot(), tuple(limits))
    assert board.counting == SharedState("up", 1.0)
    assert shown([board], BEGUN_NS)["lanes"][0]["running"] == 1


async def test_board_is_taken_down_at_the_end(gateway: Gateway) -> None:
    assert await gateway.poster.post()
    running = asyncio.create_task(gateway.poster.run())
    await asyncio.sleep(0)  # it has nothing new to write, and waits
    assert gateway.poster.path.exists()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not gateway.poster.path.exists()


async def test_board_that_is_being_written_at_the_end_is_taken_down_too(gateway: Gateway) -> None:
    for _ in range(50):
        running = asyncio.create_task(gateway.poster.run())
        await asyncio.sleep(0)  # it hands the file to a thread
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not gateway.poster.path.exists()


async def test_disk_that_refuses_is_said_once_and_tried_again(
    tmp_path: Path, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("in the way")
    assert not await gateway.poster.post()
    assert not await gateway.poster.post()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    (tmp_path / "state").unlink()
    assert await gateway.poster.post()
    assert len(read_boards(tmp_path / "state")) == 1


def test_readers_of_nothing_see_nothing(tmp_path: Path) -> None:
    assert read_boards(tmp_path / "state") == []
    (tmp_path / "file").touch()
    assert read_boards(tmp_path / "file") == []


def test_state_is_kept_beside_the_spool(tmp_path: Path) -> None:
    assert state_directory(tmp_path / "spool") == tmp_path / "state"


DYING = """
import asyncio, sys
from pathlib import Path
from tidegate.policy.board import Poster, Sources
from tidegate.policy.health import Wards

async def main():
    await Poster(Path(sys.argv[1]), "gw-9", Sources(Wards())).post()
    print("posted", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_board_of_a_killed_process_is_not_believed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", DYING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"posted\n"
        assert [board.worker for board in read_boards(tmp_path)] == ["gw-9"]
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert read_boards(tmp_path) == []  # dead, though nobody has collected it yet
    assert read_boards(tmp_path) == []
    assert (tmp_path / "gw-9.json").exists()


async def test_number_of_a_dead_process_may_be_anothers(tmp_path: Path, gateway: Gateway) -> None:
    await gateway.poster.post()
    board = msgspec.json.decode(gateway.poster.path.read_bytes())
    if board["started"] is None:
        pytest.skip("needs Linux to tell two processes of one number apart")
    gateway.poster.path.write_bytes(msgspec.json.encode({**board, "started": 1}))
    assert read_boards(tmp_path / "state") == []


@pytest.mark.parametrize("pid", [-1, 0, 10**30, 2**22 - 1])
async def test_process_that_cannot_be_is_not_believed(gateway: Gateway, pid: int) -> None:
    await gateway.poster.post()
    board = msgspec.json.decode(gateway.poster.path.read_bytes())
    gateway.poster.path.write_bytes(msgspec.json.encode({**board, "pid": pid, "started": None}))
    assert [each for each in read_boards(gateway.poster.path.parent) if each.pid != pid] == []


async def test_every_process_has_its_own_board(tmp_path: Path) -> None:
    for worker in ("gw-1", "gw-0"):
        gateway = Gateway(tmp_path, worker)
        gateway.wards.of("p/m", SETTINGS)
        await gateway.poster.post()
    assert [board.worker for board in read_boards(tmp_path)] == ["gw-0", "gw-1"]
    assert [row["worker"] for row in shown_in(tmp_path)["targets"]] == ["gw-0", "gw-1"]


@pytest.mark.parametrize("worker", ["", "a/b", "../x", "a b"])
def test_worker_whose_name_is_no_file_name_is_refused(tmp_path: Path, worker: str) -> None:
    with pytest.raises(ValueError, match="must be letters"):
        Poster(tmp_path, worker, Sources(Wards()))


@settings(max_examples=50)
@given(
    written=st.binary(max_size=200)
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(
        msgspec.json.encode
    )
)
def test_whatever_stands_in_a_file_only_boards_are_read(
    tmp_path_factory: pytest.TempPathFactory, written: bytes
) -> None:
    directory = tmp_path_factory.getbasetemp() / "any-state"
    (directory / "gw-1.json").mkdir(parents=True, exist_ok=True)
    (directory / "gw-0.json").write_bytes(written)
    assert read_boards(directory) == []


def test_times_are_those_of_the_gateways_own_loop(tmp_path: Path) -> None:
    async def post() -> float:
        gateway = Gateway(tmp_path)
        await gateway.poster.post()
        return asyncio.get_running_loop().time()

    at_s = uvloop.run(post())
    (board,) = read_boards(tmp_path)
    assert isinstance(board, Board)
    assert board.now_s(BEGUN_NS + 5 * SECOND_NS) == pytest.approx(at_s + 5.0, abs=0.5)
    assert board.now_s(BEGUN_NS - 5 * SECOND_NS) == board.written_s
