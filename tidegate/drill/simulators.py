"""The simulated providers: processes of the drill's own, or some that run already."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from tidegate.parent import child_environment
from tidegate.supervisor.commands import free_port, module_command

PACE: Final = ("--ttft", "30ms", "--gap", "8ms", "--length", "16")
_UP_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.02
_ANSWER_WITHIN_S: Final = 10.0
_OK: Final = 200


class Absent(Exception):
    """Something the drill needs is not there; the message says what and why."""


class Call(msgspec.Struct, frozen=True):
    """One answer that a simulated provider gave, and what it says it costs."""

    id: str
    model: str
    complete: bool
    prompt_tokens: int
    billed_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    provider: str = ""


class Simulator(Protocol):
    """One server of one provider."""

    provider: str
    lost: list[str]
    """What the ids of answers begin with of which some are on no bill: a process was killed."""

    async def fail(self, fault: str) -> None:
        """Answer everything with this fault; an empty one ends it."""
        ...

    async def stop(self) -> None:
        """Be gone."""
        ...

    async def start(self) -> None:
        """Be back."""
        ...

    async def calls(self) -> list[Call]:
        """Every answer since the last `reset`."""
        ...

    async def received(self) -> int:
        """The requests since the last `reset`."""
        ...

    async def reset(self) -> None:
        """Forget what was received."""
        ...


class RemoteSimulator:
    """A `tidegate simulate` that somebody else started; it can fail, but not be killed."""

    def __init__(self, provider: str, url: str) -> None:
        split = urlsplit(url)
        if split.scheme != "http" or not split.hostname or not split.port:
            raise ValueError(f"{url!r} is not http://HOST:PORT")
        self.provider = provider
        self.lost: list[str] = []
        self._host, self._port = split.hostname, split.port

    async def fail(self, fault: str) -> None:
        """See `Simulator.fail`."""
        if fault:
            await self._ask("PUT", "/_faults", {"all": fault})
        else:
            await self._ask("DELETE", "/_faults")

    async def stop(self) -> None:
        """Reset every connection, which is as near to being gone as it can get."""
        await self.fail("reset")

    async def start(self) -> None:
        """See `Simulator.start`."""
        await self.fail("")

    async def calls(self) -> list[Call]:
        """See `Simulator.calls`."""
        said = msgspec.convert(await self._ask("GET", "/calls"), list[Call])
        return [msgspec.structs.replace(call, provider=self.provider) for call in said]

    async def received(self) -> int:
        """See `Simulator.received`."""
        return int((await self._ask("GET", "/stats"))["requests"])

    async def reset(self) -> None:
        """See `Simulator.reset`."""
        await self._ask("POST", "/reset")

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = b"" if body is None else msgspec.json.encode(body)
        try:
            status, said = await fetch(self._host, self._port, method, path, data)
        except OSError as error:
            raise Absent(
                f"The simulator at {self._host}:{self._port} does not answer: {error}"
            ) from error
        if status != _OK:
            text = said[:200].decode("utf-8", "replace")
            raise Absent(f"The simulator at {self._host}:{self._port} said {status}: {text}")
        return msgspec.json.decode(said)


class OwnSimulator(RemoteSimulator):
    """A `tidegate simulate` of the drill's own."""

    def __init__(self, provider: str, number: int) -> None:
        self.port = free_port()
        super().__init__(provider, f"http://127.0.0.1:{self.port}")
        self._name = f"{provider}.{number}"
        self._process: subprocess.Popen[bytes] | None = None
        self._before: list[Call] = []
        self._received_before = 0
        self._lives = 0

    async def start(self) -> None:
        """Start the process, and return when it answers. Raises: `Absent`."""
        if self._process is not None:
            await self.fail("")
            return
        self._lives += 1
        name = f"{self._name}.{self._lives}"
        command = (*module_command("tidegate.providers.simulated"), "--port", str(self.port))
        self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own command, at once
            [*command, "--name", name, *PACE, "--log-level", "warning"],
            stdin=subprocess.DEVNULL,
            env=child_environment(os.environ),
        )
        await until_up("127.0.0.1", self.port, "/healthz", self._process, f"simulator {name}")

    async def stop(self) -> None:
        """Kill the process: whoever is connected gets a reset, whoever comes a refusal."""
        if self._process is not None:
            self._before += await self.calls_now()
            self._received_before += await super().received()
            self.lost.append(f"sim-{self._name}.{self._lives}-")
            self.kill()

    def kill(self) -> None:
        """End the process, asking nobody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def calls_now(self) -> list[Call]:
        """Every answer of this life of the process."""
        return await super().calls() if self._process is not None else []

    async def calls(self) -> list[Call]:
        """See `Simulator.calls`; those of earlier lives included."""
        return [*self._before, *await self.calls_now()]

    async def received(self) -> int:
        """See `Simulator.received`; earlier lives included."""
        now = await super().received() if self._process is not None else 0
        return self._received_before + now

    async def reset(self) -> None:
        """See `Simulator.reset`."""
        self._before, self._received_before, self.lost = [], 0, []
        await super().reset()


async def until_up(
    host: str,
    port: int,
    path: str,
    process: subprocess.Popen[bytes] | None,
    what: str,
    *,
    within_s: float = _UP_WITHIN_S,
) -> None:
    """Return when `path` is answered with 200. Raises: `Absent`."""
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + within_s
    while loop.time() < give_up_s:
        if process is not None and process.poll() is not None:
            raise Absent(f"The {what} ended with exit code {process.returncode}.")
        try:
            status, _ = await fetch(host, port, "GET", path, b"")
        except OSError:
            status = 0
        if status == _OK:
            return
        await asyncio.sleep(_POLL_S)
    raise Absent(f"The {what} was not up after {within_s:g} s.")


async def fetch(
    host: str,
    port: int,
    method: str,
    path: str,
    body: bytes,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, bytes]:
    """Status and body of one answer. Raises: `OSError`, in which a timeout is included."""
    lines = {"host": f"{host}:{port}", "content-length": str(len(body)), **headers}
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    head = f"{method} {path} HTTP/1.0\r\n{told}\r\n"
    async with asyncio.timeout(_ANSWER_WITHIN_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(head.encode() + body)
            said = await reader.read(-1)
        finally:
            writer.close()
    start, _, rest = said.partition(b"\r\n\r\n")
    words = start.split(b" ", 2)
    if len(words) < 3 or not words[1].isdigit():  # noqa: PLR2004 - the status line's three
        raise ConnectionError("no HTTP answer")
    return int(words[1]), rest
