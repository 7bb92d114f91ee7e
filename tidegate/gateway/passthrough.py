"""Hand a request on to a provider as it is: `/passthrough/{provider}/…`.

No side door: the same keys, bounds, timeouts and records as everywhere. But there is no plan: one
provider, one try, and the answer as the provider gave it, its errors included. What an answer says
of itself in a format we know (its model, its usage) is learnt while it passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

import msgspec

from tidegate.errors import (
    BadRequest,
    Forbidden,
    TidegateError,
    UnknownPath,
    UpstreamError,
    WrongMethod,
)
from tidegate.formats.format import Watch
from tidegate.formats.heard import HEARD
from tidegate.gateway.exchange import CallerGone, Ending, Exchange, Header
from tidegate.gateway.tracing import HEADERS
from tidegate.net.http import Response
from tidegate.net.sse import SseDecoder
from tidegate.types import Facts, Principal, Timeouts, allowed

PREFIX = "/passthrough/"
WIRES = ("chat/completions", "completions", "embeddings", "responses", "messages")
"""Ends of paths whose answers are in a format we know; the first part names the wire."""

ANSWER_LIMIT_BYTES = 64 << 20
LEARNT_BYTES = 4 << 20
_KEPT_BACK = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"content-length", b"set-cookie", b"host", b"expect",
    b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"accept-encoding",
    b"content-encoding", b"x-request-id", b"proxy-connection", b"http2-settings", b"alt-svc",
    *HEADERS,
})  # fmt: skip
"""Headers that are one hop's own, that are a secret, or that we write ourselves."""

_OURS = b"x-tidegate-"
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"})
"""No other: the answer to TRACE would tell our key."""


class Door(Protocol):
    """A provider that takes requests as they are."""

    async def pass_through(
        self,
        method: str,
        path: str,
        headers: list[Header],
        body: bytes,
        *,
        timeouts: Timeouts,
        deadline: float,
        trace: bytes = b"",
    ) -> Response:
        """Its answer, once the head of it is in, whatever its status. Raises: `UpstreamError`."""
        ...


@dataclass(frozen=True, slots=True)
class Doors:
    """The providers whose operator has opened them."""

    open: Mapping[str, Door]
    timeouts: Timeouts

    def find(self, caller: Principal, path: str) -> tuple[str, Door]:
        """The provider that `path` names, if `caller` may use it.

        Raises: `UnknownPath`, `Forbidden`.
        """
        name = unquote(path[len(PREFIX) :].partition("?")[0].partition("/")[0])
        door = self.open.get(name)
        if door is None:
            raise UnknownPath(
                f"No provider called {name[:100]!r} takes requests as they are; the operator "
                "allows it with `passthrough: true`."
            )
        if caller.models is not None and not allowed(caller.models, f"passthrough/{name}"):
            raise Forbidden(f"This key may not use the provider {name!r} directly.")
        return name, door


async def pass_through(
    door: Door,
    timeouts: Timeouts,
    exchange: Exchange,
    body: bytes,
    facts: Facts,
    *,
    trace: bytes = b"",
) -> Ending:
    """The provider's answer, all but its end sent; what was learnt of it is in `facts`.

    `trace` are lines that tell the provider its place in a trace. Raises: `TidegateError`.
    """
    record = exchange.record
    if exchange.method not in _METHODS:
        raise WrongMethod(f"{exchange.method.decode('latin-1')} is not handed on.")
    plain, mark, query = exchange.target[len(PREFIX) :].partition("?")
    path = "/" + plain.partition("/")[2]
    _check_path(path)
    path += mark + query
    exchange.watched = True
    if exchange.gone:
        raise CallerGone
    response = await door.pass_through(
        exchange.method.decode("latin-1"),
        path,
        _passed_on(exchange.headers),
        body,
        timeouts=timeouts,
        deadline=exchange.deadline,
        trace=trace,
    )
    try:
        headers = _passed_on(response.headers)
        headers.append((b"x-tidegate-target", (record.target or "").encode("ascii", "replace")))
        kind = (response.header(b"content-type") or b"").lower()
        wire = _wire(path)
        if response.status >= 400:  # noqa: PLR2004
            record.outcome = "upstream_refused" if response.status < 500 else "upstream_failed"  # noqa: PLR2004
        if exchange.method == b"HEAD" or not kind.startswith(b"text/event-stream"):
            whole = await response.read_all(ANSWER_LIMIT_BYTES)
            if wire and response.status == 200 and len(whole) <= LEARNT_BYTES:  # noqa: PLR2004
                _learn(wire, facts, whole)
            return Ending(response.status, headers, whole)
        record.stream = True
        exchange.start(response.status, headers)
        lesson = _Lesson(HEARD[wire].watch(facts, {}, wants_usage=True)) if wire else None
        response.set_idle(timeouts.idle_s)
        last = await response.read()
        while data := await response.read():
            record.ttft_ms = record.ttft_ms or exchange.elapsed_ms()
            _hear(lesson, last)
            if exchange.write(last):
                await exchange.drain()
            last = data
        _hear(lesson, last)
        return Ending(response.status, [], last)
    finally:
        response.close()


def _passed_on(headers: list[Header]) -> list[Header]:
    """The headers that go on. Those that `connection` names are one hop's own as well."""
    named = b",".join(value for name, value in headers if name == b"connection")
    kept_back = _KEPT_BACK | {name.strip().lower() for name in named.split(b",")}
    return [pair for pair in headers if pair[0] not in kept_back and not pair[0].startswith(_OURS)]


def _check_path(path: str) -> None:
    steps = unquote(unquote(path)).replace("\\", "/").split("/")
    if any(step.partition(";")[0] in ("..", ".") for step in steps):  # `..;` is one for some
        raise BadRequest("The path may not hold steps of dots.")


def _wire(path: str) -> str | None:
    plain = path.partition("?")[0]
    return next((end.partition("/")[0] for end in WIRES if plain.endswith("/" + end)), None)


def _learn(wire: str, facts: Facts, body: bytes) -> None:
    try:
        HEARD[wire].learn(facts, body)
    except UpstreamError:
        return  # the answer is the caller's all the same


class _Lesson:
    """What a passing stream teaches, as long as it is understood."""

    def __init__(self, watch: Watch) -> None:
        self._watch: Watch | None = watch
        self._events = SseDecoder()

    def hear(self, data: bytes) -> None:
        """Learn from the next bytes."""
        try:
            for event in self._events.feed(data):
                if event.data and self._watch is not None and not self._watch.done:
                    self._watch.passes(event.event, event.data)
        except (TidegateError, msgspec.MsgspecError):
            self._watch = None


def _hear(lesson: _Lesson | None, data: bytes) -> None:
    if lesson is not None:
        lesson.hear(data)
