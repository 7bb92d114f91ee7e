"""What is too old goes, a little at a time; what is owed stays."""

from __future__ import annotations

from sqlalchemy import Table, func, insert, select
from storing import hold, put, row

from tidegate.store.partitions import after, began_ns, month_of, partitions
from tidegate.store.records import RecordStore
from tidegate.store.retention import UNTOLD, Retention, purge
from tidegate.store.sinks import SinkStore
from tidegate.store.sums import DAY_S
from tidegate.store.tables.admin import audit
from tidegate.store.tables.money import (
    charges,
    holds,
    rollup_groups,
    rollup_names,
    rollups_day,
    rollups_hour,
    rollups_minute,
)
from tidegate.store.tables.records import records
from tidegate.telemetry.record import Record, decode, encode

SECOND_NS = 10**9
NOW_NS = 1_795_000_000 // DAY_S * DAY_S * SECOND_NS
EVERYTHING = Retention(0, 0, 0, 0, 0, 0)
NOTHING = Retention(None, None, None, None, None, None)


def ago(days: float) -> int:
    return NOW_NS - round(days * DAY_S) * SECOND_NS


def count(store: RecordStore, table: Table) -> int:
    with store.database.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_what_is_older_goes_and_what_is_younger_stays(store: RecordStore) -> None:
    put(store, *(row(n, started_ns=ago(n), cost_nanousd=1) for n in range(1, 41)))
    purge(store.database, Retention(records_s=10 * DAY_S, minutes_s=5 * DAY_S), NOW_NS)
    assert count(store, records) == 10
    assert count(store, rollups_minute) == 5
    assert count(store, rollups_hour) == 40
    assert store.held.charged("key", None, 0) == {"web": 40}


def test_no_more_than_asked_for_goes_at_once(store: RecordStore) -> None:
    # In one month, for a month of PostgreSQL's goes as a whole.
    month_ns = began_ns(month_of(NOW_NS))
    put(store, *(row(n, started_ns=month_ns + n) for n in range(10)))
    retention = Retention(records_s=0)
    assert purge(store.database, retention, NOW_NS, most=4)["records"] == 4
    assert purge(store.database, retention, NOW_NS, most=4)["records"] == 4
    assert purge(store.database, retention, NOW_NS, most=4)["records"] == 2
    assert "records" not in purge(store.database, retention, NOW_NS, most=4)


def test_everything_can_go_but_what_is_owed(store: RecordStore) -> None:
    put(store, row(1, started_ns=ago(99), cost_nanousd=7), holds=[hold(2), hold(3)])
    lost = row(3, started_ns=ago(99), outcome="lost", ended="lost", cost_nanousd=5)
    store.give_up([lost], ago(99))
    purge(store.database, EVERYTHING, NOW_NS)
    for table in (records, rollups_minute, rollups_hour, rollups_day, rollup_names, rollup_groups):
        assert count(store, table) == 0
    assert count(store, holds) == 1
    assert store.held.charged("key", None, 0) == {"web": 12}


def test_nothing_goes_where_all_is_kept(store: RecordStore) -> None:
    put(store, row(1, started_ns=ago(9_000)))
    assert purge(store.database, NOTHING, NOW_NS) == {}
    assert count(store, records) == 1


def test_what_an_export_was_not_told_of_stays_up_to_a_bound(store: RecordStore) -> None:
    put(store, *(row(n, started_ns=ago(40 - n)) for n in range(40)))
    sink = SinkStore(store.database, "exports.lake", "here")
    place = sink.open(0)
    sink.advance(place, place + 10)  # it was told of what is 40 to 31 days old
    retention = Retention(records_s=15 * DAY_S, untold_s=10 * DAY_S)
    told = purge(store.database, retention, NOW_NS, sinks=["exports.lake", "new"])
    with store.database.reading() as connection:
        left = connection.execute(select(records.c.started_ns).order_by(records.c.id)).scalars()
        assert min(left) == ago(25)
    assert told[UNTOLD] == 5
    forever = Retention(records_s=15 * DAY_S, untold_s=None)
    assert UNTOLD not in purge(store.database, forever, NOW_NS, sinks=["exports.lake"])
    assert count(store, records) == 25
    sink.advance(place + 10, place + 40)
    purge(store.database, forever, NOW_NS, sinks=["exports.lake"])
    assert count(store, records) == 15


def test_old_charges_become_one_sum_that_totals_still_have(store: RecordStore) -> None:
    put(store, *(row(n, started_ns=ago(n), cost_nanousd=n) for n in range(1, 91)))
    purge(store.database, NOTHING, NOW_NS, most=7)
    while purge(store.database, NOTHING, NOW_NS, most=7):
        pass
    assert store.held.charged("key", "web", 0) == {"web": sum(range(1, 91))}
    assert store.held.charged("key", "web", ago(31)) == {"web": sum(range(1, 32))}
    assert count(store, charges) == 3 * (45 + 1)


def test_audit_trail_is_left_to_those_who_write_an_entry_of_it(store: RecordStore) -> None:
    entry = {
        "at_ns": ago(9_000), "actor": "a", "role": "owner", "action": "make",
        "object": "x", "previous": "", "hash": "h",
    }  # fmt: skip
    with store.database.writing() as connection:
        connection.execute(insert(audit), [entry])
    purge(store.database, Retention(*[DAY_S] * 6), NOW_NS)
    assert count(store, audit) == 1


def test_months_are_made_ahead_and_dropped_as_a_whole(postgres_store_url: str) -> None:
    store = RecordStore(postgres_store_url)
    now = month_of(NOW_NS)
    put(store, row(1, started_ns=ago(100)), row(2, started_ns=ago(0)))
    purge(store.database, NOTHING, NOW_NS)
    with store.database.reading() as connection:
        assert partitions(connection) == [month_of(ago(100)), now, after(now), after(now, 2)]
    done = purge(store.database, Retention(records_s=40 * DAY_S), NOW_NS)
    assert done["partitions"] == 1
    with store.database.reading() as connection:
        assert partitions(connection) == [now, after(now), after(now, 2)]
    assert store.get("req_2") == b"2"
    store.close()


def test_prompts_go_before_their_records_do(store: RecordStore) -> None:
    def record(days: int) -> bytes:
        return encode(
            Record(
                request_id=f"req_{days}", started_ns=ago(days), worker="gw-0", wire="chat",
                path="/", config_version="c", request_body=b"asked", response_body=b"said",
                bodies="full", cut=["request"], output_tokens=7,
            )
        )  # fmt: skip

    rows = [
        row(days, started_ns=ago(days), payload=record(days), has_bodies=True)
        for days in range(1, 11)
    ]
    put(store, *rows)
    done = purge(store.database, Retention(bodies_s=5 * DAY_S, records_s=8 * DAY_S), NOW_NS, 3)
    assert done["bodies"] == 3
    while purge(store.database, Retention(bodies_s=5 * DAY_S, records_s=8 * DAY_S), NOW_NS, 3):
        pass
    for days in range(1, 9):
        kept = decode(store.get(f"req_{days}") or b"")
        assert kept.output_tokens == 7
        whole = (b"asked", b"said", "full", ["request"])
        bare = (None, None, None, list[str]())
        told = kept.request_body, kept.response_body, kept.bodies, kept.cut
        assert told == (whole if days <= 5 else bare)
    assert count(store, records) == 8
    late = row(30, started_ns=ago(7), payload=record(30), has_bodies=True)
    put(store, late, offset=2)  # out of a spool that nobody could load before
    assert purge(store.database, Retention(bodies_s=5 * DAY_S), NOW_NS)["bodies"] == 1
