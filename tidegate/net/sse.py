"""Server-sent events out of bytes that may be split anywhere, without losing one of them.

Invariant: the `raw` of all events so far, followed by what is still pending, is the input.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tidegate import errors

# Atomic groups, or the CR and the LF of one CRLF would pass for two line ends.
_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_OVERLAP_BYTES: Final = 3  # a blank line is at most CR LF CR LF: so much of it may be here already


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: its `data` lines joined by LF, its type, and its bytes with the blank line.

    A block without data (a comment, a blank line too many) has empty `data` and is of use only to
    be passed on.
    """

    data: bytes
    event: bytes
    raw: bytes


class SseDecoder:
    """Feed bytes, get events; one decoder per answer."""

    __slots__ = ("_after_cr", "_at_start", "_between_events", "_max_event_bytes", "_pending")

    def __init__(self, max_event_bytes: int = 1 << 20) -> None:
        self._max_event_bytes = max_event_bytes
        self._pending = bytearray()
        self._at_start = True
        self._after_cr = False
        self._between_events = False  # at the start a byte order mark may come

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes.

        Raises:
            UpstreamMalformed: An event is longer than the limit.
        """
        if self._between_events and len(data) <= self._max_event_bytes:
            # How every provider sends: whole events, their lines ended alike.
            if data[-2:] == b"\n\n":
                if b"\r" not in data:
                    return self._whole(data, b"\n")
            elif data[-4:] == b"\r\n\r\n":
                ends = data.count(b"\r\n")
                if data.count(b"\r") == ends == data.count(b"\n"):
                    return self._whole(data, b"\r\n")
        return self._scan(data)

    def close(self) -> None:
        """Say that nothing more will come.

        Raises:
            UpstreamCut: In the middle of an event.
        """
        if self._pending:
            raise errors.UpstreamCut("The upstream's stream ended in the middle of an event.")

    def _whole(self, data: bytes, line_end: bytes) -> list[Event]:
        """Read `data`, in which every line ends in `line_end` and the last one is blank."""
        blank = line_end + line_end
        lines = data.count(line_end)
        if lines == 2 and data[:6] == b"data: ":  # noqa: PLR2004 - the blank line
            return [Event(data[6 : -len(blank)], b"", data)]
        if lines == 3 and data[:7] == b"event: ":  # noqa: PLR2004 - and the blank line
            name, _, text = data[7 : -len(blank)].partition(line_end)
            if text[:6] == b"data: ":
                return [Event(text[6:], name, data)]
        blocks = data.split(blank)
        if blocks.pop():  # blank lines too many
            return self._scan(data)
        events: list[Event] = []
        for block in blocks:
            name, text = b"", block
            if block[:7] == b"event: ":
                name, _, text = block[7:].partition(line_end)
            if text[:6] == b"data: " and line_end not in text:
                events.append(Event(text[6:], name, block + blank))
            else:
                events.append(self._event(block + blank))
        return events

    def _scan(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._after_cr and data:
            # The CR that ended the last event may be half of a CRLF. Waiting for its LF would hold
            # the event back, so the event went out and the LF follows as one of its own.
            self._after_cr = False
            if data[:1] == b"\n":
                events.append(Event(b"", b"", b"\n"))
                data = data[1:]
        pending = self._pending
        search_from = max(0, len(pending) - _OVERLAP_BYTES)
        pending += data
        start = 0
        while start < len(pending):
            mark = self._at_start and pending.startswith(_BYTE_ORDER_MARK)
            blank = _LINE_END.match(pending, len(_BYTE_ORDER_MARK) if mark else start)
            found = blank or _BLANK_LINE.search(pending, max(start, search_from))
            if found is None:
                break
            self._check_size(found.end() - start)
            events.append(self._event(bytes(pending[start : found.end()])))
            start = found.end()
        if start:
            self._after_cr = start == len(pending) and pending.endswith(b"\r")
            del pending[:start]
        self._check_size(len(pending))
        self._between_events = not (pending or self._after_cr or self._at_start)
        return events

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_event_bytes:
            raise errors.UpstreamMalformed(
                f"An event of the upstream's stream is longer than {self._max_event_bytes} bytes."
            )

    def _event(self, raw: bytes) -> Event:
        """Read one block: a single blank line, or lines up to and including a blank line."""
        lines = _LINE_END.split(raw)
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        data: list[bytes] = []
        event = b""
        for line in lines:
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif name == b"event":
                event = value.removeprefix(b" ")
        return Event(b"\n".join(data), event, raw)
