"""The months that PostgreSQL keeps records in: made before they are needed, dropped as a whole.

A partition is made beside its table and then attached, which keeps no reader waiting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection

_NAME = re.compile(r"records_(\d{4})(\d{2})")
_LOCK_MS = 5_000
_AHEAD = 2

Month = tuple[int, int]
"""Year, and month from 1 to 12; in UTC."""


def month_of(unix_ns: int) -> Month:
    """The month that `unix_ns` falls in."""
    day = datetime.fromtimestamp(unix_ns // 10**9, UTC)
    return day.year, day.month


def after(month: Month, months: int = 1) -> Month:
    """The one so many months later."""
    year, number = month
    more, number = divmod(number - 1 + months, 12)
    return year + more, number + 1


def began_ns(month: Month) -> int:
    """When it begins."""
    return int(datetime(*month, 1, tzinfo=UTC).timestamp()) * 10**9


def partitions(connection: Connection) -> list[Month]:
    """Those that there are, oldest first."""
    query = (
        "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
        " WHERE inhparent = 'records'::regclass ORDER BY child.relname"
    )
    found = (_NAME.fullmatch(name) for (name,) in connection.exec_driver_sql(query))
    return [(int(each[1]), int(each[2])) for each in found if each]


def add_partition(connection: Connection, month: Month) -> None:
    """Make the one for `month`, which is not there."""
    name = _name(month)
    run = connection.exec_driver_sql
    run(f"CREATE TABLE {name} (LIKE records INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    span = f"FROM ({began_ns(month)}) TO ({began_ns(after(month))})"
    run(f"ALTER TABLE records ATTACH PARTITION {name} FOR VALUES {span}")


def prepare(connection: Connection, months: Iterable[Month], now_ns: int | None = None) -> None:
    """See to it that there are partitions for `months`, and from `now_ns` on for the next ones."""
    ahead = [] if now_ns is None else [after(month_of(now_ns), n) for n in range(_AHEAD + 1)]
    for month in sorted({*months, *ahead} - set(partitions(connection))):
        add_partition(connection, month)


def month_began_ns(unix_ns: int) -> int:
    """When the month that `unix_ns` falls in began."""
    return began_ns(month_of(unix_ns))


def whole_before(connection: Connection, unix_ns: int) -> list[Month]:
    """The partitions that are wholly older than `unix_ns`."""
    return [month for month in partitions(connection) if began_ns(after(month)) <= unix_ns]


def drop_before(connection: Connection, unix_ns: int) -> list[Month]:
    """Drop the partitions that are wholly older than `unix_ns`; return which."""
    old = whole_before(connection, unix_ns)
    if old:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_LOCK_MS}")
    for month in old:
        connection.exec_driver_sql(f"DROP TABLE {_name(month)}")
    return old


def _name(month: Month) -> str:
    return f"records_{month[0]:04d}{month[1]:02d}"
