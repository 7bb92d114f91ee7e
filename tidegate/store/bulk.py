"""Many rows in one statement, in the words of each database.

SQLite repeats a prepared statement, which costs it a microsecond or two a row; PostgreSQL is handed
columns as arrays, or rows by `COPY`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, Integer, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.schema import Column

Values = Sequence[tuple[Any, ...]]


def insert_many(connection: Connection, table: Table, columns: Sequence[str], rows: Values) -> None:
    """Add `rows`, none of which is there."""
    if not rows:
        return
    names = ", ".join(f'"{name}"' for name in columns)
    if not _postgres(connection):
        marks = ", ".join("?" * len(columns))
        statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608 - ours
        connection.exec_driver_sql(statement, list(rows))
        return
    raw: Any = connection.connection.driver_connection
    statement = f"COPY {table.name} ({names}) FROM STDIN"
    driver = connection.dialect.loaded_dbapi
    try:
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
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
        marks = ", ".join("?" * len(table.columns))
        connection.exec_driver_sql(f"{into} VALUES ({marks}) {conflict}", list(rows))
        return
    arrays = ", ".join(f"%s::{_array(column)}" for column in table.columns)
    values = tuple(list(column) for column in zip(*rows, strict=True))
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


def _array(column: Column[Any]) -> str:
    return "bigint[]" if isinstance(column.type, BigInteger | Integer) else "text[]"
