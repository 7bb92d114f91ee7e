"""The access document for the gateways of this machine: made from the store, written as a whole.

Written before a change is answered, and looked at twice a second: for changes that another machine
made, and for what somebody else did to the file, such as putting an old one back.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from tidegate.control.admin.configured import Configured
from tidegate.files import write_private
from tidegate.guard.access import Access, Digest, KeyEntry, PriceEntry, TeamRecords, encode
from tidegate.guard.watch import LIMIT_BYTES
from tidegate.limits import Limits, Rule
from tidegate.store.database import Database
from tidegate.store.tables.admin import prices, rules, state, teams, users, virtual_keys

VERSION = "access_version"
GUARDED = "keys_deleted"
"""Number in the store: whether a key has ever been deleted."""
_TRIES = 5
Stamp = tuple[int, int, int]
"""When the file was changed, its number, its size."""

_KEY = tuple(
    virtual_keys.c[name]
    for name in (
        "id", "name", "digests", "user", "team", "organisation", "environment", "models",
        "features", "may_name", "priority", "expires_ns", "blocked",
    )
)  # fmt: skip
"""What gateways have to know of a key."""
_digests = msgspec.json.Decoder(tuple[Digest, ...]).decode
_words = msgspec.json.Decoder(tuple[str, ...]).decode
_limits = msgspec.json.Decoder(Limits).decode

_log = logging.getLogger("tidegate.control")


class Publisher:
    """Writes `path` whenever the store or the file has become another; used by many threads."""

    def __init__(
        self,
        database: Database,
        path: Path,
        configured: Callable[[], Configured],
        *,
        most_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._database = database
        self._most_bytes = most_bytes
        self._path = path
        self._configured = configured
        self._turn = Lock()
        self._published: int | None = None
        self._written = b""
        self._stamp: Stamp | None = None
        self._failing = False

    def publish(self) -> None:
        """Let the file say what the store says now. Raises: `OSError`, `SQLAlchemyError`."""
        with self._turn:
            with self._database.reading() as connection:
                if version(connection) == self._published and self._stands():
                    return
            access = self._read()
            told = encode(access)
            if len(told) > self._most_bytes:  # which they would pass over, and nobody would know
                raise OSError(
                    errno.EFBIG, f"{len(told)} bytes of keys and limits are more than gateways take"
                )
            self._written, self._stamp = told, None
            _write(self._path, self._written)
            self._published = access.version
            if self._failing:
                self._failing = False
                _log.warning("gateways are told of changes again")

    def note_failure(self, error: Exception) -> None:
        """Log why gateways cannot be told, once until they can."""
        if not self._failing:
            _log.error("gateways are not told of changes, tried again: %s", error)
        self._failing = True

    def _stands(self) -> bool:
        """Whether the file is what was written, as whoever reads it would see."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp == self._stamp:
                return True
            # Read once after each writing too: only what was seen to be right counts as such.
            if len(self._written) != found.st_size or self._path.read_bytes() != self._written:
                return False
        except OSError:
            return False
        self._stamp = stamp
        return True

    def _read(self) -> Access:
        # PostgreSQL shows each statement what is committed by then: what was read counts only if
        # nothing changed meanwhile. After some tries it counts as the older version, so that the
        # next look finds it outdated.
        tries = 0
        while True:
            tries += 1
            with self._database.reading() as connection:
                access = access_of(connection, self._configured())
                if version(connection) == access.version or tries == _TRIES:
                    return access


def version(connection: Connection) -> int:
    """The version of what gateways have to know."""
    return _number(connection, VERSION)


def access_of(connection: Connection, configured: Configured) -> Access:
    """Everything that gateways have to know, as the store has it."""
    number = version(connection)
    belongs = {row.name: row for row in connection.execute(select(teams))}
    organisations = {name: team.organisation for name, team in configured.teams.items()}
    organisations |= {name: row.organisation for name, row in belongs.items()}
    of_users = {row.name: row.team for row in connection.execute(select(users))}
    return Access(
        version=number,
        keys=tuple(
            _entry(row, of_users, organisations)
            for row in connection.execute(select(*_KEY).order_by(virtual_keys.c.name)).all()
        ),
        rules=tuple(map(rule_of, connection.execute(select(rules)))),
        organisations={
            name: row.organisation for name, row in belongs.items() if row.organisation is not None
        },
        teams={name: team for name, team in of_users.items() if team is not None},
        weights={name: row.weight for name, row in belongs.items() if row.weight != 1},
        records={
            name: msgspec.json.decode(row.records, type=TeamRecords)
            for name, row in belongs.items()
            if row.records is not None
        },
        prices=tuple(
            msgspec.json.decode(price, type=PriceEntry)
            for price in connection.execute(select(prices.c.price)).scalars()
        ),
        guarded=_number(connection, GUARDED) > 0,
    )


def _number(connection: Connection, name: str) -> int:
    query = select(state.c.value).where(state.c.name == name)
    return connection.execute(query).scalar() or 0


def rule_of(row: Any) -> Rule:
    """The rule that a row of the table holds."""
    return Rule(row.kind, _limits(row.limits), row.name or None)


def _entry(
    row: Any, of_users: dict[str, str | None], organisations: dict[str, str | None]
) -> KeyEntry:
    # There are many: a row's fields are cheap all at once, and a decoder knows its type already.
    id_, name, digests, user, team, organisation, environment, models, features, may_name, *more = (
        row
    )
    priority, expires_ns, blocked = more
    team = team or of_users.get(user)
    return KeyEntry(
        id=id_,
        name=name,
        digests=_digests(digests),
        user=user,
        team=team,
        organisation=organisation or (organisations.get(team) if team else None),
        environment=environment,
        models=_strings(models),
        features=_strings(features),
        may_name=_strings(may_name),  # pyright: ignore[reportArgumentType]  checked on entry
        priority=priority,
        expires_ns=expires_ns,
        blocked=blocked,
    )


def _strings(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else _words(text)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, data, synced=True)
