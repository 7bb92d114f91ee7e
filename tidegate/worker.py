"""One gateway process: `python -m tidegate.worker --config FILE --worker NAME [--fd N]`.

Serves until SIGTERM or SIGINT, then drains: no new connections, running requests finish within
`server.drain`, what is left ends with an explicit error, every record is in the spool. SIGHUP
reloads. No database, no framework and no lock is within reach of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.gateway.app import App
from tidegate.gateway.edge import Bounds, EdgeProtocol
from tidegate.house import build
from tidegate.ledger.spool import SpoolWriter
from tidegate.live import Live
from tidegate.parent import CANNOT_START, end_with_parent
from tidegate.telemetry.logs import configure

SIDECARS_VARIABLE = "TIDEGATE_SIDECARS"
BACKLOG = 2048


class Server(uvicorn.Server):
    """uvicorn's server, with signals left to `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


async def serve(path: Path, worker: str, fd: int | None) -> None:
    """Serve the configuration at `path` until told to stop. Raises: `ConfigError`, `OSError`."""
    first = load(path)
    configure(first.log.level)
    spool = SpoolWriter(
        first.spool.directory,
        writer=worker,
        segment_bytes=first.spool.segment,
        max_pending_bytes=first.spool.pending_limit,
    )
    sidecars: dict[str, int] = json.loads(os.environ.get(SIDECARS_VARIABLE, "{}"))
    live = Live(partial(load, path), partial(build, spool=spool, sidecars=sidecars))
    app = App(live.enter, live.leave, worker)
    server = Server(_uvicorn(app, live))

    def stop() -> None:
        app.ready = False
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, live.reload)

    # What start-up made will live as long as the process: it need not be looked at again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        await server.serve(sockets=[socket.socket(fileno=fd)] if fd is not None else None)
    finally:
        spool.close()
        await live.close()


def _uvicorn(app: App, live: Live) -> uvicorn.Config:
    settings = live.config.server
    tls = settings.tls
    bounds = Bounds(head_bytes=settings.header_limit, head_s=settings.read_timeout)
    return uvicorn.Config(
        cast("Any", app),
        host=settings.host,
        port=settings.port,
        http=cast("Any", partial(EdgeProtocol, bounds=bounds)),
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(settings.keepalive),
        timeout_graceful_shutdown=max(1, round(settings.drain)),
        ssl_certfile=str(tls.certificate) if tls else None,
        ssl_keyfile=str(tls.key) if tls else None,
    )


def main() -> int:
    """Run the process; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.worker", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--worker", default="gw-0")
    parser.add_argument("--fd", type=int)
    options = parser.parse_args()
    end_with_parent()
    try:
        uvloop.run(serve(options.config.resolve(), options.worker, options.fd))
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, flush=True)  # noqa: T201 - nobody has set up a log yet
        return CANNOT_START
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
