"""How far a sink has been told: kept in the store, moved by one process at a time."""

import pytest
from storing import hold, put, row

from tidegate.store.records import RecordStore
from tidegate.store.retention import Retention, purge
from tidegate.store.sinks import SinkStore

S = 10**9


def sink(store: RecordStore, name: str = "traces", spool: str = "here") -> SinkStore:
    return SinkStore(store.database, name, spool)


def test_a_new_sink_begins_with_what_is_recent_and_goes_on_where_it_was(store: RecordStore) -> None:
    put(store, row(1), row(2), row(3), row(4))
    place = sink(store).open(since_ns=3)
    assert [each.payload for each in sink(store).page(place, 10, 100)] == [b"3", b"4"]
    assert sink(store).waiting(place) == 2
    assert sink(store).advance(place, place + 1)
    assert sink(store).open(since_ns=1) == place + 1
    assert sink(store, "other").open(since_ns=5) == place + 2


def test_in_an_empty_store_it_begins_with_the_first(store: RecordStore) -> None:
    assert sink(store).open(since_ns=7) == 0
    put(store, row(1))
    assert [each.payload for each in sink(store).page(0, 10, 100)] == [b"1"]


def test_a_place_that_somebody_else_moved_is_not_moved(store: RecordStore) -> None:
    assert sink(store).open(0) == 0
    assert sink(store).advance(0, 5)
    assert not sink(store).advance(0, 3)
    assert sink(store).open(0) == 5


def test_a_page_is_bounded_in_rows_and_bytes_and_has_one_record_at_least(
    store: RecordStore,
) -> None:
    put(store, *(row(n, payload=b"x" * 100) for n in range(50)))
    assert len(sink(store).page(0, 20, 10**6)) == 20
    assert len(sink(store).page(0, 100, 1000)) == 10
    assert len(sink(store).page(0, 100, 5)) == 1
    assert len(sink(store).page(0, 100, 10**6)) == 50


def test_one_spools_process_has_the_turn_until_it_is_over(store: RecordStore) -> None:
    here, there = sink(store), sink(store, spool="there")
    assert here.hold(100 * S, 10 * S)
    assert not there.hold(105 * S, 10 * S)
    assert here.hold(108 * S, 10 * S)
    assert not there.hold(111 * S, 10 * S)
    assert there.hold(119 * S, 10 * S)
    assert not here.hold(120 * S, 10 * S)
    here.release()  # it is not its own
    assert not here.hold(121 * S, 10 * S)
    there.release()
    assert here.hold(122 * S, 10 * S)
    assert sink(store, "other", "there").hold(122 * S, 10 * S)


def test_records_that_come_after_all_were_deleted_are_told_too(store: RecordStore) -> None:
    put(store, row(1), row(2), row(3))
    place = sink(store).open(0)
    assert sink(store).advance(place, place + 3)
    assert purge(store.database, Retention(records_s=0), 100 * S)
    put(store, row(4), row(5))
    told = sink(store).page(place + 3, 10, 100)
    assert [each.payload for each in told] == [b"4", b"5"]
    put(store, row(6))
    assert [each.payload for each in sink(store).page(told[-1].id, 10, 100)] == [b"6"]


@pytest.mark.parametrize("behind", [0, 1])
def test_who_was_told_of_a_loss_is_told_of_the_record_that_comes_after_all(
    store: RecordStore, behind: int
) -> None:
    put(store, holds=[hold(1)])
    store.give_up([row(1, outcome="lost", payload=b"lost")], 5)
    put(store, *(row(9 + n) for n in range(behind)), offset=2)
    place = sink(store).open(0)
    told = sink(store).page(place, 10, 100)
    assert told[0].payload == b"lost"
    put(store, row(1, payload=b"found"), offset=3)
    assert [each.payload for each in sink(store).page(told[-1].id, 10, 100)] == [b"found"]
    assert store.get("req_1") == b"found"
