"""The listening side: starts it, says where, stops it with everything under way."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

from tidegate.clock import Clock, SystemClock
from tidegate.providers.simulated.connection import Connection
from tidegate.providers.simulated.delivery import Wheel
from tidegate.providers.simulated.settings import Settings
from tidegate.providers.simulated.simulator import Simulator
from tidegate.providers.simulated.stats import Stats

_BACKLOG: Final = 2048


class Server:
    """A running simulated provider; `async with` closes it."""

    def __init__(
        self, listener: asyncio.Server, simulator: Simulator, connections: set[Connection]
    ) -> None:
        self._listener = listener
        self._simulator = simulator
        self._connections = connections
        self.sockets = listener.sockets
        host, self.port = listener.sockets[0].getsockname()[:2]
        self.host: str = f"[{host}]" if ":" in host else host

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def stats(self) -> Stats:
        """What was received so far, the same that `GET /stats` tells."""
        return self._simulator.stats

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._listener.close()
        for connection in tuple(self._connections):
            connection.abort()

    async def wait_closed(self) -> None:
        """Return when the listening socket is closed."""
        await self._listener.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait_closed()


async def start(
    settings: Settings, host: str = "127.0.0.1", port: int = 0, *, clock: Clock | None = None
) -> Server:
    """A server on `host` and `port` (0: any free one) that answers as `settings` say."""
    simulator = Simulator(settings, clock or SystemClock())
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    listener = await loop.create_server(
        lambda: Connection(simulator, connections, wheel), host, port, backlog=_BACKLOG
    )
    return Server(listener, simulator, connections)
