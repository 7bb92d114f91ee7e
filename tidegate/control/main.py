"""The control process from start to end: load the spool until told to stop, then once more.

It answers `GET /healthz`, and shows what the gateways post about their targets: `GET /targets` and
`GET /metrics`. To the gateways themselves it hands out what was kept of answers, what has been
spent, and the keys and limits that operators set through the admin API under `/admin/v1`. Whatever
goes wrong with the spool or the store is logged and tried again: requests do not depend on this
process, and the spool keeps what waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import msgspec
import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from tidegate.clock import SystemClock
from tidegate.control import closing, kept, reckoning
from tidegate.control.admin.app import Admin
from tidegate.control.admin.configured import AdminSettings, ConfigurationFile
from tidegate.control.admin.gate import PREFIX, App, Message, Receive, Send
from tidegate.control.admin.signin import TOKEN_FILE
from tidegate.control.alerting import Alerting, Around
from tidegate.control.back import Back
from tidegate.control.configurations import Keeping
from tidegate.control.loading import Loading, Settings, State
from tidegate.control.metrics import CONTENT_TYPE, metrics
from tidegate.control.quality import Drifting
from tidegate.control.sinks.all import AllSinks
from tidegate.control.summing import Summing
from tidegate.guard import access
from tidegate.net import door
from tidegate.policy.board import read_boards, shown, state_directory

_POLL_S = 0.1
_RETRY_S = 2.0
_KEEP_S = 10.0
_LOOK_S = 0.5
_STORE_S = 10.0

_log = logging.getLogger("tidegate.control")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address. Raises: `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def run(
    settings: Settings, listener: socket.socket, console: Callable[[Back], App] | None = None
) -> None:
    """Be the control process; returns after SIGTERM or SIGINT, when the spool is loaded.

    What `console` makes of the back of the house answers whatever nobody else does.
    """
    # What start-up made need not be looked at again, and a batch of records leads in no circles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    asyncio.run(_run(settings, listener, console or _nowhere))


async def _run(settings: Settings, listener: socket.socket, console: Callable[[Back], App]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # A reload concerns the gateway; what is set here changes with a restart only.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)

    state = State()
    loading = Loading(settings, state)
    host, port = listener.getsockname()[:2]
    counter = kept.Counter(
        loading.store.responses, loading.once, partial(door.hang, settings.spool, host, port)
    )
    boards = state_directory(settings.spool)
    sinks = AllSinks(settings.sinks)
    admin = Admin(
        loading.store.database,
        AdminSettings(
            access=settings.spool / access.FILE,
            token=settings.spool / TOKEN_FILE,
            boards=boards,
            configured=settings.configured,
            audit_s=settings.terms.audit_s,
            file=settings.file,
            exports=sinks.standing,
        ),
    )
    back = Back(
        settings=settings,
        store=loading.store,
        admin=admin,
        boards=boards,
        measures=loading.measures,
        drifting=Drifting(loading.store.database),
        passing=loading.passing,
        failing=lambda: state.failing,
        sinks=sinks.standing,
    )
    around = Around(
        loading.store, settings.spool, boards, loading.rules, failing=lambda: state.failing,
        objectives=loading.objectives, sinks=sinks.standing, gateways=settings.gateways,
    )  # fmt: skip
    watching = Alerting(around, settings.alerts)
    pages = console(back)
    server = _Server(
        uvicorn.Config(
            _app(
                state,
                boards,
                (counter, loading.reckoning),
                (admin.app, pages),
                loading,
                sinks=sinks,
                watching=watching,
            ),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            proxy_headers=False,  # or anybody could say to come from another address
        )
    )
    serving = asyncio.create_task(server.serve([listener]))
    telling = asyncio.create_task(_tell(admin, loading))
    keeping = asyncio.create_task(_keep(settings.file, loading))
    warming = asyncio.create_task(_warm(pages, loading))
    summing = asyncio.create_task(_sum(loading))
    alerting = asyncio.create_task(_alert(watching, loading))
    closes = asyncio.create_task(_close(settings.shared, loading))
    sending = asyncio.create_task(_send(sinks, loading))
    _log.info("started", extra={"fields": {"port": port}})
    try:
        await _load_until(stopping, loading, counter, state)
    finally:
        server.should_exit = True
        await serving
        telling.cancel()
        keeping.cancel()
        warming.cancel()
        summing.cancel()
        alerting.cancel()
        closes.cancel()
        await asyncio.wait([telling, keeping, warming, summing, alerting, closes])
        await sinks.stop(sending)
        loading.close()
    _log.info("stopped", extra={"fields": {"loaded": state.loaded}})


async def _load_until(
    stopping: asyncio.Event, loading: Loading, counter: kept.Counter, state: State
) -> None:
    kept_s = -_KEEP_S
    while True:
        last = stopping.is_set()  # asked before the pass: what came before it gets loaded
        if await loading.once():
            counter.open()
        if last:
            return
        if state.failing is None and time.monotonic() - kept_s >= _KEEP_S:
            kept_s = time.monotonic()
            await loading.keep()
        wait_s = _RETRY_S if state.failing else _POLL_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), wait_s)


async def _tell(admin: Admin, loading: Loading) -> None:
    """Tell the gateways what has changed, twice a second, until cancelled."""
    await loading.created.wait()
    while True:
        try:
            await asyncio.to_thread(admin.look)
        except (OSError, SQLAlchemyError) as error:
            admin.note_failure(error)
        await asyncio.sleep(_LOOK_S)


async def _keep(file: ConfigurationFile | None, loading: Loading) -> None:
    """Note which configuration is in force, until cancelled."""
    if file is None:
        return
    await loading.created.wait()
    keeping, failing = Keeping(loading.store.database, file, SystemClock()), False
    while True:
        try:
            await asyncio.to_thread(keeping.look)
            failing = False
        except SQLAlchemyError as error:
            if not failing:
                _log.error("the configuration in force is not noted, tried again: %s", error)
            failing = True
        await asyncio.sleep(_LOOK_S)


async def _warm(pages: App, loading: Loading) -> None:
    """Have the console ready before anybody asks for it."""
    await loading.created.wait()
    try:
        await pages({"type": "lifespan"}, _unheard, _unsaid)
    except Exception:  # noqa: BLE001  the root of a task: pages are then made when they are asked for
        _log.exception("the console could not be made ready")


async def _unheard() -> Message:
    return {"type": "lifespan.startup"}


async def _unsaid(_message: Message) -> None:
    pass


async def _sum(loading: Loading) -> None:
    """Sum up the hours and days that are over, until cancelled."""
    await loading.created.wait()
    await Summing(loading.store.database, SystemClock()).run()


async def _alert(alerting: Alerting, loading: Loading) -> None:
    """Tell people what is wrong, the store too, until cancelled."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(loading.created.wait(), _STORE_S)
    await alerting.run()


async def _close(shared: str | None, loading: Loading) -> None:
    """Close what the Redis `shared` holds for requests that are over, until cancelled."""
    await loading.created.wait()
    if shared is not None:
        await closing.Closing(loading.store, shared).run()


async def _send(sinks: AllSinks, loading: Loading) -> None:
    """Send records to where they go besides the store, until stopped."""
    await loading.owned.wait()
    await sinks.run(loading.store.database, loading.spool)


class _Server(uvicorn.Server):
    """Leaves signals to us: the spool is loaded before the process goes."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


_Page = tuple[bytes, bytes]
"""Content type and body."""
_JSON = b"application/json"
INSIDE = "/internal/"
"""What only gateways may ask for."""


def _app(
    state: State,
    boards: Path,
    inside: tuple[kept.Counter, reckoning.Reckoning],
    apps: tuple[App, App],
    loading: Loading,
    *,
    sinks: AllSinks,
    watching: Alerting,
) -> App:
    started = time.monotonic()
    admin, others = apps

    def health() -> _Page:
        body = {
            "status": "ok" if state.failing is None else "failing",
            "failing": state.failing,
            "loaded": state.loaded,
            "uptime_s": round(time.monotonic() - started, 3),
            "sinks": sinks.standing(),
        }
        return _JSON, msgspec.json.encode(body)

    def targets() -> _Page:
        return _JSON, msgspec.json.encode(shown(read_boards(boards), time.time_ns()))

    def measured() -> _Page:
        told = sinks.standing(), loading.reckoning.untold
        boards_now, passing = read_boards(boards), loading.passing()
        page = metrics(boards_now, passing, loading.measures, watching.watch, exports=told)
        return CONTENT_TYPE, page

    pages = {"/targets": targets, "/metrics": measured}

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else None
        if path == "/healthz":  # which no slow disk may delay
            await _answer(send, 200, *health())
        elif path in pages:
            await _answer(send, 200, *await asyncio.to_thread(pages[path]))
        elif path is not None and path.startswith(INSIDE):
            await _answer(send, *await _hand_out(*inside, scope))
        elif path is not None and path.startswith(f"{PREFIX}/"):
            await admin(scope, receive, send)
        else:
            await others(scope, receive, send)

    return app


def _nowhere(_back: Back) -> App:
    async def app(scope: Message, _receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _answer(send, 404, _JSON, b'{"error":"unknown path"}')

    return app


async def _hand_out(
    counter: kept.Counter, reckoner: reckoning.Reckoning, scope: Message
) -> tuple[int, bytes, bytes]:
    path, method, query = scope["path"], scope["method"], scope["query_string"]
    word = dict(scope["headers"]).get(b"authorization", b"")
    told = kept.MISSING, b""
    try:
        if not counter.admits(word):
            told = kept.DENIED, b""
        elif path.startswith(kept.PREFIX):
            told = await counter.serve(method, path.removeprefix(kept.PREFIX), query, word)
        elif path == reckoning.PATH:
            told = await reckoner.serve(method, query)
    except SQLAlchemyError as error:
        _log.error("what a gateway asked for cannot be read: %s", error)
        told = kept.FAILING, b""
    return told[0], b"application/msgpack", told[1]


async def _answer(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
