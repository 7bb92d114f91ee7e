"""Databases that earlier versions made, with what was in them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError
from storing import put, row

from tidegate.control.catchup import catch_up
from tidegate.store.database import Database
from tidegate.store.migrations import StoreTooNew, upgrade
from tidegate.store.records import Filter, RecordStore
from tidegate.store.schema import SCHEMA
from tidegate.store.spend import SpendQuery
from tidegate.telemetry.record import Record, encode

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS

# As the last version without migrations made them.
BEFORE = """
CREATE TABLE records (
    id INTEGER NOT NULL, request_id TEXT NOT NULL, started_ns BIGINT NOT NULL, alias TEXT,
    "key" TEXT, outcome TEXT NOT NULL, provider TEXT, target TEXT, payload BLOB NOT NULL,
    PRIMARY KEY (id), UNIQUE (request_id));
CREATE INDEX records_alias ON records (alias, started_ns);
CREATE INDEX records_errors ON records (started_ns) WHERE outcome != 'ok';
CREATE INDEX records_key ON records ("key", started_ns);
CREATE INDEX records_outcome ON records (outcome, started_ns);
CREATE INDEX records_provider ON records (provider, started_ns);
CREATE INDEX records_started ON records (started_ns);
CREATE TABLE segments (name TEXT NOT NULL, "offset" BIGINT NOT NULL, PRIMARY KEY (name))
"""
RESPONSES = """
CREATE TABLE responses (
    id TEXT NOT NULL, owner TEXT NOT NULL, root TEXT NOT NULL, previous TEXT,
    created_ns BIGINT NOT NULL, expires_ns BIGINT NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (id));
CREATE INDEX responses_root ON responses (root, expires_ns);
INSERT INTO responses VALUES ('r', 'key:ann', 'r', NULL, 1, 100, 'kept')
"""


@pytest.fixture
def database(any_store_url: str) -> Iterator[Database]:
    database = Database(any_store_url)
    database.touch()
    yield database
    database.close()


def a_record(number: int) -> Record:
    return Record(
        request_id=f"req_{number}", started_ns=number * 20 * DAY_NS, worker="gw-0", wire="chat",
        path="/v1/chat/completions", config_version="c", key="web", team="search", alias="fast",
        provider="openai", target="openai/gpt", model="gpt-1", status=200, input_tokens=2,
        output_tokens=3, cost_nanousd=number,
    )  # fmt: skip


def fill(database: Database, count: int = 10) -> None:
    """Records and a place, as the first version of the schema has them."""
    with database.writing() as connection:
        for number in range(1, count + 1):
            record = a_record(number)
            statement = text(
                "INSERT INTO records (request_id, started_ns, alias, key, outcome, provider, "
                "target, payload) VALUES (:id, :began, 'fast', 'web', 'ok', 'openai', "
                "'openai/gpt', :payload)"
            )
            values = {
                "id": record.request_id, "began": record.started_ns, "payload": encode(record),
            }  # fmt: skip
            connection.execute(statement, values)
        connection.execute(text("INSERT INTO segments VALUES ('one.spool1', 7)"))


def assert_all_is_there(store: RecordStore) -> None:
    found = store.recent(100, Filter())
    assert [each.payload for each in found] == [encode(a_record(n)) for n in range(1, 11)]
    store.name_spool("here")
    assert store.offsets("here") == {"one.spool1": 7}
    twice = [(each.id, row(999, cost_nanousd=1)) for each in found[-3:]]
    while catch_up(store, most=3):
        store.sum_up(twice, top=twice[-1][0], below=twice[0][0])  # by somebody who comes too late
    assert not catch_up(store)
    spent = store.spending.spend(SpendQuery("team", 0, 999 * DAY_NS))
    assert [(row.name, row.requests, row.cost_nanousd) for row in spent.rows] == [
        ("search", 10, 55)
    ]
    assert store.held.charged("team", None, 0) == {"search": 55}
    put(store, row(11, started_ns=11 * 20 * DAY_NS, cost_nanousd=1))
    assert put(store, row(10, started_ns=10 * 20 * DAY_NS)).known == 1
    last = store.recent(1, Filter())
    assert last[0].payload == b"11"
    assert last[0].id > found[-1].id


@pytest.mark.parametrize("script", [BEFORE, BEFORE + ";" + RESPONSES])
def test_database_without_versions_is_taken_over(tmp_path: object, script: str) -> None:
    url = f"sqlite:///{tmp_path}/tidegate.db"
    database = Database(url)
    database.touch()
    with database.writing() as connection:
        for statement in script.split(";"):
            connection.exec_driver_sql(statement)
    fill(database)
    database.close()
    store = RecordStore(url)
    store.create()
    assert_all_is_there(store)
    kept = store.responses.past("r", "key:ann", 0, 1).payloads
    assert kept == (["kept"] if script != BEFORE else [])
    store.close()


def test_first_version_with_data_is_upgraded(database: Database, any_store_url: str) -> None:
    upgrade(database, "0001")
    fill(database)
    store = RecordStore(any_store_url)
    store.create()
    assert_all_is_there(store)
    store.create()
    store.close()


def test_upgrade_of_an_empty_database_has_the_columns_that_queries_name(
    database: Database,
) -> None:
    upgrade(database)
    with database.reading() as connection:
        there = inspect(connection)
        for table in SCHEMA.tables.values():
            columns = {column["name"]: column for column in there.get_columns(table.name)}
            assert columns.keys() == set(table.columns.keys()), table.name
            for column in table.columns:
                nullable = columns[column.name]["nullable"] and not column.primary_key
                assert nullable == column.nullable, (table.name, column.name)
            indexes = {index["name"] for index in there.get_indexes(table.name)}
            assert {index.name for index in table.indexes} <= indexes, table.name


def test_store_of_a_later_version_is_refused_and_left_alone(
    database: Database, any_store_url: str
) -> None:
    upgrade(database)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store = RecordStore(any_store_url)
    with pytest.raises(StoreTooNew, match=r"9999.*later one has been at work"):
        store.create()
    store.close()


def test_upgrade_that_fails_changes_nothing(database: Database, any_store_url: str) -> None:
    upgrade(database, "0001")
    fill(database)
    with database.writing() as connection:  # is in the way of the second version
        connection.execute(text("CREATE TABLE state (x TEXT)"))
    store = RecordStore(any_store_url)
    with pytest.raises(SQLAlchemyError):
        store.create()
    with database.writing() as connection:
        connection.execute(text("DROP TABLE state"))
        assert not inspect(connection).has_table("holds")
    store.create()
    assert_all_is_there(store)
    store.close()


def test_trail_refuses_changes(database: Database) -> None:
    upgrade(database)
    with database.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO audit (at_ns, actor, role, action, object, previous, hash) "
                "VALUES (1, 'ann', 'owner', 'make', 'key:a', '', 'h')"
            )
        )
    for change in ("UPDATE audit SET actor = 'bob'", "DELETE FROM audit"):
        with pytest.raises(SQLAlchemyError, match="append-only"), database.writing() as connection:
            connection.execute(text(change))
