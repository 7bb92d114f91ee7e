"""Which faults make a request fail before anything is said, and how."""

from __future__ import annotations

from email.utils import formatdate
from typing import Final

from tidegate.clock import Clock
from tidegate.providers.simulated.faults import Faults
from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.reply import Reply, Request, Turn
from tidegate.providers.simulated.vendor import CONTEXT_TOKENS, Vendor
from tidegate.providers.simulated.wire import SILENT

_COUNTED_NAMES: Final = 10_000
_MULTIPLE_CHOICES: Final = 300
_BAD_REQUEST: Final = 400
_NO_BODY: Final = (204, 205)


class Failures:
    """Counts what has to be counted for faults that come and go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str], int] = {}

    def forget(self) -> None:
        """Count from zero again."""
        self._seen.clear()

    def of(self, turn: Turn, request: Request) -> Reply | None:
        """The error the faults ask for, or None when this request is to succeed."""
        faults = turn.faults
        wait_s = turn.pace.whole_s(0)
        if any(name in faults for name in SILENT):
            return Reply(200, wait_s=wait_s)
        refusal = self._refusal(turn, request)
        if refusal is None:
            return None
        reply = refuse(turn.vendor, refusal, turn.meter.tag)
        reply.headers += self._retry_after(faults)
        if reply.status < _BAD_REQUEST:  # a redirect must not be followed with a key in hand
            reply.headers += b"location: /v1/redirected\r\n"
        if reply.status in _NO_BODY:
            reply.body = b""
        reply.wait_s = wait_s
        return reply

    def _refusal(self, turn: Turn, request: Request) -> Refusal | None:
        faults, vendor = turn.faults, turn.vendor
        if (refusal := _of_prompt(turn)) is not None:
            return refusal
        comes_and_goes = "fail-first" in faults or "flap" in faults
        if comes_and_goes and not self._is_bad_turn(turn.model, request, faults):
            return None
        if "overloaded" in faults and "error-event" not in faults:
            return vendor.refusal("overloaded")
        status = faults.number("status") or (503 if comes_and_goes else None)
        if status is None:
            return _limited(turn)
        if status < _MULTIPLE_CHOICES and status not in _NO_BODY:
            return None
        return vendor.by_status(status, f"Simulated status {status}.")

    def _is_bad_turn(self, model: str, request: Request, faults: Faults) -> bool:
        key = (model, request.simulate)
        if key not in self._seen and len(self._seen) >= _COUNTED_NAMES:
            del self._seen[next(iter(self._seen))]
        before = self._seen[key] = self._seen.get(key, -1) + 1
        first = faults.number("fail-first")
        if first is not None:
            return before < first
        return before // max(1, faults.number("flap") or 1) % 2 == 0

    def _retry_after(self, faults: Faults) -> bytes:
        headers = b""
        if (seconds := faults.number("retry-after")) is not None:
            headers += b"retry-after: %d\r\n" % seconds
        if (seconds := faults.number("retry-after-date")) is not None:
            when = formatdate(self._clock.now_ns() // 1_000_000_000 + seconds, usegmt=True)
            headers += b"retry-after: %b\r\n" % when.encode()
        if (milliseconds := faults.number("retry-after-ms")) is not None:
            headers += b"retry-after-ms: %d\r\n" % milliseconds
        return headers


def _of_prompt(turn: Turn) -> Refusal | None:
    """What is wrong with the prompt itself."""
    faults, vendor = turn.faults, turn.vendor
    if "context-overflow" in faults:
        tokens = CONTEXT_TOKENS + 1 + len(turn.body) // 4
        return vendor.refusal("overflow", tokens=tokens, model=turn.model)
    if "content-policy" in faults and "filtered" in vendor.causes:
        return vendor.refusal("filtered")
    return None


def _limited(turn: Turn) -> Refusal | None:
    """Whoever names a time to wait and no status is told that there were too many requests."""
    for name, per_second in (
        ("retry-after", 1),
        ("retry-after-date", 1),
        ("retry-after-ms", 1000),
    ):
        if (wait := turn.faults.number(name)) is not None:
            return turn.vendor.refusal("limited", model=turn.model, retry_s=wait / per_second)
    return None


def refuse(vendor: Vendor, refusal: Refusal, tag: str) -> Reply:
    """A refusal in the vendor's words."""
    body = vendor.error(refusal, f"req-{tag}")
    return Reply(refusal.status, body, headers=vendor.error_headers(refusal))
