"""Records as files: each in one of them, whoever dies, and readable by others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from staging import NOW_NS, Stock, through

from tidegate.clock import SystemClock
from tidegate.config.exports import sinks_of
from tidegate.config.load import load
from tidegate.control.sinks.columns import columns
from tidegate.control.sinks.parquet import ParquetWay
from tidegate.control.sinks.settings import Parquet
from tidegate.control.sinks.way import Told
from tidegate.store.records import Found, RecordStore

dataset: Any = import_module("pyarrow.dataset")

HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS


class Ahead(SystemClock):
    """A clock that is moved on by hand."""

    ahead_s = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + round(self.ahead_s * 10**9)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Unnoted(ParquetWay):
    """Dies when the files are there and nobody has noted it."""

    async def take(self, page: Sequence[Found], after: int) -> Told:
        await super().take(page, after)
        raise asyncio.CancelledError


class Halfway(ParquetWay):
    """Dies before the second file of a page."""

    puts = 0

    def _put(self, table: Any, path: Path) -> int:
        self.puts += 1
        if self.puts == 2:
            raise KeyboardInterrupt
        return super()._put(table, path)


@pytest.fixture
def stock(store: RecordStore) -> Stock:
    return Stock(store)


@pytest.fixture
def there(tmp_path: Path) -> Parquet:
    return Parquet(tmp_path / "lake")


def rows(there: Parquet) -> list[dict[str, Any]]:
    """Everything that a reader finds, in the order of the store."""
    found = dataset.dataset(there.directory, partitioning="hive").to_table()
    return sorted(found.to_pylist(), key=lambda row: row["place"])


def ids(there: Parquet) -> list[str]:
    return [row["request_id"] for row in rows(there)]


def files(there: Parquet) -> dict[str, bytes]:
    return {
        str(path.relative_to(there.directory)): path.read_bytes()
        for path in sorted(there.directory.rglob("*"))
        if path.is_file()
    }


async def test_a_reader_finds_every_field_by_day_and_hour(stock: Stock, there: Parquet) -> None:
    began_ns = NOW_NS // HOUR_NS * HOUR_NS + 123_456_789
    stock.add(
        2, began_ns, team="search", tags={"a": "b"}, dropped=["x"], cost_nanousd=1_500,
        ttft_ms=1.5, request_body=b"not told", input_tokens=2**64 - 1,
    )  # fmt: skip
    stock.add(1, began_ns - HOUR_NS)
    await through(stock.told(ParquetWay(there, SystemClock())))
    found = rows(there)
    assert [row["request_id"] for row in found] == stock.names
    assert set(found[0]) == {
        "place", "started", "date", "hour", *(each.name for each in columns(bodies=False)),
    }  # fmt: skip
    first = found[0]
    assert (first["team"], first["tags"], first["dropped"]) == ("search", '{"a":"b"}', ["x"])
    assert (first["cost_nanousd"], first["ttft_ms"]) == (1_500, 1.5)
    assert first["input_tokens"] == 2**63 - 1
    assert found[2]["cost_nanousd"] is None
    schema = dataset.dataset(there.directory, partitioning="hive").schema
    assert str(schema.field("started").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("cost_nanousd").type) == "int64"
    began = [datetime.fromtimestamp((began_ns - n * HOUR_NS) // 10**9, UTC) for n in (0, 1)]
    assert {Path(name).parent.name for name in files(there)} == {
        f"hour={each:%H}" for each in began
    }
    assert str(first["date"]) == f"{began[0]:%Y-%m-%d}"
    assert first["hour"] == began[0].hour


async def test_bodies_are_in_it_if_the_sink_says_so(stock: Stock, there: Parquet) -> None:
    stock.add(1, request_body=b"\xffasked")
    await through(stock.told(ParquetWay(replace(there, bodies=True), SystemClock())))
    assert rows(there)[0]["request_body"] == b"\xffasked"


async def test_killed_before_it_is_noted_the_same_files_are_written_again(
    stock: Stock, there: Parquet
) -> None:
    for hour in range(3):
        stock.add(40, NOW_NS - hour * HOUR_NS)
    with pytest.raises(asyncio.CancelledError):
        await stock.told(Unnoted(there, SystemClock())).turn(last=True)
    before = files(there)
    assert len(before) == 3
    stock.add(10)  # which the page does not take up, or it would not be the same
    sending = stock.told(ParquetWay(there, SystemClock()))
    await sending.turn(last=True)
    assert files(there) == before
    await through(sending)
    assert ids(there) == stock.names


async def test_killed_before_it_is_noted_and_the_first_has_gone_each_record_is_in_one(
    stock: Stock, there: Parquet
) -> None:
    stock.add(3)
    with pytest.raises(asyncio.CancelledError):
        await stock.told(Unnoted(there, SystemClock())).turn(last=True)
    with stock.store.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM records WHERE request_id = 'req_0'")
    await through(stock.told(ParquetWay(there, SystemClock())))
    assert ids(there) == stock.names[1:]


async def test_killed_between_two_files_each_record_is_in_one(stock: Stock, there: Parquet) -> None:
    for hour in range(3):
        stock.add(40, NOW_NS - hour * HOUR_NS)
    way = Halfway(there, SystemClock())
    page = page_of(stock.told(way))
    with pytest.raises(KeyboardInterrupt):
        way._write(page, page[0].id - 1)
    assert len(files(there)) == 1
    stock.add(10)
    # Of a smaller page than was aimed at nothing may be left over.
    await through(stock.told(ParquetWay(replace(there, rows=20), SystemClock())))
    assert ids(there) == stock.names


def page_of(sending: Any) -> Sequence[Found]:
    """The page that it would tell next, aimed at as it does."""
    page: Sequence[Found] = sending._read(last=True)
    return page


async def test_a_file_is_full_or_old_when_it_is_written(stock: Stock, there: Parquet) -> None:
    clock = Ahead()
    there = replace(there, rows=100, every_s=60.0)
    sending = stock.told(ParquetWay(there, clock), clock)
    stock.add(250)
    assert await sending.turn() == 0.0
    assert await sending.turn() == 0.0
    assert await sending.turn() > 0.0
    assert ids(there) == stock.names[:200]
    assert (sending.standing.state, sending.standing.behind) == ("gathering", 50)
    clock.ahead_s = 59.0
    assert await sending.turn() > 0.0
    clock.ahead_s = 61.0
    await sending.turn()
    assert ids(there) == stock.names
    assert len(files(there)) == 3
    assert sending.standing.behind == 0


async def test_days_that_are_too_old_go_and_what_is_not_ours_stays(
    stock: Stock, there: Parquet
) -> None:
    stock.add(1)
    stock.add(1, NOW_NS - 3 * DAY_NS)
    stock.add(1, NOW_NS - 9 * DAY_NS)
    stock.add(1, NOW_NS - 20 * DAY_NS)
    await through(stock.told(ParquetWay(there, SystemClock())))
    oldest = min(there.directory.iterdir())
    strange = oldest / "notes.txt"
    strange.write_text("mine")
    stock.add(1)
    await through(stock.told(ParquetWay(replace(there, keep_days=5), SystemClock())))
    paths = [str(path) for path in there.directory.rglob("*.parquet")]
    found = dataset.dataset(paths).to_table().column("request_id").to_pylist()
    assert sorted(found) == ["req_0", "req_1", "req_4"]
    assert [path.name for path in oldest.iterdir()] == ["notes.txt"]
    assert len(list(there.directory.iterdir())) == 3


@pytest.fixture
def full(there: Parquet) -> Path:
    """A directory where nothing can be made, for root neither: a file is in its place."""
    there.directory.write_text("in the way")
    return there.directory


async def test_a_disk_that_refuses_is_named_and_nothing_is_lost(
    stock: Stock, there: Parquet, full: Path
) -> None:
    names = stock.add(3)
    sending = stock.told(ParquetWay(there, SystemClock()))
    assert await sending.turn(last=True) > 0.0
    said = str(sending.standing.failing)
    assert str(full) in said
    assert "make room" in said
    assert (sending.standing.behind, sending.standing.failures) == (3, 1)
    full.unlink()  # noqa: ASYNC240 - nobody else runs here
    await through(sending)
    assert ids(there) == names


def test_its_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(
        "providers: {sim: {kind: simulated}}\n"
        "models: {fast: {targets: [{provider: sim, model: one}]}}\n"
        "exports: {lake: {kind: parquet, directory: lake, every: 1m, rows: 10, keep: 36h}}\n"
    )
    config = load(path, environ={})
    found = sinks_of(config.traces, config.exports, config.providers)["exports.lake"]
    assert found == Parquet(tmp_path / "lake", rows=10, every_s=60.0, keep_days=2)
