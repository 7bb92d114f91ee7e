"""The short memory of one process."""

from __future__ import annotations

from memory import Time

from tidegate.conversations.kept import Kept
from tidegate.conversations.recent import Recent


def kept(name: str, size: int = 0, expires_ns: int = 1 << 62) -> Kept:
    return Kept(name, "key:ann", name, None, None, 0, expires_ns, b"x" * size, b"")


def test_used_longest_ago_goes_first(time: Time) -> None:
    recent = Recent(most_bytes=3 * 1024 + 30, clock=time)
    for name in "abc":
        recent.put(kept(name, 10))
    assert recent.get("a")
    recent.put(kept("d", 10))
    assert recent.get("b") is None
    assert [name for name in "acd" if recent.get(name)] == ["a", "c", "d"]


def test_same_id_takes_one_place(time: Time) -> None:
    recent = Recent(most_bytes=2 * 1024 + 20, clock=time)
    for _ in range(5):
        recent.put(kept("a", 10))
    recent.put(kept("b", 10))
    assert recent.get("a")


def test_what_is_too_long_is_not_remembered(time: Time) -> None:
    recent = Recent(most_bytes=2048, clock=time)
    recent.put(kept("a", 10))
    recent.put(kept("b", 4096))
    assert recent.get("a")
    assert recent.get("b") is None


def test_age_and_expiry_are_seen(time: Time) -> None:
    recent = Recent(age_s=10.0, clock=time)
    recent.put(kept("a"))
    recent.put(kept("b", expires_ns=time.now_ns() + 5))
    time.now_s += 1.0
    assert recent.get("a")
    assert recent.get("b") is None
    time.now_s += 9.0
    assert recent.get("a") is None


def test_dropping_twice_changes_nothing(time: Time) -> None:
    recent = Recent(clock=time)
    recent.put(kept("a"))
    recent.drop("a")
    recent.drop("a")
    assert recent.get("a") is None
