"""One gateway process: `python -m tidegate.worker --config FILE --worker NAME [--fd N]`.

Serves until SIGTERM or SIGINT, then drains: no new connections, running requests finish within
`server.drain`, what is left ends with an explicit error, every record is in the spool. SIGHUP
reloads. No database, no framework and no lock is within reach of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvloop

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config, ServerTls
from tidegate.gateway.app import App
from tidegate.gateway.edge import Bounds
from tidegate.gateway.server import Server
from tidegate.house import build
from tidegate.house.balances import keep_balanced
from tidegate.house.counting import Counting
from tidegate.house.lasting import Lasting
from tidegate.house.parts import parts
from tidegate.house.seen import counting_state, limit_states, load_state
from tidegate.ledger.spool import SpoolWriter
from tidegate.live import Live
from tidegate.logs import configure
from tidegate.net.listen import listen
from tidegate.parent import CANNOT_START, end_with_parent
from tidegate.policy.board import Poster, Sources, state_directory
from tidegate.policy.health import Wards
from tidegate.policy.link import Link
from tidegate.policy.saturation import Gate, SaturationSettings
from tidegate.policy.shared import Shared
from tidegate.providers.local import MissingPart

log = logging.getLogger("tidegate.worker")

SIDECARS_VARIABLE, WORKERS_VARIABLE = "TIDEGATE_SIDECARS", "TIDEGATE_WORKERS"
ACCESS_S = 10.0
"""How long a start waits for the keys and limits that the control process hands out."""


async def serve(reload: Callable[[], Config], worker: str, fd: int | None) -> None:
    """Serve what `reload` gives until told to stop. Raises: `ConfigError`, `OSError`."""
    first = reload()
    configure(first.log.level)
    spool = SpoolWriter(
        first.spool.directory,
        writer=worker,
        segment_bytes=first.spool.segment,
        max_pending_bytes=first.spool.pending_limit,
    )
    sidecars: dict[str, int] = json.loads(os.environ.get(SIDECARS_VARIABLE, "{}"))
    counting = Counting.of(first, int(os.environ.get(WORKERS_VARIABLE, "0")))
    lasting = Lasting.of(spool, first.spool.directory, sidecars, counting)
    # Who was started beside a control process hears from it.
    await lasting.watch.first(ACCESS_S if WORKERS_VARIABLE in os.environ else 0.0)
    live = Live(reload, partial(build, lasting=lasting))
    shared = _shared(first, lasting.wards)
    app = App(live.enter, live.leave, worker)
    settings = live.config.server
    bounds = Bounds(settings.header_limit, settings.read_timeout, settings.keepalive)
    gate = _gate(settings.max_lag)
    sources = Sources(
        lasting.wards,
        parts=lambda now_s: parts(live.house.providers, now_s),
        shared=shared.state if shared is not None else lambda: None,
        load=lambda: load_state(lasting, live.running, gate),
        lanes=lasting.slots.snapshot,
        limits=lambda: limit_states(counting, time.time_ns()),
        counting=lambda: counting_state(counting),
    )
    poster = Poster(state_directory(first.spool.directory), worker, sources)
    server = Server(app, bounds, gate)
    stopping = asyncio.Event()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    reloads: set[asyncio.Task[bool]] = set()

    def reload_now() -> None:
        task = loop.create_task(live.reload(), name="reload")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload_now)

    # What start-up made will live as long as the process: it need not be looked at again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    listener = socket.socket(fileno=fd) if fd is not None else listen(settings.host, settings.port)
    background = [
        asyncio.create_task(poster.run(), name="status board"),
        asyncio.create_task(lasting.slots.run(), name="turns"),
        asyncio.create_task(lasting.watch.run(live.adopt), name="keys and limits"),
        asyncio.create_task(
            keep_balanced(counting, lasting.control, worker=worker, began_ns=time.time_ns()),
            name="balances",
        ),
    ]
    if gate is not None:
        background.append(asyncio.create_task(gate.run(), name="load"))
    if counting.shared is not None:
        background.append(asyncio.create_task(counting.run(), name="shared limits"))
    if shared is not None:
        background.append(asyncio.create_task(shared.run(), name="share breakers"))
    try:
        await server.start(listener, _tls(settings.tls))
        await stopping.wait()
        app.ready = False
        await server.drain(live.config.server.drain)
    finally:
        await counting.finish()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await live.close()
        await lasting.close()


def _shared(config: Config, wards: Wards) -> Shared | None:
    """What tells other gateways of breakers that opened. It is chosen at start, not by a reload."""
    if config.shared is None:
        return None
    try:
        return Shared(Link(config.shared.url.reveal()), wards)
    except ImportError as error:
        raise MissingPart(str(error)) from error


def _gate(max_lag_s: float | None) -> Gate | None:
    if max_lag_s is None:
        return None
    return Gate(SaturationSettings(target_s=max_lag_s, interval_s=2 * max_lag_s))


def _tls(settings: ServerTls | None) -> ssl.SSLContext | None:
    if settings is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(settings.certificate, settings.key)
    return context


def main() -> int:
    """Run the process; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.worker", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--copy", type=Path, help="where to read the configuration instead")
    parser.add_argument("--worker", default="gw-0")
    parser.add_argument("--fd", type=int)
    options = parser.parse_args()
    end_with_parent()
    reload = partial(load, options.config.resolve(), copy=options.copy)
    try:
        uvloop.run(serve(reload, options.worker, options.fd))
    except ConfigError as error:
        configure()
        log.error(  # noqa: TRY400 - the mistakes say it all, the trace nothing
            "the configuration cannot be used",
            extra={"fields": {"mistakes": [str(mistake) for mistake in error.mistakes]}},
        )
        return CANNOT_START
    except MissingPart as error:
        configure()
        log.error("%s", error)  # noqa: TRY400 - it says what to install
        return CANNOT_START
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
