"""Exports of `tidegate serve` that are killed under way, and control with them: nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from exporting import Exporting, is_done, written
from servers import ClickHouseServer, clickhouse_server

HOUSE = """
exports:
  house:
    kind: clickhouse
    endpoint: "{url}"
    user: tidegate
    password: s3cret
    allow_private: true
  lake: {{kind: parquet, directory: lake, every: 1s}}
"""
LAKE = "exports: {lake: {kind: parquet, directory: lake, every: 3s}}"
TORN = 2
"""How often control is killed with a file half written."""


@pytest.fixture
def house() -> Iterator[ClickHouseServer]:
    with clickhouse_server() as server:
        yield server


@pytest.fixture
def serve(tmp_path: Path, provider: str) -> Iterator[Callable[[str], Exporting]]:
    begun: list[Exporting] = []

    def start(extra: str) -> Exporting:
        begun.append(Exporting(written(tmp_path, provider, extra)))
        return begun[-1]

    yield start
    for each in begun:
        each.close()


Serve = Callable[[str], Exporting]


def test_a_dead_export_is_told_by_command_api_metrics_and_log(
    house: ClickHouseServer, serve: Serve
) -> None:
    gateway = serve(HOUSE.format(url=house.url))
    asked = gateway.ask_often(20)
    gateway.wait("house", lambda each: each["sent"] == 20)
    house.kill()
    asked += gateway.ask_often(30)
    dead = gateway.wait("house", lambda each: each["failing"] and each["behind"] == 30)
    assert dead["state"] == "failing"
    assert "refused" in dead["failing"] or "connect" in dead["failing"]
    assert gateway.wait("house", lambda each: each["lag_s"])["behind"] == 30
    told = gateway.metrics("house")
    assert (told["up"], told["behind_records"], told["sent_total"]) == (0, 30, 20)
    assert told["failures_total"] >= 1
    assert told["lag_seconds"] > 0
    assert "failing" in gateway.shown()
    asked_for = gateway.exports()["house"]
    assert (asked_for["state"], asked_for["behind"]) == ("failing", 30)
    assert asked_for["lag_s"] > 0
    assert asked_for["failing"]
    gateway.wait("lake", lambda each: each["sent"] == 50)  # which the other does not concern
    assert gateway.metrics("lake")["up"] == 1
    house.start()
    alive = gateway.wait("house", lambda each: is_done(each) and each["sent"] == 50)
    assert alive["failures"] == gateway.metrics("house")["failures_total"]
    told, listed = gateway.metrics("house"), gateway.exports()["house"]
    assert (told["up"], told["behind_records"], told["lag_seconds"]) == (1, 0, 0)
    assert (listed["behind"], listed["lag_s"], listed["failing"]) == (0, 0, None)
    assert sorted(ids(house)) == sorted(asked)
    assert gateway.end() == 0
    said = [line["message"] for line in gateway.lines if "exports.house" in str(line)]
    assert any("is not told, tried again" in message for message in said)
    assert any("is told again" in message for message in said)


def test_clickhouse_and_control_killed_under_traffic_lose_and_double_nothing(
    tmp_path: Path, house: ClickHouseServer, serve: Serve
) -> None:
    gateway = serve(HOUSE.format(url=house.url))
    with gateway.asked_all_along() as asked:
        gateway.wait("house", lambda each: each["sent"])
        house.kill()
        asked.more(100)
        gateway.wait("house", lambda each: each["failing"] and each["behind"] >= 100)
        gateway.kill("control")
        asked.more(100)  # whom it does not concern
        gateway.back()
        gateway.wait("house", lambda each: each["failing"])
        gateway.kill("control")
        house.start()
        gateway.back()
        gateway.wait("house", lambda each: each["sent"])
        gateway.kill("control")
        asked.more(100)
        gateway.back()
        asked.more(100)
    gateway.wait("house", is_done)
    gateway.wait("lake", is_done)
    assert sorted(gateway.rows("SELECT request_id FROM records")) == sorted(asked.ids)
    assert sorted(ids(house)) == sorted(asked.ids)
    assert sorted(read(tmp_path / "lake")) == sorted(asked.ids)


def test_control_killed_in_the_middle_of_a_file_leaves_none_torn_and_none_twice(
    tmp_path: Path, serve: Serve
) -> None:
    gateway, lake, torn = serve(LAKE), tmp_path / "lake", 0
    asked: list[str] = []
    while torn < TORN:
        before = files(lake)
        asked += gateway.ask_often(20)
        while not (begun := unfinished(lake)) and files(lake) == before:
            pass
        if begun:  # else it was there too soon to be seen
            gateway.kill("control")
            gateway.back()
            torn += bool(unfinished(lake))
            assert set(read(lake)) <= set(asked)
    while len(read(lake)) < len(asked):
        pass
    assert sorted(read(lake)) == sorted(asked)
    assert not unfinished(lake)  # the same file was written again


def files(lake: Path) -> list[Path]:
    return sorted(lake.rglob("*.parquet"))


def unfinished(lake: Path) -> list[Path]:
    return [path for path in lake.rglob(".*") if path.is_file()]


def ids(house: ClickHouseServer) -> list[str]:
    return house.ask("SELECT request_id FROM tidegate_records FINAL")


def read(directory: Path) -> list[str]:
    """What a reader of the whole directory finds."""
    if not files(directory):
        return []
    dataset: Any = import_module("pyarrow.dataset")
    found = dataset.dataset(directory, format="parquet", partitioning="hive")
    return found.to_table(columns=["request_id"]).column(0).to_pylist()
