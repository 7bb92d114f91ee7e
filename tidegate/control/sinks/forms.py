"""What records look like where they go: spans by OTLP, or signed lines of JSON.

A form packs what was read from the store into one message; records that it leaves out (by the
sampling share) and those that nobody can read are counted, and no others go missing.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tidegate.alerts.sinks import SIGNATURE, signature
from tidegate.control.sinks.settings import Traces, Webhook
from tidegate.telemetry import otlp
from tidegate.telemetry.record import decode
from tidegate.telemetry.spans import sampled, spans, trace_id

_SPEED: Final = 1
"""Of gzip: names repeat so often that more gains little."""


class Parcel(Struct, frozen=True):
    """A message, and what is in it; empty when nothing is to be sent."""

    body: bytes
    headers: dict[str, str]
    records: int
    left_out: int = 0
    """Records that are not to be sent."""
    unreadable: int = 0


class Answer(Struct, frozen=True):
    """What a receiver says of a message that it took."""

    rejected: int = 0
    why: str = ""


class Form(Protocol):
    """How records are packed for a kind of receiver."""

    def pack(self, payloads: Sequence[bytes]) -> Parcel:
        """What `payloads` become; of one that is no record nothing."""
        ...

    def taken(self, answer: bytes) -> Answer:
        """What the receiver has said to a parcel that it took."""
        ...


class _Head(Struct):
    """As much of a record as it takes to leave it out."""

    request_id: str
    outcome: str = "ok"
    trace_parent: str | None = None


class TraceForm:
    """OTLP over HTTP, in protobuf."""

    def __init__(self, settings: Traces) -> None:
        self._settings = settings

    def pack(self, payloads: Sequence[bytes]) -> Parcel:
        """See `Form.pack`."""
        settings, encoded = self._settings, list[bytes]()
        sent = left_out = unreadable = 0
        for payload in payloads:
            try:
                if not self._wants(_decode_head(payload)):
                    left_out += 1
                    continue
                record = decode(payload)
            except msgspec.DecodeError:
                unreadable += 1
                continue
            told = spans(record, settings.places, told=settings.content)
            encoded += map(otlp.encode, told)
            sent += 1
        body = b""
        if encoded:
            body = gzip.compress(otlp.export_request(encoded, settings.service), _SPEED)
        headers = {"content-type": otlp.CONTENT_TYPE, "content-encoding": "gzip"}
        return Parcel(body, headers, sent, left_out, unreadable)

    def _wants(self, head: _Head) -> bool:
        if self._settings.errors and head.outcome != "ok":
            return True
        return sampled(trace_id(head.request_id, head.trace_parent), self._settings.sample)

    def taken(self, answer: bytes) -> Answer:
        """See `Form.taken`."""
        said = otlp.read_answer(answer)
        return Answer(said.rejected, said.why)


class WebhookForm:
    """A line of JSON for each record, as `tidegate log --json` prints them.

    Signed as alerts are: `tidegate-signature: t=UNIX,v1=HEX`, where HEX is the HMAC-SHA256 of
    `UNIX.BODY`.
    """

    def __init__(self, settings: Webhook, now_ns: Callable[[], int]) -> None:
        self._settings = settings
        self._now_ns = now_ns

    def pack(self, payloads: Sequence[bytes]) -> Parcel:
        """See `Form.pack`."""
        lines: list[bytes] = []
        unreadable = 0
        for payload in payloads:
            try:
                record = decode(payload)
            except msgspec.DecodeError:
                unreadable += 1
                continue
            if not self._settings.bodies:
                record = replace(record, request_body=None, response_body=None)
            lines.append(msgspec.json.encode(record) + b"\n")
        body, headers = b"".join(lines), {"content-type": "application/x-ndjson"}
        if self._settings.secret is not None:
            unix_s = self._now_ns() // 10**9
            headers[SIGNATURE] = signature(self._settings.secret, unix_s, body)
        return Parcel(body, headers, len(lines), 0, unreadable)

    def taken(self, answer: bytes) -> Answer:  # noqa: ARG002 - it has no word for a part
        """See `Form.taken`."""
        return Answer()


_decode_head = msgspec.msgpack.Decoder(_Head).decode
