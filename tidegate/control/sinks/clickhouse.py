"""Records into a table of ClickHouse, over its HTTP interface, in its Native format.

The table is made when it is not there, and gets the columns that it lacks. Its engine is
`ReplacingMergeTree(place)`, ordered by time and request: a page that is sent twice, because
somebody died between the insert and the note of it, is the same rows again, and `FINAL` or a merge
leaves one of each. The same page also is the same block, which `Replicated…` engines do not insert
a second time.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from tidegate.control.sinks import native
from tidegate.control.sinks.columns import PLACE, STARTED, clickhouse_type, columns, read
from tidegate.control.sinks.post import FINE, NotTaken, Post, wait_s
from tidegate.control.sinks.settings import ClickHouse
from tidegate.control.sinks.way import Pace, Told
from tidegate.net.http import Response
from tidegate.store.records import Found

PACE: Final = Pace(rows=20_000, size_bytes=16 << 20, gather_s=5.0, exact=True)
"""Inserts should be few and large: each makes a part of its own on the server's disk."""
_CODE = re.compile(r"Code: (\d+)")
_SPEED: Final = 1
_SECOND_NS: Final = 10**9
_LAST_SECOND: Final = (1 << 32) - 1
_SAFE_INSERTS, _SAFE_DISK = (21, 11), (21, 1)
"""From which version on there are settings that would have, or make, an insert not safe."""
_UNKNOWN: Final = frozenset({16, 36, 47, 60, 81})
"""What the server says when the table is not as it was."""
REMEDIES: Final = {
    81: "there is no such database; run CREATE DATABASE {database}, or name another one",
    60: "the table {table} is gone; it is made again",
    16: "the table {table} has lost a column; it is added again",
    53: "a column of {table} has another type; name another `table`, or change it",
    70: "a column of {table} has another type; name another `table`, or change it",
    62: "it does not understand the table's definition; it may be too old",
    115: "it does not know a setting; it may be too old",
    164: "the user may only read; let it INSERT into {table}",
    192: "there is no such user; check `user` and `password`",
    193: "the password is wrong; check `user` and `password`",
    194: "a password is required; set `user` and `password`",
    195: "the user may not come from this address",
    241: "it has not enough memory just now",
    242: "the table {table} is read-only just now",
    243: "its disk is full; make room, or let `ttl` delete what is old",
    252: "it merges more slowly than rows come; look at its disk",
    291: "the user may not use {database}; GRANT it INSERT, SELECT, CREATE TABLE and ALTER",
    497: "the user lacks a right; GRANT INSERT, SELECT, CREATE TABLE, ALTER ON {table}",
    516: "the user or its password is wrong; check `user` and `password`",
}  # fmt: skip
"""What to do, by ClickHouse's own codes of errors."""


class ClickHouseWay:
    """The way into one table; see `Way`."""

    pace = PACE

    def __init__(self, settings: ClickHouse, post: Post) -> None:
        self._settings = settings
        self._post = post
        self._columns = columns(bodies=settings.bodies)
        self._names = f"`{settings.database}`.`{settings.table}`"
        self._options: dict[str, str] | None = None
        """Settings of inserts; None until the table is known to be as it should be."""

    async def take(self, page: Sequence[Found], after: int) -> Told:  # noqa: ARG002 - see `Way`
        """See `Way.take`."""
        body, rows = await asyncio.to_thread(self._pack, page)
        if rows:
            if self._options is None:
                self._options = await self._prepare()
            listed = ", ".join(f"`{name}`" for name, _ in self._table())
            await self._ask(f"INSERT INTO {self._names} ({listed}) FORMAT Native", body)
        return Told(rows, unreadable=len(page) - rows, size_bytes=len(body) if rows else 0)

    async def close(self) -> None:
        """See `Way.close`."""
        await self._post.close()

    def _pack(self, page: Sequence[Found]) -> tuple[bytes, int]:
        places, records = read(page)
        seconds = [min(max(0, each.started_ns // _SECOND_NS), _LAST_SECOND) for each in records]
        told: list[tuple[str, str, Sequence[object]]] = [
            (PLACE, "Int64", places),
            (STARTED, "DateTime('UTC')", seconds),
            *((each.name, clickhouse_type(each), each.values(records)) for each in self._columns),
        ]
        return gzip.compress(native.block(told, len(records)), _SPEED), len(records)

    def _table(self) -> list[tuple[str, str]]:
        """Each column's name and type."""
        own = [(PLACE, "Int64"), (STARTED, "DateTime('UTC')")]
        return own + [(each.name, clickhouse_type(each)) for each in self._columns]

    async def _prepare(self) -> dict[str, str]:
        """See to it that the table is there, with every column; the settings of inserts."""
        said = await self._ask("SELECT version()")
        numbers = re.findall(rb"\d+", said)[:2]
        version = tuple(int(number) for number in numbers)
        settings = self._settings
        found = await self._ask(
            f"SELECT name FROM system.columns WHERE database = '{settings.database}'"  # noqa: S608
            f" AND table = '{settings.table}'"  # both are names, as the configuration has checked
        )
        there = set(found.decode(errors="replace").split())
        if not there:
            await self._ask(self.definition(version))
        else:
            for name, type_ in self._table():
                if name not in there:
                    await self._ask(f"ALTER TABLE {self._names} ADD COLUMN `{name}` {type_}")
        # A user's profile may say that inserts are answered before they are stored.
        return {"async_insert": "0"} if version >= _SAFE_INSERTS else {}

    def definition(self, version: tuple[int, ...]) -> str:
        """How the table is made, by a server of `version`."""
        listed = ", ".join(f"`{name}` {type_}" for name, type_ in self._table())
        days = self._settings.ttl_days
        ttl = f" TTL {STARTED} + INTERVAL {days} DAY" if days is not None else ""
        safe = " SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
        return (
            f"CREATE TABLE IF NOT EXISTS {self._names} ({listed})"
            f" ENGINE = ReplacingMergeTree({PLACE}) PARTITION BY toYYYYMM({STARTED})"
            f" ORDER BY ({STARTED}, request_id){ttl}{safe if version >= _SAFE_DISK else ''}"
        )

    async def _ask(self, query: str, body: bytes = b"") -> bytes:
        told = {"query": query, **(self._options or {})} if body else {}
        path = self._settings.to.path
        if told:
            path += ("&" if "?" in path else "?") + urlencode(told)
        headers = {"content-encoding": "gzip"} if body else {}
        answer, said = await self._post.ask(body or query.encode(), headers, path)
        code = _code(answer, said)
        if answer.status in FINE and code is None:
            return said
        if code in _UNKNOWN:
            self._options = None
        raise self._refusal(answer, code)

    def _refusal(self, answer: Response, code: int | None) -> NotTaken:
        if code is None:
            too_large = answer.status == _TOO_LARGE
            return NotTaken(
                f"it answered {answer.status}, and is no ClickHouse; check `endpoint`",
                unfit=too_large,
                wait_s=wait_s(answer),
            )
        table = f"{self._settings.database}.{self._settings.table}"
        remedy = REMEDIES.get(code, "its own log says more")
        remedy = remedy.format(table=table, database=self._settings.database)
        return NotTaken(f"ClickHouse refuses with code {code}: {remedy}")


_TOO_LARGE: Final = 413


def _code(answer: Response, said: bytes) -> int | None:
    """ClickHouse's code of an error; None where there is none.

    One that comes after the head was sent is in the body alone.
    """
    header = (answer.header(b"x-clickhouse-exception-code") or b"").decode("latin-1")
    if header.isascii() and header.isdecimal():
        return int(header)
    found = _CODE.search(said.decode(errors="replace"))
    return int(found[1]) if found and (answer.status not in FINE or b"xception" in said) else None
