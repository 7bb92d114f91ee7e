"""Keys, documents and a clock for the tests of the guard."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tidegate.guard.access import Digest, KeyEntry

SECOND_NS = 10**9
NOW_NS = 1_800_000_000 * SECOND_NS


@dataclass
class SetClock:
    """A clock that stands where it is set."""

    ns: int = NOW_NS

    def now_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / SECOND_NS


def digest(secret: str, until_ns: int | None = None) -> Digest:
    return Digest(sha256(secret.encode()).hexdigest(), until_ns)


def entry(name: str, *secrets: str | Digest, **rest: Any) -> KeyEntry:
    digests = tuple(digest(each) if isinstance(each, str) else each for each in secrets)
    return KeyEntry(id=f"id-{name}", name=name, digests=digests, **rest)


def bearer(secret: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"localhost"), (b"authorization", b"Bearer " + secret.encode())]
