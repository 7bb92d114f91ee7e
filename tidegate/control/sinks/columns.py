"""A record as a row: the columns of the tables that ClickHouse and Parquet have.

They are the fields of `Record`, so a field that is new is a column that is new. What a column is
called and what it means is the same in both; only the types' names differ.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from tidegate.store.records import Found
from tidegate.telemetry.record import Record, decode

Kind = Literal["text", "label", "int", "float", "bool", "texts", "json", "bytes"]

PLACE: Final = "place"
"""The order in which the store took them: of two rows of one request the later one counts."""
STARTED: Final = "started"
"""When it began; whole seconds in ClickHouse, microseconds in Parquet; `started_ns` is exact."""
LABELS: Final = frozenset(
    {
        "alias", "config_version", "degraded", "downgraded", "environment", "error_code", "feature",
        "finish_reason", "key", "limit", "model", "organisation", "outcome", "path", "price",
        "provider", "reason", "target", "team", "wire", "worker",
    }
)  # fmt: skip
"""Texts of which there are few: what people group by."""
BODIES: Final = ("request_body", "response_body")
_INSIDE: Final = frozenset({"held_input_nanousd", "expires_ms"})
"""Fields of records that are not over."""
_MOST: Final = (1 << 63) - 1


_CLICKHOUSE: Final[dict[Kind, str]] = {
    "text": "String", "label": "LowCardinality(String)", "int": "Int64", "float": "Float64",
    "bool": "UInt8", "texts": "Array(String)", "json": "String", "bytes": "String",
}  # fmt: skip
PARQUET: Final[dict[Kind, str]] = {
    "text": "string", "label": "dictionary<string>", "int": "int64", "float": "double",
    "bool": "bool", "texts": "list<string>", "json": "string", "bytes": "binary",
}  # fmt: skip


class Column(Struct, frozen=True):
    """One column after `place` and `started`."""

    name: str
    kind: Kind
    optional: bool
    """Whether a number may be missing; a text that is missing is empty."""

    def values(self, records: Iterable[Record]) -> list[Any]:
        """What it holds of each of `records`."""
        return list(map(_READ[self.kind](self.name), records))


@cache
def columns(*, bodies: bool) -> tuple[Column, ...]:
    """Those of a table, in their order; `bodies` if prompts and answers are in it."""
    hints = get_type_hints(Record)
    return tuple(
        _column(field.name, hints[field.name])
        for field in msgspec.structs.fields(Record)
        if field.name not in _INSIDE and (bodies or field.name not in BODIES)
    )


def clickhouse_type(column: Column) -> str:
    """What ClickHouse calls the type."""
    name = _CLICKHOUSE[column.kind]
    numbers = column.kind in ("int", "float", "bool")
    return f"Nullable({name})" if numbers and column.optional else name


def documented() -> list[tuple[str, str, str]]:
    """Each column's name, and its type in ClickHouse and in Parquet."""
    return [
        (PLACE, "Int64", "int64"),
        (STARTED, "DateTime('UTC')", "timestamp[us, tz=UTC]"),
        *((each.name, clickhouse_type(each), PARQUET[each.kind]) for each in columns(bodies=True)),
    ]


def read(page: Sequence[Found]) -> tuple[list[int], list[Record]]:
    """The places and the records of those that are records; the others are left out."""
    places, records = list[int](), list[Record]()
    for found in page:
        try:
            records.append(decode(found.payload))
        except msgspec.DecodeError:
            continue
        places.append(found.id)
    return places, records


def _column(name: str, hint: Any) -> Column:
    optional = False
    if get_origin(hint) in (Union, types.UnionType):
        others = [each for each in get_args(hint) if each is not type(None)]
        optional, hint = len(others) < len(get_args(hint)), others[0]
    if hint is str:
        kind: Kind = "label" if name in LABELS else "text"
    elif hint in _PLAIN:
        kind = _PLAIN[hint]
    else:
        kind = "texts" if get_args(hint) == (str,) else "json"
    return Column(name, kind, optional)


_PLAIN: Final[dict[Any, Kind]] = {bool: "bool", int: "int", float: "float", bytes: "bytes"}


def _plain(name: str) -> Callable[[Record], Any]:
    return lambda record: getattr(record, name)


def _whole(name: str) -> Callable[[Record], Any]:
    def value(record: Record) -> int | None:
        number: int | None = getattr(record, name)
        # What a vendor made up may be larger than any column.
        return number if number is None or -_MOST <= number <= _MOST else _MOST

    return value


def _json(name: str) -> Callable[[Record], Any]:
    def value(record: Record) -> str | None:
        found = getattr(record, name)
        return msgspec.json.encode(found).decode() if found else None

    return value


_READ: Final[dict[Kind, Callable[[str], Callable[[Record], Any]]]] = {
    "text": _plain, "label": _plain, "int": _whole, "float": _plain, "bool": _plain,
    "texts": _plain, "json": _json, "bytes": _plain,
}  # fmt: skip
