"""Who speaks to the admin API: a token's digest names the caller, and guessing is slowed down.

Tokens are kept as SHA-256 digests. An address that has failed too often in a minute is refused
before the store is asked, save for tokens that were good a while ago: nobody can lock out an
operator by failing from the same address.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest
from math import ceil
from pathlib import Path
from secrets import token_urlsafe
from threading import Lock
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, func, select

from tidegate.clock import Clock
from tidegate.control.admin.problems import NotSignedIn, TooManyFailures
from tidegate.control.admin.roles import Role
from tidegate.control.admin.trail import Change, record
from tidegate.files import write_private
from tidegate.store.database import Database
from tidegate.store.tables.admin import admin_tokens

PREFIX: Final = "tga-"
FIRST: Final = "first"
TOKEN_FILE: Final = "admin.token"  # noqa: S105  the name of a file
MOST_FAILURES: Final = 10
WINDOW_S: Final = 60.0
_MOST_ADDRESSES: Final = 1_024
_MOST_KNOWN: Final = 256

_MESSAGE = "No valid admin token was sent."


class Caller(Struct, frozen=True):
    """Who asks: the token's name and role."""

    name: str
    role: Role


class SignIn:
    """The tokens in force; used by many threads at once."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = Lock()
        self._failures = OrderedDict[str, tuple[float, int]]()
        """Of each address: when its window began, and how often it failed since."""
        self._known = OrderedDict[str, None]()
        """Digests that were good lately."""

    def caller(self, authorization: bytes, address: str) -> Caller:
        """Who sent this header from `address`.

        Raises: `NotSignedIn`, `TooManyFailures`, `SQLAlchemyError`.
        """
        scheme, _, token = authorization.partition(b" ")
        digest = digest_of(token.strip()) if scheme.lower() == b"bearer" else ""
        self._refuse_guesses(digest, address)
        found = self._find(digest) if digest else None
        if found is None:
            self._note_failure(digest, address)
            raise NotSignedIn(_MESSAGE)
        self._note_success(digest)
        return found

    def again(self, digest: str) -> Caller | None:
        """Who signed in with the token of that digest, if it is still good.

        Raises: `SQLAlchemyError`.
        """
        return self._find(digest)

    def _find(self, digest: str) -> Caller | None:
        query = select(admin_tokens).where(admin_tokens.c.digest == digest)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or not compare_digest(row.digest, digest):
            return None
        if row.expires_ns is not None and row.expires_ns <= self._clock.now_ns():
            return None
        return Caller(row.name, row.role)

    def _refuse_guesses(self, digest: str, address: str) -> None:
        now_s = self._clock.monotonic()
        with self._lock:
            began_s, count = self._failures.get(address, (now_s, 0))
            wait_s = began_s + WINDOW_S - now_s
            if count < MOST_FAILURES or wait_s <= 0 or digest in self._known:
                return
        raise TooManyFailures(
            "This address has failed to sign in too often.", retry_after_s=ceil(wait_s)
        )

    def _note_failure(self, digest: str, address: str) -> None:
        now_s = self._clock.monotonic()
        with self._lock:
            self._known.pop(digest, None)
            began_s, count = self._failures.pop(address, (now_s, 0))
            if now_s - began_s >= WINDOW_S:
                began_s, count = now_s, 0
            self._failures[address] = (began_s, count + 1)
            while len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)

    def _note_success(self, digest: str) -> None:
        with self._lock:
            self._known[digest] = None
            self._known.move_to_end(digest)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)


def new_token() -> str:
    """A token that nobody knows yet."""
    return PREFIX + token_urlsafe(32)


def digest_of(token: bytes) -> str:
    """What is kept of a token, and of a key's secret."""
    return sha256(token).hexdigest()


def make_first(database: Database, file: Path, now_ns: int) -> bool:
    """Make an owner's token and leave it in `file`, if there is no token at all; whether it was.

    Raises: `OSError`, `SQLAlchemyError`; then there is neither token nor file.
    """
    with database.reading() as connection:
        if _count(connection):
            return False
    token = new_token()
    try:
        with database.writing("admin") as connection:
            if _count(connection):  # another machine was faster
                return False
            values = {"name": FIRST, "role": "owner", "expires_ns": None, "created_ns": now_ns}
            digest = digest_of(token.encode())
            connection.execute(admin_tokens.insert().values(digest=digest, **values))
            record(
                connection,
                "control",
                "owner",
                Change("token.create", f"token:{FIRST}", None, {"name": FIRST, "role": "owner"}),
                now_ns,
            )
            _leave(file, token)
    except BaseException:
        with suppress(OSError):
            file.unlink(missing_ok=True)
        raise
    return True


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(admin_tokens)).scalar_one()


def _leave(file: Path, token: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, f"{token}\n".encode())
