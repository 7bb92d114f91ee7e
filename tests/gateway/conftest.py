"""A real gateway on a free port, with a simulated provider behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tidegate.config.load import load
from tidegate.gateway.app import App
from tidegate.gateway.edge import Bounds
from tidegate.gateway.server import Server
from tidegate.house import build
from tidegate.ledger.segment import read_segment, segments
from tidegate.ledger.spool import SpoolWriter
from tidegate.live import Live
from tidegate.net.listen import listen
from tidegate.policy.health import Wards
from tidegate.providers.simulated.server import Server as Simulated
from tidegate.providers.simulated.server import start
from tidegate.providers.simulated.settings import Settings
from tidegate.telemetry.record import Record, decode

CONFIG = """
providers:
  sim: {{kind: openai, base_url: "{sim}", allow_private: true, api_key: upstream-secret-key}}
  dead: {{kind: openai, base_url: "http://127.0.0.1:9/v1", allow_private: true}}
models:
  assistant:
    targets: [{{provider: sim, model: sim-1, price: {{input: $1/M, output: $2/M}}}}]
  "sim/*":
    targets: [{{provider: sim, model: "*"}}]
    timeout: {{first_token: 300ms, idle: 300ms, total: 2s}}
    retry: {{attempts: 1}}
    breaker: null
  dead: {{targets: [{{provider: dead, model: none}}], retry: {{attempts: 1}}}}
  covered:
    targets: [{{provider: dead, model: none}}]
    fallback: [assistant]
    retry: {{attempts: 1}}
  full:
    targets: [{{provider: sim, model: sim-1}}]
    records: {{bodies: full}}
  "try/*":
    targets: [{{provider: sim, model: "*"}}]
    fallback: [again]
    timeout: {{first_token: 200ms}}
    retry: {{attempts: 1}}
    breaker: null
  again: {{targets: [{{provider: sim, model: sim-1}}]}}
  bounded:
    targets: [{{provider: sim, model: sim-1+echo}}]
    output_tokens: {{default: 300, max: 400}}
server: {{body_limit: 1MiB, header_limit: 8KiB, read_timeout: 400ms}}
"""


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

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def records(self) -> list[Record]:
        """Every record in the spool, in order."""
        return [
            decode(payload)
            for path in segments(self.directory / ".tidegate" / "spool")
            for payload, _ in read_segment(path, 0)
        ]

    async def record(self, number: int = 1) -> Record:
        """The last record, once there are `number` of them."""
        async with asyncio.timeout(10):
            while len(self.records()) < number:  # noqa: ASYNC110 - files tell nobody
                await asyncio.sleep(0.01)
        return self.records()[-1]

    async def raw(self, data: bytes) -> bytes:
        """Everything that comes back for `data` until the gateway closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(10):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


Open = Callable[..., Coroutine[None, None, Gateway]]


@pytest.fixture
async def open_gateway(tmp_path: Path) -> AsyncGenerator[Open]:
    async with AsyncExitStack() as stack:

        async def open_(
            config: str = CONFIG, settings: Settings | None = None, **places: str
        ) -> Gateway:
            sim = await stack.enter_async_context(await start(settings or Settings()))
            path = tmp_path / "tidegate.yaml"
            path.write_text(config.format(sim=sim.base_url, **places))
            loaded = load(path, {})
            spool = SpoolWriter(loaded.spool.directory, writer="gw-0")
            live = Live(
                partial(load, path, {}), partial(build, spool=spool, sidecars={}, wards=Wards())
            )
            app = App(live.enter, live.leave, "gw-0")
            limits = loaded.server
            server = Server(app, Bounds(limits.header_limit, limits.read_timeout, 5.0))
            listener = listen("127.0.0.1", 0)
            await server.start(listener, None)
            port: int = listener.getsockname()[1]

            async def close() -> None:
                await server.drain(0.5)
                spool.close()
                await live.close()

            stack.push_async_callback(close)
            return Gateway(port, tmp_path, sim, server, live, spool, path)

        yield open_


@pytest.fixture
async def gateway(open_gateway: Open) -> Gateway:
    return await open_gateway()
