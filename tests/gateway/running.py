"""A real gateway on a free port with a simulated provider behind it, as long as a block lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tidegate.config.load import load
from tidegate.conversations.kept import is_kept
from tidegate.gateway.app import App
from tidegate.gateway.edge import Bounds
from tidegate.gateway.server import Server
from tidegate.house import build
from tidegate.house.lasting import Lasting
from tidegate.ledger.feedback import is_feedback
from tidegate.ledger.progress import is_progress
from tidegate.ledger.segment import read_segment, segments
from tidegate.ledger.spool import SpoolWriter
from tidegate.live import Live
from tidegate.net.listen import listen
from tidegate.providers.simulated.server import Server as Simulated
from tidegate.providers.simulated.server import start
from tidegate.providers.simulated.settings import Settings
from tidegate.telemetry.record import Record, decode


@dataclass
class Gateway:
    """A running gateway and what stands behind it."""

    port: int
    directory: Path
    sim: Simulated
    server: Server
    live: Live
    spool: SpoolWriter
    config: Path
    lasting: Lasting

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def records(self) -> list[Record]:
        """Every whole record in the spool, in order."""
        return [record for record in self.spooled() if record.outcome != "held"]

    def spooled(self) -> list[Record]:
        """Every record in the spool, those that were written at a request's beginning included."""
        return [
            decode(payload)
            for payload in self.payloads()
            if not (is_kept(payload) or is_progress(payload) or is_feedback(payload))
        ]

    def payloads(self) -> list[bytes]:
        """Everything in the spool, in order."""
        return [
            payload
            for path in segments(self.directory / ".tidegate" / "spool")
            for payload, _ in read_segment(path, 0)
        ]

    async def record(self, number: int = 1) -> Record:
        """The last record, once there are `number` of them."""
        async with asyncio.timeout(60):
            while len(self.records()) < number:  # noqa: ASYNC110 - files tell nobody
                await asyncio.sleep(0.01)
        return self.records()[-1]

    async def raw(self, data: bytes) -> bytes:
        """Everything that comes back for `data` until the gateway closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(60):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def running(
    directory: Path, config: str, settings: Settings | None = None, **places: str
) -> AsyncGenerator[Gateway]:
    """A gateway with the configuration `config`.

    In it `{sim}` is the simulator's address as OpenAI's SDK wants it, `{root}` the one that other
    vendors' paths begin at; `places` are other names in braces, or the same ones.
    """
    async with await start(settings or Settings()) as sim:
        path = directory / "tidegate.yaml"
        here = {"sim": sim.base_url, "root": sim.base_url.removesuffix("/v1")}
        path.write_text(config.format_map(here | places))
        loaded = load(path, {})
        spool = SpoolWriter(loaded.spool.directory, writer="gw-0")
        lasting = Lasting.of(spool, loaded.spool.directory, {})
        live = Live(partial(load, path, {}), partial(build, lasting=lasting))
        lasting.counting.engine.restore([])  # nothing has been spent yet
        app = App(live.enter, live.leave, "gw-0")
        limits = loaded.server
        server = Server(app, Bounds(limits.header_limit, limits.read_timeout, 5.0))
        listener = listen("127.0.0.1", 0)
        await server.start(listener, None)
        port: int = listener.getsockname()[1]
        try:
            yield Gateway(port, directory, sim, server, live, spool, path, lasting)
        finally:
            await server.drain(0.5)
            await live.close()
            await lasting.close()
