"""ClickHouse's Native format, as much of it as it takes to write: one block, column by column.

Source: https://clickhouse.com/docs/interfaces/formats/Native. A block is the number of columns and
of rows, then each column with its name, its type and its values; numbers are little-endian, lengths
are LEB128. What has low cardinality is a dictionary of its own, and the place in it of each value.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

_ONE_BYTE: Final = 0x80
_ONE_BYTE_KEYS, _TWO_BYTE_KEYS = 1 << 8, 1 << 16


def block(columns: Sequence[tuple[str, str, Sequence[Any]]], rows: int) -> bytes:
    """A block of `columns`, each with its name, its type and `rows` values."""
    pieces = [_varint(len(columns)), _varint(rows)]
    for name, type_, values in columns:
        pieces += [_text(name), _text(type_), _values(type_, values)]
    return b"".join(pieces)


def _values(type_: str, values: Sequence[Any]) -> bytes:
    if type_.startswith("Nullable("):
        inner = type_.removeprefix("Nullable(").removesuffix(")")
        missing = bytes(value is None for value in values)
        return missing + _values(inner, [0 if value is None else value for value in values])
    if type_.startswith("Array("):
        inner = type_.removeprefix("Array(").removesuffix(")")
        ends = _numbers("Q", accumulate(map(len, values)))
        return ends + _values(inner, [each for value in values for each in value])
    if type_ == "LowCardinality(String)":
        return _dictionary(values)
    if type_ == "String":
        return b"".join(map(_text, values))
    return _numbers(_CODES[type_.partition("(")[0]], values)


_CODES: Final = {"Int64": "q", "Float64": "d", "UInt8": "B", "DateTime": "I"}


def _dictionary(values: Sequence[str | None]) -> bytes:
    # Source: SerializationLowCardinality.cpp of ClickHouse; the two bits say that the dictionary
    # comes along, and that it is new.
    index = {value: place for place, value in enumerate(dict.fromkeys(values))}
    width = (len(index) > _ONE_BYTE_KEYS) + (len(index) > _TWO_BYTE_KEYS)
    return b"".join(
        (
            _numbers("Q", (1, 1 << 9 | 1 << 10 | width, len(index))),
            *map(_text, index),
            _numbers("Q", (len(values),)),
            _numbers("BHI"[width], map(index.__getitem__, values)),
        )
    )


def _numbers(code: str, values: Iterable[Any]) -> bytes:
    numbers = array(code, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _text(value: str | bytes | None) -> bytes:
    if not value:
        return b"\0"
    data = value.encode() if isinstance(value, str) else value
    return _varint(len(data)) + data


def _varint(number: int) -> bytes:
    if number < _ONE_BYTE:
        return _SMALL[number]
    out = bytearray()
    while number >= _ONE_BYTE:
        out.append(number & 0x7F | _ONE_BYTE)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL: Final = [bytes([number]) for number in range(_ONE_BYTE)]
