"""How requests ended is the same whether days are summed up already or not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from storing import put, row

from tidegate.store.ended import ended
from tidegate.store.marginals import Marginals
from tidegate.store.records import RecordStore

SECOND_NS, DAY_S = 10**9, 86_400
BEGAN_S = 20_000 * DAY_S


@pytest.fixture
def store(any_store_url: str) -> Iterator[RecordStore]:
    store = RecordStore(any_store_url)
    store.create()
    yield store
    store.close()


def test_days_that_are_summed_up_tell_what_their_requests_told(store: RecordStore) -> None:
    chance = random.Random(3)
    rows = [
        row(
            number,
            started_ns=(BEGAN_S + chance.randrange(4 * DAY_S)) * SECOND_NS,
            alias=chance.choice(["fast", "slow", "other", None]),
            ended=chance.choice(["ok", "failed", "lost"]),
            slow=chance.random() < 0.3,
        )
        for number in range(60)
    ]
    since_s, until_s = BEGAN_S + 7_200, BEGAN_S + 4 * DAY_S - 60
    requests, slow = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for each in rows:
        if (
            each["alias"] in {"fast", "slow"}
            and since_s <= each["started_ns"] // SECOND_NS < until_s
        ):
            at = str(each["alias"]), each["ended"]
            requests[at] += 1
            slow[at] += each.get("slow", False)

    def told() -> dict[tuple[str, str], tuple[int, int]]:
        found = ended(store.database, ["fast", "slow"], since_s * SECOND_NS, until_s * SECOND_NS)
        return {at: (each.requests, each.slow) for at, each in found.items()}

    expected = {at: (count, slow[at]) for at, count in requests.items()}
    put(store, *rows)
    assert told() == expected
    made = Marginals(store.database)
    assert made.make(BEGAN_S + 9 * DAY_S)
    assert told() == expected
    while made.make(BEGAN_S + 9 * DAY_S):
        pass
    assert told() == expected
