"""Many rows in one statement, in the words of each database.

SQLite is given many values at once: that costs it half as much as row by row, and meanwhile another
thread may go on. PostgreSQL is handed columns as arrays, or rows by `COPY` as it keeps them itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.schema import Column

Values = Sequence[tuple[Any, ...]]
_MOST_VALUES: Final = 20_000
"""In one statement of SQLite, which may take more."""


def insert_many(connection: Connection, table: Table, columns: Sequence[str], rows: Values) -> None:
    """Add `rows`, none of which is there."""
    if not rows:
        return
    names = ", ".join(f'"{name}"' for name in columns)
    if not _postgres(connection):
        _repeat(connection, f'INSERT INTO "{table.name}" ({names})', "", rows)
        return
    raw: Any = connection.connection.driver_connection
    statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)"
    driver = connection.dialect.loaded_dbapi
    try:
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([_type(table.c[name]) for name in columns])
            for row in rows:
                copy.write_row(row)
    except driver.Error as error:
        raise DBAPIError(statement, None, error) from error


def merge_many(
    connection: Connection, table: Table, rows: Values, *, add: Sequence[str] = ()
) -> None:
    """Add `rows`, whose values are `table`'s columns; where the key is there, add up `add`.

    Without `add`, what is there stays.
    """
    if not rows:
        return
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
    sums = ", ".join(f'"{name}" = "{table.name}"."{name}" + excluded."{name}"' for name in add)
    conflict = f"ON CONFLICT ({keys}) DO " + (f"UPDATE SET {sums}" if add else "NOTHING")
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    into = f'INSERT INTO "{table.name}" ({names})'
    if not _postgres(connection):
        _repeat(connection, into, conflict, rows)
        return
    arrays = ", ".join(f"%s::{_type(column)}[]" for column in table.columns)
    values = tuple(map(_array, zip(*rows, strict=True)))
    statement = f"{into} SELECT * FROM unnest({arrays}) {conflict}"  # noqa: S608 - ours
    connection.exec_driver_sql(statement, values)


def is_one_of(connection: Connection, column: str) -> str:
    """A condition with one parameter, `listed` of the values that `column` may have."""
    if _postgres(connection):
        return f"{column} = ANY(%s)"
    return f"{column} IN (SELECT value FROM json_each(?))"  # noqa: S608 - ours


def listed(connection: Connection, values: Iterable[str]) -> Any:
    """The parameter of `is_one_of`."""
    return list(values) if _postgres(connection) else msgspec.json.encode(list(values)).decode()


def _postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _repeat(connection: Connection, into: str, conflict: str, rows: Values) -> None:
    marks = f"({', '.join('?' * len(rows[0]))})"
    raw: Any = connection.connection.driver_connection
    most = min(_MOST_VALUES, raw.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)) // len(rows[0])
    at = 0
    while at < len(rows):
        # Of the sizes of statements that there are, so that few have to be prepared.
        size = _size(len(rows) - at, most)
        every = ", ".join([marks] * size)
        values = tuple(chain.from_iterable(rows[at : at + size]))
        connection.exec_driver_sql(f"{into} VALUES {every} {conflict}", values)
        at += size


def _size(left: int, most: int) -> int:
    # A power of four, or `most`.
    if left >= most:
        return most
    return 4 ** ((left.bit_length() - 1) // 2)


def _type(column: Column[Any]) -> str:
    if isinstance(column.type, BigInteger | Integer):
        return "int8"
    if isinstance(column.type, LargeBinary):
        return "bytea"
    return "bool" if isinstance(column.type, Boolean) else "text"


def _array(values: tuple[Any, ...]) -> str | list[Any]:
    # As PostgreSQL spells arrays, which is as JSON does but for the brackets and what is escaped;
    # the driver would look at each value by itself.
    spelled = msgspec.json.encode(values).decode()
    return list(values) if "\\" in spelled else f"{{{spelled[1:-1]}}}"
