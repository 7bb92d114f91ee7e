"""The control process as the supervisor starts it."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from spools import Spool, names, record

from tidegate.admission import told
from tidegate.ledger.segment import segments
from tidegate.ledger.spool import SpoolWriter
from tidegate.limits import Balance
from tidegate.net import door
from tidegate.policy.board import Poster, Sources
from tidegate.policy.health import HealthSettings, Wards
from tidegate.store.records import RecordStore

CONFIG = """
control: {port: 0}
store: sqlite:///tidegate.db
spool: {directory: spool}
"""


class Control:
    """The process and its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read the log until a line is `wanted`; return it."""
        assert self.process.stderr is not None
        read: list[str] = []
        for text in self.process.stderr:
            read.append(text)
            line: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
            if line and wanted(line):
                return line
        raise AssertionError(f"the process ended before that; its log: {read}")

    def port(self) -> int:
        return self.until(lambda line: line["message"] == "started")["port"]


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., Control]]:
    begun: list[subprocess.Popen[str]] = []

    def start(config: str = CONFIG) -> Control:
        path = tmp_path / "tidegate.yaml"
        path.write_text(config)
        command = [sys.executable, "-m", "tidegate.control", "--config", str(path)]
        begun.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment))
        return Control(begun[-1])

    yield start
    for process in begun:
        with process:
            process.kill()


def get(port: int, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return json.load(answer)


async def test_records_are_loaded_while_it_runs_and_the_last_ones_when_it_stops(
    tmp_path: Path, start: Callable[..., Control], store: RecordStore
) -> None:
    control = start()
    port = await asyncio.to_thread(control.port)
    spool = SpoolWriter(tmp_path / "spool", writer="gw-0")
    await spool.append(record("first"))
    while (await asyncio.to_thread(get, port, "/healthz"))["loaded"] < 1:
        pass
    assert names(store) == ["first"]
    await asyncio.gather(*(spool.append(record(f"last-{number}")) for number in range(50)))
    control.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(control.process.wait) == 0
    assert names(store) == ["first", *(f"last-{number}" for number in range(50))]
    spool.close()


async def test_killed_process_loses_nothing(
    tmp_path: Path, start: Callable[..., Control], store: RecordStore
) -> None:
    spool = SpoolWriter(tmp_path / "spool", writer="gw-0", segment_bytes=1000)
    expected: list[str] = []
    for turn in range(3):
        control = start()
        await asyncio.to_thread(control.port)
        some = [f"{turn}-{number}" for number in range(200)]
        await asyncio.gather(*(spool.append(record(name)) for name in some))
        expected += some
        control.process.kill()
        await asyncio.to_thread(control.process.wait)
    spool.close()
    control = start()
    await asyncio.to_thread(control.port)
    control.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(control.process.wait) == 0
    assert names(store) == expected
    assert segments(tmp_path / "spool") == []


def test_health_and_reload(start: Callable[..., Control]) -> None:
    control = start()
    port = control.port()
    health = get(port, "/healthz")
    assert health["status"] == "ok"
    assert health["failing"] is None
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        get(port, "/other")
    refused.value.close()
    control.process.send_signal(signal.SIGHUP)
    assert get(port, "/healthz")["uptime_s"] >= health["uptime_s"]
    control.process.send_signal(signal.SIGINT)
    assert control.process.wait() == 0


async def test_what_the_gateways_post_is_shown(
    tmp_path: Path, start: Callable[..., Control]
) -> None:
    wards = Wards()
    wards.of("p/m", HealthSettings())
    await Poster(tmp_path / "state", "gw-0", Sources(wards)).post()
    port = await asyncio.to_thread(start().port)
    told = await asyncio.to_thread(get, port, "/targets")
    assert [(row["name"], row["state"]) for row in told["targets"]] == [("p/m", "closed")]
    url = f"http://127.0.0.1:{port}/metrics"
    with await asyncio.to_thread(urllib.request.urlopen, url, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b'tidegate_breaker_state{target="p/m",worker="gw-0"} 0\n' in answer.read()


def test_second_process_says_that_another_has_the_spool(
    spool: Spool, start: Callable[..., Control]
) -> None:
    spool.segment("01-gw", record("a"))
    port = start().port()
    while get(port, "/healthz")["loaded"] < 1:
        pass
    second = start()
    line = second.until(lambda line: line["level"] == "error")
    assert "another control process" in line["message"]


def test_address_in_use_is_said_plainly(start: Callable[..., Control]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        control = start(CONFIG.replace("port: 0", f"port: {port}"))
        _, said = control.process.communicate(timeout=60)
    assert control.process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "Traceback" not in said


def test_mistake_in_the_configuration_is_said_plainly(start: Callable[..., Control]) -> None:
    control = start("contrl: {}\n")
    _, said = control.process.communicate(timeout=60)
    assert control.process.returncode == 3
    assert "contrl" in said
    assert "Traceback" not in said


def test_store_that_cannot_be_written_does_not_end_the_process(
    tmp_path: Path, start: Callable[..., Control]
) -> None:
    (tmp_path / "tidegate.db").mkdir()
    control = start()
    port = control.port()
    line = control.until(lambda line: line["level"] == "error")
    assert "stay in the spool" in line["message"]
    assert get(port, "/healthz")["status"] == "failing"
    (tmp_path / "tidegate.db").rmdir()
    control.until(lambda line: "loaded again" in line["message"])
    assert get(port, "/healthz")["status"] == "ok"


def balances(directory: Path, port: int) -> list[Balance]:
    hung = door.find(directory / "spool")
    assert hung is not None
    url = f"http://127.0.0.1:{port}/internal/balances"
    asked = urllib.request.Request(url, headers={"authorization": f"Bearer {hung.word}"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return [each for piece in told.read(answer.read()) for each in piece.balances]


def test_balances_are_for_gateways_only(spool: Spool, start: Callable[..., Control]) -> None:
    spool.segment("01-gw", record("a"))
    port = start().port()
    while get(port, "/healthz")["loaded"] < 1:
        pass
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/internal/balances", timeout=60)
    refused.value.close()


def test_balances_are_of_the_limits_that_the_file_has_now(
    tmp_path: Path, spool: Spool, start: Callable[..., Control]
) -> None:
    spool.segment("01-gw", record("a", team="search", cost_nanousd=5))
    port = start().port()
    while get(port, "/healthz")["loaded"] < 1:
        pass
    assert balances(tmp_path, port) == []
    limited = CONFIG + "teams: {search: {budget: {usd: 1, period: total}}}\n"
    (tmp_path / "tidegate.yaml").write_text(limited)
    assert balances(tmp_path, port) == [Balance("team", "search", "total", "UTC", 0, 5)]
    (tmp_path / "tidegate.yaml").write_text("mistaken: {}")
    assert len(balances(tmp_path, port)) == 1
