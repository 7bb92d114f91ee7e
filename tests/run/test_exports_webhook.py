"""A webhook that says no, says half a word, says nothing, and says yes again: nothing is lost."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from control.sinks.receiving import CUT, Answer, Receiver, fine, receiver
from exporting import Exporting, is_done, written

from tidegate.control.sinks.way import MOST_ROWS

HOOK = """
exports:
  hook: {{kind: webhook, endpoint: "{origin}/hook", secret: s3cret, allow_private: true}}
"""


class Moody:
    """What the receiver says; whoever it is silent to is let go in the end."""

    def __init__(self) -> None:
        self.mood = "fine"
        self.refused = 0
        self.released = threading.Event()

    def __call__(self, body: bytes) -> Answer:
        if self.mood == "fine":
            return fine(body)
        self.refused += 1
        if self.mood == "no":
            return 500, {}, b""
        if self.mood == "half":
            return 200, {CUT: "yes"}, b"o"
        self.released.wait()
        return 503, {}, b""


@pytest.fixture
def moody() -> Iterator[Moody]:
    moody = Moody()
    yield moody
    moody.released.set()


@pytest.fixture
def to(moody: Moody) -> Iterator[Receiver]:
    with receiver(moody) as to:
        yield to
        moody.released.set()


@pytest.fixture
def gateway(tmp_path: Path, provider: str, to: Receiver) -> Iterator[Exporting]:
    gateway = Exporting(written(tmp_path, provider, HOOK.format(origin=to.origin)))
    yield gateway
    gateway.close()


def lines(to: Receiver) -> list[str]:
    """The ids that came, each as often as it did."""
    return [json.loads(line)["request_id"] for body in to.taken for line in body.splitlines()]


def is_signed(head: dict[str, str], body: bytes) -> bool:
    unix, _, said = head["tidegate-signature"].partition(",v1=")
    signed = unix.removeprefix("t=").encode() + b"." + body
    return hmac.compare_digest(said, hmac.new(b"s3cret", signed, sha256).hexdigest())


def test_a_receiver_of_every_mood_gets_every_record_in_order_and_signed(
    gateway: Exporting, moody: Moody, to: Receiver
) -> None:
    failures = 0
    with gateway.asked_all_along() as asked:
        gateway.wait("hook", lambda each: each["sent"])
        for mood, words in (("no", "500"), ("half", ""), ("silence", "")):
            moody.mood = mood
            seen = failures
            told = gateway.wait(
                "hook", lambda each, n=seen: each["failing"] and each["failures"] > n
            )
            asked.more(20)
            assert words in told["failing"]
            moody.mood = "fine"
            gateway.wait("hook", lambda each: each["failing"] is None)
            failures = gateway.exports()["hook"]["failures"]
    done = gateway.wait("hook", is_done)
    assert done["failures"] == moody.refused  # nobody else tries again, and nobody more often
    assert gateway.exports()["hook"]["rejected"] == 0
    stored = gateway.rows("SELECT request_id FROM records ORDER BY id")
    assert sorted(stored) == sorted(asked.ids)
    assert list(dict.fromkeys(lines(to))) == stored
    assert all(len(body.splitlines()) <= MOST_ROWS for body in to.taken)
    assert all(is_signed(head, body) for head, body in zip(to.heads, to.bodies, strict=True))
