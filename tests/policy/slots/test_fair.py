"""Turns between owners and their users."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policy.slots.fair import FairQueue

names = st.sampled_from(["a", "b", "c"])


def filled(owners: dict[str, int], each: int = 200) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for owner, weight in owners.items():
        for _ in range(each):
            queue.join(owner, "user", weight, owner)
    return queue


def test_nobody_waits_in_an_empty_queue() -> None:
    with pytest.raises(IndexError):
        FairQueue[str]().next()


@given(weights=st.dictionaries(names, st.integers(1, 7), min_size=2), turns=st.integers(0, 190))
def test_turns_of_owners_who_all_wait_differ_by_two_over_their_weights_at_most(
    weights: dict[str, int], turns: int
) -> None:
    queue = filled(weights)
    got = Counter(queue.next() for _ in range(turns))
    shares = [got[owner] / weight for owner, weight in weights.items()]
    assert max(shares) - min(shares) <= 2


def test_users_of_an_owner_divide_its_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for user in ("many", "few"):
        for _ in range(100 if user == "many" else 10):
            queue.join("team", user, 1, user)
    for _ in range(100):
        queue.join("other", "alone", 1, "alone")
    got = Counter(queue.next() for _ in range(40))
    assert got == {"alone": 20, "many": 10, "few": 10}


def test_newcomer_goes_before_those_who_have_been_waiting() -> None:
    queue = filled({"a": 1, "b": 1})
    for _ in range(5):
        queue.next()
    queue.join("new", "user", 1, "new")
    assert queue.next() == "new"


def test_newcomer_is_new_only_once_a_round() -> None:
    queue = filled({"a": 1, "b": 1})
    got = Counter[str]()
    for _ in range(60):  # asks again as soon as it had its turn
        if queue.waiting("eager", "user")[0] == 0:
            queue.join("eager", "user", 1, "eager")
        got[queue.next()] += 1
    assert max(got.values()) - min(got.values()) <= 2


def test_youngest_of_who_has_most_for_its_weight_makes_way() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(9):
        queue.join("heavy", "user", 3, number)
    for number in range(10, 14):
        queue.join("light", f"user {number % 2}", 1, number)
    assert queue.youngest_of_most() == 13
    assert FairQueue[int]().youngest_of_most() is None


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["join", "next", "leave"]), names, names, st.integers(1, 3)),
        max_size=80,
    )
)
def test_what_joined_comes_out_or_leaves_once(steps: list[tuple[str, str, str, int]]) -> None:
    queue: FairQueue[int] = FairQueue()
    inside: dict[int, tuple[str, str]] = {}
    for number, (step, owner, user, weight) in enumerate(steps):
        if step == "join":
            queue.join(owner, user, weight, number)
            inside[number] = owner, user
        elif step == "next" and inside:
            item = queue.next()
            asked = inside.pop(item)
            assert not [n for n, place in inside.items() if place == asked and n < item]
        elif step == "leave":
            for item, place in list(inside.items()):
                if place == (owner, user):
                    assert queue.leave(owner, user, item)
                    assert not queue.leave(owner, user, item)
                    del inside[item]
        assert queue.count == len(inside)
        for each in set(inside.values()):
            of_user = sum(place == each for place in inside.values())
            of_owner = sum(place[0] == each[0] for place in inside.values())
            assert queue.waiting(*each)[:2] == (of_owner, of_user)
        if not inside:
            assert queue.weights == 0
