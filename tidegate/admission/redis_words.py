"""The words of Redis on the wire: commands to bytes, bytes to answers (RESP2, which all speak).

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MOST_BYTES: Final = 64 << 20
"""The longest answer that is taken: no script of ours says as much."""
MOST_PARTS: Final = 1 << 20
_END: Final = b"\r\n"
_HEAD_BYTES: Final = 64 << 10
_DEPTH: Final = 8


class Complaint(Exception):
    """What Redis answers instead: `NOSCRIPT …`, `OOM …`, `WRONGPASS …`."""

    @property
    def code(self) -> str:
        """Its first word."""
        return str(self).partition(" ")[0]


class NotRedis(Exception):
    """What came is no answer of Redis."""


def bulk(part: bytes) -> bytes:
    """One part of a command."""
    return b"$%d\r\n%b\r\n" % (len(part), part)


def command(*parts: bytes) -> bytes:
    """A whole command."""
    return b"*%d\r\n%b" % (len(parts), b"".join(map(bulk, parts)))


class Reader:
    """Puts answers together from what comes in pieces."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterable[object]:
        """The answers that are whole by now: bytes, int, list, `Complaint` or None.

        Raises: `NotRedis`; then nothing that follows means anything.
        """
        if self._held:
            data = self._held + data
        at, answers = 0, list[object]()
        while at < len(data):
            whole = _answer(data, at, 0)
            if whole is None:
                break
            answer, at = whole
            answers.append(answer)
        self._held = data[at:]
        return answers


def _answer(data: bytes, at: int, depth: int) -> tuple[object, int] | None:
    """The answer that begins at `at` and where it ends, or None if more of it is to come."""
    end = data.find(_END, at)
    if end < 0:
        if len(data) - at > _HEAD_BYTES:
            raise NotRedis("a line without an end")
        return None
    sign, head, after = data[at : at + 1], data[at + 1 : end], end + 2
    if sign == b"$":
        size = _number(head, MOST_BYTES)
        if size < 0:
            return None, after
        ends = after + size
        return None if len(data) < ends + 2 else (data[after:ends], ends + 2)
    if sign == b"*":
        return _list(data, _number(head, MOST_PARTS), after, depth + 1)
    return _simple(sign, head), after


def _list(data: bytes, count: int, at: int, depth: int) -> tuple[object, int] | None:
    if count < 0:
        return None, at
    if depth > _DEPTH:
        raise NotRedis("lists in lists without an end")
    parts = list[object]()
    for _ in range(count):
        part = _answer(data, at, depth)
        if part is None:
            return None
        parts.append(part[0])
        at = part[1]
    return parts, at


def _simple(sign: bytes, head: bytes) -> object:
    if sign == b":":
        return _number(head, 1 << 63)
    if sign == b"+":
        return head
    if sign == b"-":
        return Complaint(head.decode(errors="replace"))
    raise NotRedis(f"an answer that begins with {sign!r}")


def _number(digits: bytes, most: int) -> int:
    try:
        number = int(digits)
    except ValueError:
        raise NotRedis("a number that is none") from None
    if abs(number) > most:
        raise NotRedis("an answer that is too large")
    return number
