"""Searching for records: what is found is what a look at all of them would find."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, cast

import msgspec
import pytest
from storing import put, row

from tidegate.store.records import RecordStore
from tidegate.store.rows import Row
from tidegate.store.search import Hits, RecordSearch, Search, Spot

COUNT = 3_000
FIELDS = {
    "alias": ("fast", "careful"), "key": ("web", "batch"), "user": ("ann", "bob", None),
    "team": ("search", "ads"), "organisation": ("one", None), "feature": ("chat", None),
    "provider": ("openai", "azure"), "outcome": ("ok", "ok", "upstream_failed", "client_gone"),
    "conversation": ("c1", None), "cost_nanousd": (None, 5, 10**6),
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """In no order of time; some began at the same moment."""
    chance = random.Random(11)
    return [
        row(
            number,
            request_id=f"req_{number:08x}0000",
            started_ns=chance.randrange(COUNT // 2),
            payload=msgspec.msgpack.encode(
                {"tags": {"v": str(number % 3)}, "duration_ms": float(number % 7)}
            ),
            model=f"model-{number % 2}",
            target=f"openai/model-{number % 2}",
            **{name: chance.choice(values) for name, values in FIELDS.items()},
        )
        for number in range(COUNT)
    ]


@pytest.fixture
def store(any_store: RecordStore, rows: list[Row]) -> RecordStore:
    put(any_store, *rows)
    return any_store


def pages(find: Callable[[Spot | None], Hits]) -> Iterator[Hits]:
    """From the newest to the last."""
    spot: Spot | None = None
    for _ in range(COUNT):
        found = find(spot)
        yield found
        spot = found.older
        if spot is None:
            return
    raise AssertionError("the pages do not end")


def meets(each: Row, wanted: Search) -> bool:
    """Whether it should be found."""
    told = cast("dict[str, Any]", each)
    inside = msgspec.msgpack.decode(each["payload"])
    names = {
        name: value
        for name, value in asdict(wanted).items()
        if name in FIELDS and value is not None and name != "cost_nanousd"
    }
    return (
        wanted.since_ns <= each["started_ns"] < wanted.until_ns
        and all(told[name] == value for name, value in names.items())
        and (not wanted.errors or each["outcome"] != "ok")
        and (wanted.model is None or wanted.model in (each["model"], each["target"]))
        and (wanted.least_nanousd is None or (each["cost_nanousd"] or 0) >= wanted.least_nanousd)
        and (wanted.least_ms is None or inside["duration_ms"] >= wanted.least_ms)
        and (wanted.tag is None or inside["tags"].get(wanted.tag[0]) == wanted.tag[1])
        and (wanted.request_id is None or each["request_id"].startswith(wanted.request_id))
    )


WANTED = (
    Search(),
    Search(since_ns=200, until_ns=900),
    Search(alias="fast", team="ads", since_ns=100),
    Search(errors=True, provider="azure"),
    Search(outcome="client_gone", user="bob", key="web"),
    Search(conversation="c1", errors=True),
    Search(team="nobody"),
    Search(model="model-1", feature="chat", organisation="one"),
    Search(model="openai/model-0", until_ns=50),
    Search(least_nanousd=6),
    Search(least_ms=6.0, errors=True),
    Search(tag=("v", "2"), alias="careful"),
    Search(request_id="req_0000012"),
    Search(request_id="req_000001230000"),
    Search(request_id="req_0000012", user="ann"),
)


def test_every_page_together_is_what_was_wanted(store: RecordStore, rows: list[Row]) -> None:
    search = RecordSearch(store.database, patience_s=60.0)
    for wanted in WANTED:
        told = list(pages(lambda spot, wanted=wanted: search.older(wanted, 40, spot)))
        assert all(len(each.rows) == 40 for each in told[:-1])
        found = [hit.payload for page in told for hit in page.rows]
        meant = [each for each in rows if meets(each, wanted)]
        assert sorted(found) == sorted(each["payload"] for each in meant), wanted
        spots = [hit.spot for page in told for hit in page.rows]
        assert spots == sorted(set(spots), reverse=True)


def test_pages_are_the_same_on_the_way_back(store: RecordStore) -> None:
    search = RecordSearch(store.database, patience_s=60.0)
    for wanted in WANTED:
        told = list(pages(lambda spot, wanted=wanted: search.older(wanted, 40, spot)))
        for before, after in itertools.pairwise(told):
            if after.newer is not None:
                assert search.newer(wanted, 40, after.newer).rows == before.rows
        assert told[0].newer is None


def test_search_without_patience_says_how_far_it_came_and_goes_on(
    store: RecordStore, rows: list[Row]
) -> None:
    hurried = RecordSearch(store.database, patience_s=0.0)
    for wanted in (Search(team="nobody"), Search(tag=("v", "1"), team="ads"), Search(user="ann")):
        told = list(pages(lambda spot, wanted=wanted: hurried.older(wanted, 40, spot)))
        found = [hit.payload for page in told for hit in page.rows]
        meant = [each["payload"] for each in rows if meets(each, wanted)]
        assert sorted(found) == sorted(meant)
        for each in told:
            if each.looked_ns is not None:
                assert each.older == (each.looked_ns, 0)
                assert all(hit.started_ns >= each.looked_ns for hit in each.rows)
    first = hurried.older(Search(least_nanousd=10**15), 40)
    assert first.looked_ns is not None
    assert first.rows == ()


def test_search_towards_now_goes_on_too(store: RecordStore, rows: list[Row]) -> None:
    hurried = RecordSearch(store.database, patience_s=0.0)
    wanted = Search(tag=("v", "1"), team="ads")
    spot: Spot | None = Spot(0, 0)
    found: list[bytes] = []
    while spot is not None:
        told = hurried.newer(wanted, 40, spot)
        assert told.newer != spot
        found += [hit.payload for hit in told.rows]
        spot = told.newer
    meant = [each["payload"] for each in rows if meets(each, wanted) and each["started_ns"] > 0]
    assert set(meant) <= set(found)
    assert len(found) - len(meant) <= sum(each["started_ns"] == 0 for each in rows)
