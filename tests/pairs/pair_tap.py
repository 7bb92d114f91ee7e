"""A tap between the gateway and a provider: everything passes, requests are noted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as the provider got it; names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Tap:
    """A running tap: its address, and the requests so far."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list[Asked])


@asynccontextmanager
async def tapped(port: int) -> AsyncGenerator[Tap]:
    """A tap on the way to the server at `port` of this machine."""
    tap = Tap()
    open_: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        returning = asyncio.ensure_future(_pour(back, writer))
        open_.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                start, *lines = head.decode().rstrip().split("\r\n")
                headers = {name.lower(): value for name, value in (x.split(": ", 1) for x in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                tap.asked.append(Asked(start.split(" ")[1], headers, json.loads(body)))
                forth.write(head + body)
        open_.remove(writer)
        forth.close()
        await returning

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    tap.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield tap
        await close_all(open_)


async def close_all(writers: Iterable[asyncio.StreamWriter]) -> None:
    """Close connections, so that whoever reads from them comes to an end."""
    for writer in tuple(writers):
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.close()
