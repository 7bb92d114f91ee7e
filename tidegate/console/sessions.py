"""Who is signed in: a bounded table of sessions, each of which ends when nobody uses it.

A cookie is a random word, of which only the digest is kept here. A session knows the digest of the
admin token it was begun with and is worth what the token is: deleted or expired, it opens nothing.
What a page fetches by itself does not count as use, or a forgotten tab would stay signed in.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_urlsafe
from threading import Lock
from typing import Final, Literal

from tidegate.clock import Clock

MOST_SESSIONS: Final = 500
IDLE_S: Final = 2 * 3_600.0
ABSOLUTE_S: Final = 12 * 3_600.0
_MOST_FLASHES: Final = 5


@dataclass(frozen=True, slots=True)
class Flash:
    """A word about what was just done, shown once."""

    kind: Literal["good", "bad"]
    text: str


@dataclass(slots=True)
class Session:
    """One browser of somebody who signed in."""

    token: str
    """Digest of the admin token."""
    began_s: float
    used_s: float
    csrf: str = field(default_factory=lambda: token_urlsafe(24))
    """What every form sends along, and no other site can know."""
    flashes: deque[Flash] = field(default_factory=lambda: deque[Flash](maxlen=_MOST_FLASHES))

    def take_flashes(self) -> list[Flash]:
        """What is to be shown now, and never again."""
        taken = list(self.flashes)
        self.flashes.clear()
        return taken


class Sessions:
    """All that are open; used by many threads at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._open = OrderedDict[str, Session]()
        """By digest of the cookie; the one used last is the last."""

    def begin(self, token: str) -> str:
        """Open a session for the token of that digest; the cookie's value."""
        word, now_s = token_urlsafe(32), self._clock.monotonic()
        with self._lock:
            self._open[_digest(word)] = Session(token, now_s, now_s)
            while len(self._open) > MOST_SESSIONS:
                self._open.popitem(last=False)
        return word

    def find(self, word: str, *, used: bool) -> Session | None:
        """The session of that cookie, if it has not ended; `used` says whether a person asks."""
        digest, now_s = _digest(word), self._clock.monotonic()
        with self._lock:
            session = self._open.get(digest)
            if session is None:
                return None
            if now_s - session.used_s >= IDLE_S or now_s - session.began_s >= ABSOLUTE_S:
                del self._open[digest]
                return None
            if used:
                session.used_s = now_s
                self._open.move_to_end(digest)
            return session

    def end(self, word: str) -> None:
        """Close the session of that cookie."""
        with self._lock:
            self._open.pop(_digest(word), None)

    def __len__(self) -> int:
        return len(self._open)


def _digest(word: str) -> str:
    return sha256(word.encode()).hexdigest()
