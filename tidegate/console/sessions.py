"""Who is signed in: a bounded table of sessions, each of which ends when nobody uses it.

A cookie is a random word, of which only the digest is kept here. A session knows the digest of the
admin token it was begun with and is worth what the token is: deleted or expired, it opens nothing.
What a page fetches by itself does not count as use, or a forgotten tab would stay signed in.

A file keeps them over a restart. Whoever reads it can do nothing with it: in it are digests and
times, and what forms send along is made from the cookie.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from threading import Lock
from typing import Final, Literal

import msgspec

from tidegate.clock import Clock
from tidegate.files import write_private
from tidegate.money import NANO

MOST_SESSIONS: Final = 500
IDLE_S: Final = 2 * 3_600.0
ABSOLUTE_S: Final = 12 * 3_600.0
FILE: Final = "console.sessions"
_KEEP_S: Final = 60.0
"""How late the file may be in what was used when."""
_MOST_FLASHES: Final = 5

_log = logging.getLogger("tidegate.control")


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
    csrf: str = ""
    """What every form sends along, and no other site can know."""
    flashes: deque[Flash] = field(default_factory=lambda: deque[Flash](maxlen=_MOST_FLASHES))

    def take_flashes(self) -> list[Flash]:
        """What is to be shown now, and never again."""
        taken = list(self.flashes)
        self.flashes.clear()
        return taken


class _Kept(msgspec.Struct, array_like=True):
    """A session as the file has it; times are Unix time."""

    digest: str
    token: str
    began_ns: int
    used_ns: int


class Sessions:
    """All that are open; used by many threads at once."""

    def __init__(self, clock: Clock, file: Path | None = None) -> None:
        self._clock = clock
        self._file = file
        self._lock = Lock()
        self._kept_s = clock.monotonic()
        self._failing = False
        self._open = OrderedDict[str, Session]()
        """By digest of the cookie; the one used last is the last."""
        self._take_up()

    def begin(self, token: str) -> str:
        """Open a session for the token of that digest; the cookie's value."""
        word, now_s = token_urlsafe(32), self._clock.monotonic()
        with self._lock:
            self._open[_digest(word)] = Session(token, now_s, now_s)
            while len(self._open) > MOST_SESSIONS:
                self._open.popitem(last=False)
            self._keep(now_s)
        return word

    def find(self, word: str, *, used: bool) -> Session | None:
        """The session of that cookie, if it has not ended; `used` says whether a person asks."""
        digest, now_s = _digest(word), self._clock.monotonic()
        with self._lock:
            session = self._open.get(digest)
            if session is None:
                return None
            if _is_over(session, now_s):
                del self._open[digest]
                return None
            session.csrf = session.csrf or _digest(f"form {word}")
            if used:
                session.used_s = now_s
                self._open.move_to_end(digest)
                if now_s - self._kept_s >= _KEEP_S:
                    self._keep(now_s)
            return session

    def end(self, word: str) -> None:
        """Close the session of that cookie."""
        with self._lock:
            if self._open.pop(_digest(word), None) is not None:
                self._keep(self._clock.monotonic())

    def __len__(self) -> int:
        return len(self._open)

    def _take_up(self) -> None:
        now_s, now_ns = self._clock.monotonic(), self._clock.now_ns()
        for kept in _read(self._file):
            began_s, used_s = (now_s - (now_ns - at) / NANO for at in (kept.began_ns, kept.used_ns))
            session = Session(kept.token, began_s, used_s)
            # One from the future is of a clock that was set, and nobody knows how old it is.
            if max(began_s, used_s) <= now_s and not _is_over(session, now_s):
                self._open[kept.digest] = session

    def _keep(self, now_s: float) -> None:
        if self._file is None:
            return
        begin_ns = self._clock.now_ns() - round(now_s * NANO)
        kept = [
            _Kept(
                digest,
                each.token,
                begin_ns + round(each.began_s * NANO),
                begin_ns + round(each.used_s * NANO),
            )
            for digest, each in self._open.items()
            if not _is_over(each, now_s)
        ]
        self._kept_s = now_s
        try:
            write_private(self._file, msgspec.json.encode(kept))
        except OSError as error:
            if not self._failing:
                _log.warning("who is signed in at the console is not kept: %s", error)
            self._failing = True
        else:
            self._failing = False


def _is_over(session: Session, now_s: float) -> bool:
    return now_s - session.used_s >= IDLE_S or now_s - session.began_s >= ABSOLUTE_S


def _read(file: Path | None) -> list[_Kept]:
    if file is None:
        return []
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[_Kept])[-MOST_SESSIONS:]
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("who was signed in at the console cannot be read: %s", error)
        return []


def _digest(word: str) -> str:
    return sha256(word.encode()).hexdigest()
