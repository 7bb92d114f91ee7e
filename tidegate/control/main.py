"""The control process from start to end: load the spool until told to stop, then once more.

It answers `GET /healthz`, and shows what the gateways post about their targets: `GET /targets` and
`GET /metrics`. To the gateways themselves it hands out what was kept of answers. Whatever goes
wrong with the spool or the store is logged and tried again: requests do not depend on this process,
and the spool keeps what waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from tidegate.control import kept
from tidegate.control.loader import Loader
from tidegate.control.metrics import CONTENT_TYPE, metrics
from tidegate.conversations import door
from tidegate.policy.board import read_boards, shown, state_directory
from tidegate.store.records import RecordStore

_POLL_S = 0.1
_RETRY_S = 2.0
_PURGE_S = 60.0

_log = logging.getLogger("tidegate.control")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the control process needs of the configuration."""

    store: str
    """URL of the database."""
    spool: Path
    """Directory of the segments."""


@dataclass(slots=True)
class State:
    """How the loading goes; `GET /healthz` shows it."""

    loaded: int = 0
    """Records loaded since the process began."""
    failing: str | None = None
    """Why the last pass over the spool failed; None when it did not."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address. Raises: `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def run(settings: Settings, listener: socket.socket) -> None:
    """Be the control process; returns after SIGTERM or SIGINT, when the spool is loaded."""
    asyncio.run(_run(settings, listener))


async def _run(settings: Settings, listener: socket.socket) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # A reload concerns the gateway; what is set here changes with a restart only.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)

    state = State()
    loading = _Loading(settings, state)
    host, port = listener.getsockname()[:2]
    counter = kept.Counter(
        loading.store.responses, loading.once, partial(door.hang, settings.spool, host, port)
    )
    server = _Server(
        uvicorn.Config(
            _app(state, state_directory(settings.spool), counter),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
        )
    )
    serving = asyncio.create_task(server.serve([listener]))
    _log.info("started", extra={"fields": {"port": port}})
    try:
        await _load_until(stopping, loading, counter, state)
    finally:
        server.should_exit = True
        await serving
        loading.close()
    _log.info("stopped", extra={"fields": {"loaded": state.loaded}})


class _Loading:
    """The passes over the spool: one at a time, whoever wants one."""

    def __init__(self, settings: Settings, state: State) -> None:
        self.store = RecordStore(settings.store)
        self._loader = Loader(settings.spool, self.store)
        self._state = state
        self._turn = asyncio.Lock()
        self._created = False

    async def once(self) -> bool:
        """Load what is in the spool now; whether that could be done."""
        async with self._turn:
            try:
                if not self._created:
                    await asyncio.to_thread(self.store.create)
                    self._created = True
                new = await asyncio.to_thread(self._loader.load)
            except (OSError, SQLAlchemyError) as error:
                _note_failure(self._state, str(error))
                return False
            _note_pass(self._state, new)
            return new is not None

    async def purge(self) -> None:
        """Delete what nobody may continue any more."""
        try:
            await asyncio.to_thread(self.store.responses.purge, time.time_ns())
        except SQLAlchemyError as error:
            _log.error("expired responses stay in the store: %s", error)

    def close(self) -> None:
        self._loader.close()
        self.store.close()


async def _load_until(
    stopping: asyncio.Event, loading: _Loading, counter: kept.Counter, state: State
) -> None:
    purged_s = -_PURGE_S
    while True:
        last = stopping.is_set()  # asked before the pass: what came before it gets loaded
        if await loading.once():
            counter.open()
        if last:
            return
        if time.monotonic() - purged_s >= _PURGE_S:
            purged_s = time.monotonic()
            await loading.purge()
        wait_s = _RETRY_S if state.failing else _POLL_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), wait_s)


def _note_failure(state: State, why: str) -> None:
    if state.failing is None:
        _log.error("records stay in the spool, to be loaded later: %s", why)
    state.failing = why


def _note_pass(state: State, new: int | None) -> None:
    if new is None:
        _note_failure(state, "another control process is loading this spool")
        return
    if state.failing is not None:
        _log.warning("records are loaded again")
    state.failing = None
    state.loaded += new


class _Server(uvicorn.Server):
    """Leaves signals to us: the spool is loaded before the process goes."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_Page = tuple[bytes, bytes]
"""Content type and body."""
_JSON = b"application/json"


def _app(
    state: State, boards: Path, counter: kept.Counter
) -> Callable[[_Message, _Receive, _Send], Awaitable[None]]:
    started = time.monotonic()

    def health() -> _Page:
        body = {
            "status": "ok" if state.failing is None else "failing",
            "failing": state.failing,
            "loaded": state.loaded,
            "uptime_s": round(time.monotonic() - started, 3),
        }
        return _JSON, msgspec.json.encode(body)

    def targets() -> _Page:
        return _JSON, msgspec.json.encode(shown(read_boards(boards), time.time_ns()))

    def measured() -> _Page:
        failing = state.failing is not None
        return CONTENT_TYPE, metrics(read_boards(boards), loaded=state.loaded, failing=failing)

    pages = {"/targets": targets, "/metrics": measured}

    async def app(scope: _Message, _receive: _Receive, send: _Send) -> None:
        path = scope["path"] if scope["type"] == "http" else None
        if path == "/healthz":  # which no slow disk may delay
            await _answer(send, 200, *health())
        elif path in pages:
            await _answer(send, 200, *await asyncio.to_thread(pages[path]))
        elif path is not None and path.startswith(kept.PREFIX):
            await _answer(send, *await _hand_out(scope, path.removeprefix(kept.PREFIX)))
        else:
            await _answer(send, 404, _JSON, b'{"error":"unknown path"}')

    async def _hand_out(scope: _Message, id_: str) -> tuple[int, bytes, bytes]:
        word = dict(scope["headers"]).get(b"authorization", b"")
        try:
            told = await counter.serve(scope["method"], id_, scope["query_string"], word)
        except SQLAlchemyError as error:
            _log.error("a kept response cannot be read: %s", error)
            told = kept.FAILING, b""
        return told[0], b"application/msgpack", told[1]

    return app


async def _answer(send: _Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
