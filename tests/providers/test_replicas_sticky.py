from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.providers.replicas import Replica, Replicas
from tidegate.providers.replicas.affinity import (
    PREFIX_CHARS,
    conversation_key,
    prefix_key,
)
from tidegate.types import Call

SYSTEM = {"role": "system", "content": "You sell shoes. " * 200}


def call(body: dict[str, Any], conversation: str | None = None) -> Call:
    return Call("chat", "m", body, stream=False, wants_usage=False, conversation=conversation)


def chat(*texts: str, **more: Any) -> Call:
    roles = ("user", "assistant")
    turns = [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]
    return call({"messages": [SYSTEM, *turns], **more})


def replicas(count: int, balance: str = "sticky_conversation") -> Replicas:
    return Replicas(
        "gpus", [Replica(f"http://10.0.0.{place}:8000/v1", None) for place in range(count)],
        balance=balance,
    )  # fmt: skip


# Keys


def test_a_conversation_keeps_its_key_while_it_grows() -> None:
    assert conversation_key(chat("Hello")) == conversation_key(chat("Hello", "Hi", "More"))
    assert conversation_key(chat("Hello")) != conversation_key(chat("Goodbye"))


def test_prompts_that_begin_alike_have_one_key() -> None:
    assert prefix_key(chat("Hello")) == prefix_key(chat("Goodbye"))
    other = call({"messages": [{"role": "system", "content": "Else"}, {"role": "user"}]})
    assert prefix_key(other) != prefix_key(chat("Hello"))


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"user": "ann"}, {"user": "ann", "messages": []}),
        ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k", "user": "x"}),
        ({"conversation": "c"}, {"conversation": {"id": "c"}}),
        ({"metadata": {"user_id": "u"}}, {"metadata": {"user_id": "u"}, "system": "x"}),
    ],
)
def test_a_name_that_the_caller_gives_is_the_key(one: dict[str, Any], same: dict[str, Any]) -> None:
    assert conversation_key(call(one)) == conversation_key(call(same)) is not None


def test_the_callers_header_comes_before_every_other_name() -> None:
    assert conversation_key(call({"user": "a"}, "seven")) == conversation_key(
        call({"user": "b"}, "seven")
    )


def test_every_format_has_its_beginning() -> None:
    spoken = [
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        {"input": "Hi"},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]},
        {"prompt": "Hi"},
        {"input": ["Hi"]},
    ]
    for key in (conversation_key, prefix_key):
        assert len({key(call(body)) for body in spoken}) == 1
    system = {"system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]}
    assert prefix_key(call(system)) != prefix_key(call(spoken[0]))


def test_without_anything_to_go_by_there_is_no_key() -> None:
    bodies: list[dict[str, Any]] = [{}, {"messages": []}, {"input": 5}, {"metadata": []}]
    for body in bodies:
        assert conversation_key(call(body)) is None
        assert prefix_key(call(body)) is None


def test_a_long_beginning_is_cut() -> None:
    long = "x" * PREFIX_CHARS
    assert prefix_key(call({"prompt": long + "a"})) == prefix_key(call({"prompt": long + "b"}))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "text", "id", "user_id"]), inner)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["messages", "input", "prompt", "system", "user", "metadata"]), _JSON
    )
)
def test_no_body_breaks_the_keys(body: dict[str, Any]) -> None:
    for key in (conversation_key, prefix_key):
        found = key(call(body))
        assert found is None or 0 <= found < 1 << 64
        assert found == key(call(dict(body)))


# Replicas


def test_a_conversation_stays_with_its_replica() -> None:
    some = replicas(5)
    for place in range(50):
        homes = {some.pick(chat(f"Hello {place}"), 0.0, draw / 7) for draw in range(7)}
        assert len(homes) == 1


def test_conversations_are_spread_evenly() -> None:
    some = replicas(4)
    taken = Counter(some.pick(chat(f"Hello {place}"), 0.0, 0.5).url for place in range(4000))
    assert len(taken) == 4
    assert max(taken.values()) < 1.15 * min(taken.values())


def test_when_a_replica_goes_only_its_own_conversations_move() -> None:
    some = replicas(4)
    calls = [chat(f"Hello {place}") for place in range(500)]
    before = {place: some.pick(each, 0.0, 0.5) for place, each in enumerate(calls)}
    gone = some.all[0]
    for _ in range(5):
        some.probed(gone, good=False, now_s=0.0)
    moved = 0
    for place, each in enumerate(calls):
        now = some.pick(each, 1.0, 0.5)
        assert now is not gone
        if before[place] is gone:
            moved += 1
        else:
            assert now is before[place]
    assert 80 < moved < 170
    some.probed(gone, good=True, now_s=2.0)
    assert all(some.pick(each, 1e6, 0.5) is before[place] for place, each in enumerate(calls))


def test_a_beginning_that_all_share_does_not_drown_one_replica() -> None:
    some = replicas(4, "sticky_prefix")
    for place in range(100):
        some.pick(chat(f"Question {place}"), 0.0, 0.5).begin()
    loads = sorted(each.outstanding for each in some.all)
    assert sum(loads) == 100
    assert loads[-1] <= 1.25 * 100 / 4 + 1


def test_few_requests_stay_together() -> None:
    some = replicas(4, "sticky_prefix")
    for place in range(4):
        some.pick(chat(f"Question {place}"), 0.0, 0.5).begin()
    assert sorted(each.outstanding for each in some.all) == [0, 0, 0, 4]


def test_load_is_bounded_while_most_stay_at_home() -> None:
    some = replicas(5)
    chance = random.Random(1)
    homes = {place: some.pick(chat(f"C{place}"), 0.0, 0.5) for place in range(200)}
    running: list[Replica] = []
    at_home = 0
    for step in range(5000):
        place = min(int(chance.paretovariate(0.7)), 199)  # a few conversations are very busy
        replica = some.pick(chat(f"C{place}"), 0.0, chance.random())
        at_home += replica is homes[place]
        replica.begin()
        running.append(replica)
        if len(running) > 100:
            some.ended(running.pop(chance.randrange(len(running))), None, 0.1, 0.0)
        if step > 200:
            assert max(each.outstanding for each in some.all) <= 1.25 * 101 / 5 + 1
    assert at_home > 0.5 * 5000


def test_calls_without_a_key_are_spread() -> None:
    some = replicas(4)
    chance = random.Random(2)
    taken = Counter(some.pick(call({}), 0.0, chance.random()).url for _ in range(2000))
    assert max(taken.values()) < 1.3 * min(taken.values())
