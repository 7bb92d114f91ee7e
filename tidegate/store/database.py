"""The database behind everything durable: SQLite for one machine, PostgreSQL for several.

Both are used alike. A commit is on the disk when it returns. A transaction that writes begins with
`writing`: in SQLite it takes the one lock for writers at once, because a lock that is only asked
for after reading may be refused; in PostgreSQL writers of one `turn` go one after the other, so
that what they read stays true until they commit.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_IMMEDIATE = "tidegate_immediate"
_CONNECT_S = 5

Insert = sqlite.Insert | postgresql.Insert


def database_file(url: str) -> Path | None:
    """The file behind a store's URL; None when it has none."""
    return _file(make_url(url))


def _file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database)


class Database:
    """The one at `url`: `sqlite:////var/lib/tidegate.db` or `postgresql://HOST/NAME`."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        kind = self._url.get_backend_name()
        if kind not in _DRIVERS:
            shown = self._url.render_as_string()
            raise ValueError(f"store {shown} must begin with sqlite:/// or postgresql://")
        self._url = self._url.set(drivername=_DRIVERS[kind])
        self.file = _file(self._url)
        """None when it is not a file."""
        self.postgres = kind == "postgresql"
        self.engine = self._connected()

    def exists(self) -> bool:
        """Whether the file is there; a server is taken to be."""
        return self.file is None or self.file.exists()

    def touch(self) -> None:
        """Make the file, readable by its owner only, where there is none. Raises: `OSError`."""
        self.engine.dispose()
        if self.file is not None:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.file.touch(mode=0o600)
            with self.engine.connect() as connection:
                connection.connection.cursor().execute("PRAGMA journal_mode=WAL")

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    @contextmanager
    def reading(self, *, still: bool = False) -> Generator[Connection]:
        """A transaction that sees one state of the data. Raises: `SQLAlchemyError`.

        In PostgreSQL each statement sees its own, unless it is to stand `still`.
        """
        with self.engine.connect() as connection:
            if still and self.postgres:
                yield connection.execution_options(isolation_level="REPEATABLE READ")
            else:
                yield connection

    @contextmanager
    def writing(self, turn: str | None = None) -> Generator[Connection]:
        """A transaction that writes, committed at the end unless an exception passes.

        Whoever names the same `turn` waits until this one is over. Raises: `SQLAlchemyError`.
        """
        options = {_IMMEDIATE: True}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            if self.postgres and turn is not None:
                number = crc32(turn.encode())
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({number})")
            yield connection

    def insert(self, table: Table) -> Any:
        """An `INSERT` that can say what happens on a conflict, in the database's own words."""
        return postgresql.insert(table) if self.postgres else sqlite.insert(table)

    def _connected(self) -> Engine:
        if self.postgres:
            return _postgres(self._url)
        engine = create_engine(self._url)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine


def _postgres(url: URL) -> Engine:
    waiting = {"connect_timeout": _CONNECT_S}
    try:
        return create_engine(url, pool_pre_ping=True, connect_args=waiting)
    except ModuleNotFoundError as error:
        raise ValueError(
            "store needs PostgreSQL's driver: pip install 'tidegate[postgres]'"
        ) from error


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    raw: Any = connection
    raw.isolation_level = None  # we begin transactions ourselves, as `_begin` says
    cursor: Any = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.execute("PRAGMA cache_size=-65536")
    cursor.execute("PRAGMA wal_autocheckpoint=8000")
    cursor.execute("PRAGMA foreign_keys=ON")
    # What is deleted is gone from the file too, and what was moved in it leaves no copy behind.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
