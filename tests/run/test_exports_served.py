"""`tidegate serve` with real exports that are dead, are killed, and come back: nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from control.exposition import read
from servers import ClickHouseServer, clickhouse_server, free_port
from test_traces_served import Served

from tidegate.cli import main

CONFIG = """
server: {port: 0}
control: {port: CONTROL}
providers:
  sim: {kind: simulated, length: 2, ttft: 0ms, gap: 0ms}
models:
  one: {targets: [{provider: sim, model: sim-1}]}
exports:
  house:
    kind: clickhouse
    endpoint: "URL"
    user: tidegate
    password: s3cret
    allow_private: true
  lake: {kind: parquet, directory: lake, every: 1s}
"""


@pytest.fixture
def house() -> Iterator[ClickHouseServer]:
    with clickhouse_server() as server:
        yield server


class Gateway:
    """All of it, asked by several callers at once."""

    def __init__(self, directory: Path, house: ClickHouseServer, port: int) -> None:
        self.path = directory / "tidegate.yaml"
        text = CONFIG.replace("URL", house.url).replace("CONTROL", str(port))
        self.path.write_text(text)
        self.port = port
        self.served = Served(self.path)

    def ask(self, count: int) -> list[str]:
        with ThreadPoolExecutor(8) as callers:
            return list(callers.map(self.served.ask, count * ["Hello!"]))

    def exports(self) -> dict[str, dict[str, Any]]:
        words = ["exports", "--json", "--config", str(self.path)]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        return {each["name"]: each for each in json.loads(done.stdout)["items"]}

    def wait(self, export: str, **wanted: Any) -> dict[str, Any]:
        """Ask until the export is so; the test's own time limit ends it."""
        while True:
            found = self.exports()[export]
            if all(found[name] == value for name, value in wanted.items()):
                return found

    def kill_control(self) -> None:
        started = [line for line in self.served.lines if line.get("child") == "control"]
        os.kill([line["pid"] for line in started if "pid" in line][-1], signal.SIGKILL)
        self.served.until(message="started", logger="tidegate.control")


def test_a_dead_export_costs_no_record_and_says_so(tmp_path: Path, house: ClickHouseServer) -> None:
    gateway = Gateway(tmp_path, house, free_port())
    try:
        asked = gateway.ask(100)
        gateway.wait("house", behind=0, sent=100)
        house.kill()
        asked += gateway.ask(300)
        dead = gateway.wait("house", state="failing", behind=300)
        assert dead["lag_s"] > 0.0
        assert "refused" in dead["failing"] or "connect" in dead["failing"]
        gateway.wait("lake", behind=0)  # which the other one does not concern
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/metrics") as answer:
            samples = read(answer.read())
        assert samples['tidegate_export_up{export="exports.house"}'] == 0
        assert samples['tidegate_export_behind_records{export="exports.house"}'] == 300
        assert samples['tidegate_export_failures_total{export="exports.house"}'] >= 1
        shown = CliRunner().invoke(main, ["exports", "--config", str(gateway.path)])
        assert "house" in shown.stdout
        assert "failing" in shown.stdout
        gateway.kill_control()
        asked += gateway.ask(100)
        house.start()
        gateway.wait("house", state="telling", behind=0)
        gateway.kill_control()
        asked += gateway.ask(50)
        gateway.served.stop()
    finally:
        with gateway.served.process:
            gateway.served.client.close()
            gateway.served.process.kill()
    found = house.ask("SELECT request_id FROM tidegate_records FINAL")
    assert sorted(found) == sorted(asked)
    assert len(parquet_ids(tmp_path / "lake")) == len(asked)
    assert set(parquet_ids(tmp_path / "lake")) == set(asked)


def parquet_ids(directory: Path) -> list[str]:
    dataset: Any = import_module("pyarrow.dataset")
    paths = [str(path) for path in directory.rglob("*.parquet")]
    return dataset.dataset(paths).to_table(columns=["request_id"]).column(0).to_pylist()
