"""A real ClickHouse: what it holds of records, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from receiving import receiver
from servers import ClickHouseServer, clickhouse_server
from staging import NOW_NS, Stock, through

from tidegate.config.exports import sinks_of
from tidegate.config.load import load
from tidegate.control.sinks.clickhouse import ClickHouseWay
from tidegate.control.sinks.columns import columns
from tidegate.control.sinks.post import NotTaken, Post
from tidegate.control.sinks.settings import ClickHouse, Receiver
from tidegate.control.sinks.way import Told
from tidegate.net.dns import Resolver
from tidegate.store.records import Filter, Found, RecordStore
from tidegate.telemetry.record import Attempt

WHO = {"x-clickhouse-user": "tidegate", "x-clickhouse-key": "s3cret"}


@pytest.fixture(scope="module")
def running() -> Iterator[ClickHouseServer]:
    with clickhouse_server() as server:
        yield server


@pytest.fixture
def server(running: ClickHouseServer) -> ClickHouseServer:
    for table in running.ask("SHOW TABLES"):
        running.ask(f"DROP TABLE {table}")
    return running


class Opened:
    """Opens ways, to be closed in the end."""

    def __init__(self) -> None:
        self.resolver = Resolver()
        self.ways: list[ClickHouseWay] = []

    def to(self, there: ClickHouse, kind: type[ClickHouseWay] = ClickHouseWay) -> ClickHouseWay:
        self.ways.append(kind(there, Post(there.to, self.resolver)))
        return self.ways[-1]

    def at(self, server: ClickHouseServer, **more: object) -> ClickHouseWay:
        return self.to(settings(server.url, **more))


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    opened = Opened()
    yield opened
    for way in opened.ways:
        await way.close()
    await opened.resolver.close()


@pytest.fixture
def stock(store: RecordStore) -> Stock:
    return Stock(store)


def settings(url: str, **more: object) -> ClickHouse:
    return replace(ClickHouse(Receiver(url, "/", WHO, allow_private=True)), **more)


def ids(server: ClickHouseServer, final: str = "FINAL") -> list[str]:
    return server.ask(f"SELECT request_id FROM tidegate_records {final} ORDER BY place")


def inserting(server: ClickHouseServer, under_way: asyncio.Task[float]) -> None:
    """Wait until the server is at something besides our own question."""
    while server.ask("SELECT count() FROM system.processes") == ["1"] and not under_way.done():
        pass


class Unnoted(ClickHouseWay):
    """Dies when the insert is done and nobody has noted it."""

    async def take(self, page: Sequence[Found], after: int) -> Told:
        await super().take(page, after)
        raise asyncio.CancelledError


async def test_every_field_of_a_record_is_a_column_that_can_be_asked_for(
    server: ClickHouseServer, stock: Stock, opened: Opened
) -> None:
    attempts = [Attempt("local/smol", "ok", 1.5, 20.0, status=200)]
    stock.add(
        1, team="search \N{SNOWMAN}", user="", stream=True, status=200, attempts=attempts,
        tags={"a": "b"}, dropped=["logprobs", "x"], input_tokens=7, output_tokens=0,
        cost_nanousd=2**63 + 5, ttft_ms=12.25, usage_estimated=True, error="\0\u2028" + 300 * "e",
        request_body=b"not told",
    )  # fmt: skip
    stock.add(1)
    open_way = opened.at(server)
    await through(stock.told(open_way))
    found = server.ask(
        "SELECT team, stream, status, tags, dropped, input_tokens, output_tokens, cost_nanousd,"
        " ttft_ms, length(error), toUnixTimestamp(started), started_ns, attempts"
        " FROM tidegate_records ORDER BY place FORMAT TabSeparatedRaw"
    )
    assert found[0].split("\t")[:-1] == [
        "search \N{SNOWMAN}", "1", "200", '{"a":"b"}', "['logprobs','x']", "7", "0",
        str(2**63 - 1), "12.25", "304", str(NOW_NS // 10**9), str(NOW_NS),
    ]  # fmt: skip
    assert msgspec.json.decode(found[0].split("\t")[-1], type=list[Attempt]) == attempts
    assert server.ask("SELECT input_tokens FROM tidegate_records ORDER BY place")[1] == "\\N"
    described = dict(line.split("\t")[:2] for line in server.ask("DESCRIBE tidegate_records"))
    named = ["place", "started", *(each.name for each in columns(bodies=False))]
    assert list(described) == named
    assert described["team"] == "LowCardinality(String)"
    assert "request_body" not in described


async def test_bodies_go_along_if_the_sink_says_so(
    server: ClickHouseServer, stock: Stock, opened: Opened
) -> None:
    stock.add(1, request_body=b"\xff\x00 asked", response_body=b"said")
    open_way = opened.at(server, bodies=True)
    await through(stock.told(open_way))
    found = server.ask("SELECT hex(request_body), response_body FROM tidegate_records")
    assert found == ["FF002061736B6564\tsaid"]


async def test_killed_between_insert_and_note_each_record_is_there_once(
    server: ClickHouseServer, stock: Stock, opened: Opened
) -> None:
    names = stock.add(3_000)
    there = settings(server.url)
    dying = opened.to(there, Unnoted)
    for _ in range(3):
        with pytest.raises(asyncio.CancelledError):
            await stock.told(dying).turn(last=True)
    stock.add(500)
    assert len(ids(server, "")) > len(names)
    open_way = opened.at(server)
    await through(stock.told(open_way))
    assert ids(server) == stock.names
    server.ask("OPTIMIZE TABLE tidegate_records FINAL")
    assert ids(server, "") == stock.names


async def test_a_server_killed_while_it_inserts_has_every_record_once(
    server: ClickHouseServer, stock: Stock, opened: Opened
) -> None:
    stock.add(2_000, error=200 * "long ")
    open_way = opened.at(server)
    sending = stock.told(open_way)
    await sending.turn(last=True)
    while sending.standing.failures < 2:
        stock.add(4_000, error=200 * "long ")
        under_way = asyncio.create_task(sending.turn(last=True))
        await asyncio.to_thread(inserting, server, under_way)
        await asyncio.to_thread(server.kill)
        await under_way
        await asyncio.to_thread(server.start)
        await through(sending)
    assert ids(server) == stock.names
    assert sending.standing.failing is None


async def test_a_table_of_an_earlier_version_gets_the_columns_that_it_lacks(
    server: ClickHouseServer, stock: Stock, opened: Opened
) -> None:
    server.ask(
        "CREATE TABLE tidegate_records (place Int64, started DateTime('UTC'), request_id String,"
        " alias LowCardinality(String), mine String DEFAULT 'kept')"
        " ENGINE = ReplacingMergeTree(place) PARTITION BY toYYYYMM(started)"
        " ORDER BY (started, request_id)"
    )
    stock.add(2, finish_reason="stop")
    open_way = opened.at(server)
    await through(stock.told(open_way))
    found = server.ask("SELECT request_id, alias, finish_reason, mine FROM tidegate_records")
    assert found == ["req_0\tfast\tstop\tkept", "req_1\tfast\tstop\tkept"]


async def test_a_table_that_was_dropped_is_made_again(
    server: ClickHouseServer, stock: Stock, opened: Opened
) -> None:
    stock.add(2)
    open_way = opened.at(server)
    sending = stock.told(open_way)
    await through(sending)
    server.ask("DROP TABLE tidegate_records")
    names = stock.add(2)
    assert await sending.turn(last=True) > 0.0
    assert "is made again" in str(sending.standing.failing)
    await through(sending)
    assert ids(server) == names


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"x-clickhouse-key": "wrong"}, "the password is wrong; check `user` and `password`"),
        ({"x-clickhouse-user": "nobody"}, "there is no such user"),
        ({"x-clickhouse-user": "reader"}, "may only read; let it INSERT into nowhere."),
    ],
)
async def test_what_is_refused_says_what_to_do(
    server: ClickHouseServer, stock: Stock, opened: Opened, more: dict[str, str], said: str
) -> None:
    stock.add(1)
    there = settings(server.url, database="nowhere")
    there = replace(there, to=replace(there.to, headers=WHO | more))
    open_way = opened.to(there)
    sending = stock.told(open_way)
    assert await sending.turn(last=True) > 0.0
    assert said in str(sending.standing.failing)
    assert "s3cret" not in str(sending.standing.failing)
    assert sending.standing.behind == 1


async def test_a_database_that_is_not_there_is_named(
    server: ClickHouseServer, stock: Stock, opened: Opened
) -> None:
    stock.add(1)
    open_way = opened.at(server, database="nowhere")
    sending = stock.told(open_way)
    await sending.turn(last=True)
    assert "run CREATE DATABASE nowhere" in str(sending.standing.failing)
    server.ask("CREATE DATABASE nowhere")
    await through(sending)
    assert server.ask("SELECT count() FROM nowhere.tidegate_records") == ["1"]
    server.ask("DROP DATABASE nowhere")


async def test_what_is_no_clickhouse_is_said_to_be_none(stock: Stock, opened: Opened) -> None:
    stock.add(1)
    with receiver(lambda _: (404, {}, b"no such page")) as other:
        there = settings(other.origin)
        open_way = opened.to(there)
        with pytest.raises(NotTaken, match="is no ClickHouse; check `endpoint`"):
            await open_way.take(stock.store.after(0, 1, Filter()), 0)


async def test_an_error_after_the_head_is_an_error(stock: Stock, opened: Opened) -> None:
    stock.add(1)
    late = b"Code: 241, e.displayText() = DB::Exception: Memory limit exceeded"
    with receiver(lambda _: (200, {}, late)) as other:
        there = settings(other.origin)
        open_way = opened.to(there)
        with pytest.raises(NotTaken, match="code 241: it has not enough memory"):
            await open_way.take(stock.store.after(0, 1, Filter()), 0)


def test_its_settings_are_read_and_its_secrets_kept(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(
        "providers: {sim: {kind: simulated}}\n"
        "models: {fast: {targets: [{provider: sim, model: one}]}}\n"
        "exports: {house: {kind: clickhouse, endpoint: 'https://ch.example.com:8443',"
        " user: tidegate, password: '${env:TOKEN}', database: llm, table: calls, ttl: 400d}}\n"
    )
    config = load(path, environ={"TOKEN": "t-4711"})
    found = sinks_of(config.traces, config.exports, config.providers)["exports.house"]
    assert isinstance(found, ClickHouse)
    assert found.to.headers == {"x-clickhouse-user": "tidegate", "x-clickhouse-key": "t-4711"}
    assert (found.database, found.table, found.ttl_days) == ("llm", "calls", 400)
    assert "t-4711" not in repr(found)
