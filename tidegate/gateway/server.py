"""Accept connections, keep their time, and drain at the end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

from tidegate.gateway.edge import App, Bounds, Edge, Shared
from tidegate.net.listen import BACKLOG
from tidegate.policy.saturation import Gate

SWEEP_S = 1.0
LAST_WORDS_S = 5.0
"""Time that requests have to say that they were cut short, after the drain is over."""

log = logging.getLogger("tidegate.gateway")


class Server:
    """The data plane's listening side."""

    def __init__(self, app: App, bounds: Bounds, gate: Gate | None = None) -> None:
        """Serve `app`, as many requests as `gate` lets in; to be made inside the running loop."""
        self._loop = asyncio.get_running_loop()
        self._shared = Shared(app, bounds, self._loop, gate)
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def start(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Accept connections from `listener`."""
        shared = self._shared
        # Without the backlog the shared listener's own would be lowered to 100.
        self._server = await self._loop.create_server(
            lambda: Edge(shared), sock=listener, ssl=tls, backlog=BACKLOG
        )
        self._sweep()

    async def drain(self, wait_s: float) -> None:
        """Accept no more, let running requests finish for `wait_s`, then cancel what is left.

        A cancelled request ends with an explicit error and leaves its record.
        """
        assert self._server is not None  # noqa: S101 - drained after start
        shared = self._shared
        shared.draining = True
        self._server.close()
        for edge in tuple(shared.connections):
            edge.close_if_idle()
        if shared.tasks:
            await asyncio.wait(shared.tasks, timeout=wait_s)
        if shared.tasks:
            log.warning("requests cut short", extra={"fields": {"count": len(shared.tasks)}})
            for task in shared.tasks:
                task.cancel()
            await asyncio.wait(shared.tasks, timeout=LAST_WORDS_S)
        if self._sweeping is not None:
            self._sweeping.cancel()
        for edge in tuple(shared.connections):
            edge.close_if_idle()
        await asyncio.sleep(0)  # closed transports say so in the next turn of the loop

    def _sweep(self) -> None:
        """Close the connections whose time is up. One pass a second costs less than timers."""
        now = self._loop.time()
        for edge in tuple(self._shared.connections):
            if edge.idle and now > edge.expires_at:
                edge.expire()
        self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)
