"""The supervisor's life: listen, start everybody, watch the configuration, stop in order.

The listening socket is made here and handed to the gateway workers, so that connections wait in
its queue while a worker is started again. The supervisor itself never touches a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path

from tidegate.clock import Clock, SystemClock
from tidegate.config.load import adopt
from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config
from tidegate.logs import configure
from tidegate.net.listen import listen
from tidegate.parent import child_environment, end_with_parent
from tidegate.supervisor import commands as plan
from tidegate.supervisor.child import Backoff, Child
from tidegate.supervisor.commands import SIDECARS_VARIABLE, WORKERS_VARIABLE, Commands
from tidegate.supervisor.watch import changes

BAD_CONFIGURATION = 2
"""Exit code: what was asked for cannot be served; the message says what to change."""

_NO_REFRESH_S = 60.0
"""How often a supervisor without `secrets.refresh` looks whether it has got one."""

_log = logging.getLogger("tidegate.supervisor")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds a child has to end before it is killed; gateways get `server.drain` on top."""

    gateway_s: float = 5.0
    control_s: float = 10.0
    sidecar_s: float = 5.0


def run(
    config_path: Path,
    *,
    port: int | None = None,
    commands: Commands | None = None,
    backoff: Backoff | None = None,
    patience: Patience | None = None,
    clock: Clock | None = None,
) -> int:
    """Serve what the file says until SIGTERM or SIGINT; returns the exit code of the process.

    `port` overrides `server.port`. The first signal drains, the second one kills.
    Raises: `ConfigError` when the file cannot be used.
    """
    end_with_parent()
    path = config_path.resolve()
    with contextlib.ExitStack() as stack:
        # Children read a copy, so that what was good when it was checked is what they start with
        # whenever they are started again.
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-"))
        copy = Path(directory) / path.name
        config = adopt(path, copy)
        configure(config.log.level)
        host, wanted = config.server.host, config.server.port if port is None else port
        try:
            listener = stack.enter_context(listen(host, wanted))
        except OSError as error:
            _log.error("%s", _why_not(error, host, wanted))
            return BAD_CONFIGURATION
        supervisor = Supervisor(
            path,
            copy,
            config,
            listener,
            commands=commands or Commands(),
            backoff=backoff or Backoff(),
            patience=patience or Patience(),
            clock=clock or SystemClock(),
        )
        return asyncio.run(supervisor.serve())


class Supervisor:
    """Every child of one configuration."""

    def __init__(
        self,
        path: Path,
        copy: Path,
        config: Config,
        listener: socket.socket,
        *,
        commands: Commands,
        backoff: Backoff,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._path = path
        self._copy = copy
        self._started_with = config
        self._config = config
        self._listener = listener
        self._patience = patience
        self._ending = asyncio.Event()
        self._killed = False
        self._in_terminal = _has_terminal()

        beside = plan.sidecars(config, commands)
        environment = child_environment(os.environ)
        environment[WORKERS_VARIABLE] = str(config.server.workers)
        environment[SIDECARS_VARIABLE] = json.dumps({each.provider: each.port for each in beside})

        def child(name: str, command: plan.Command, *fds: int) -> Child:
            return Child(
                name,
                command,
                environment=environment,
                pass_fds=fds,
                backoff=backoff,
                monotonic=clock.monotonic,
            )

        fd = listener.fileno()
        workers = [f"gw-{number}" for number in range(config.server.workers)]
        self._sidecars = [child(each.provider, each.command) for each in beside]
        self._control = child("control", plan.control(commands, path, copy))
        self._gateways = [
            child(worker, plan.gateway(commands, path, copy, worker, fd), fd) for worker in workers
        ]

    @property
    def _everybody(self) -> list[Child]:
        return [*self._gateways, self._control, *self._sidecars]

    async def serve(self) -> int:
        """Run until told to end; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        for child in self._everybody:
            child.start()
        watching = [
            asyncio.create_task(self._watch(), name="watch the configuration"),
            asyncio.create_task(self._refresh(), name="look secrets up again"),
        ]
        self._say_listening()
        try:
            await self._ending.wait()
        finally:
            for task in watching:
                task.cancel()
            await self._stop()
        _log.info("ended")
        return 1 if self._killed else 0

    async def _stop(self) -> None:
        """Gateways drain, then control loads what they left, then nobody needs the sidecars."""
        wait = self._patience
        drain_s = self._config.server.drain
        _log.info("draining", extra={"fields": {"at_most_s": drain_s}})
        self._listener.close()
        await _all(child.stop(drain_s + wait.gateway_s) for child in self._gateways)
        await self._control.stop(wait.control_s)
        await _all(child.stop(wait.sidecar_s) for child in self._sidecars)

    def _end(self) -> None:
        if not self._ending.is_set():
            self._ending.set()
            return
        self._killed = True
        _log.warning("told to end a second time: killing what still runs")
        for child in self._everybody:
            child.kill()

    def _hang_up(self) -> None:
        """SIGHUP asks for a reload, unless it says that the terminal we ran in was closed."""
        if self._ending.is_set():
            return
        if self._in_terminal and not _has_terminal():
            self._end()
        else:
            self._reload()

    async def _watch(self) -> None:
        async for _ in changes(self._path):
            self._reload(asked=False)

    async def _refresh(self) -> None:
        """Look secrets up again now and then: where they stand nobody can watch."""
        while True:
            await asyncio.sleep(self._config.secrets.refresh or _NO_REFRESH_S)
            if self._config.secrets.refresh is not None:
                self._reload(asked=False)

    def _reload(self, *, asked: bool = True) -> None:
        """Let the children take the new file, if it is a good one and anything in it changed.

        What its references stand for is a part of it.
        """
        try:
            wanted = adopt(self._path, self._copy)
        except ConfigError as error:
            mistakes = [str(mistake) for mistake in error.mistakes]
            _log.error(
                "the new configuration is refused, the old one goes on",
                extra={"fields": {"mistakes": mistakes}},
            )
            return
        if not asked and wanted == self._config:
            return
        self._config = wanted
        fields: dict[str, object] = {"version": wanted.version}
        if restart := plan.needs_restart(self._started_with, wanted):
            fields["only_after_restart"] = restart
        _log.info("the configuration is reloaded", extra={"fields": fields})
        for child in (*self._gateways, self._control):
            child.reload()
        for child in self._sidecars:
            child.revive()

    def _say_listening(self) -> None:
        host, port = self._listener.getsockname()[:2]
        scheme = "https" if self._config.server.tls else "http"
        address = f"[{host}]" if ":" in host else host
        fields = {"address": f"{scheme}://{address}:{port}", "configuration": str(self._path)}
        _log.info("listening", extra={"fields": fields})


async def _all(stops: Iterable[Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for stop in stops:
            group.create_task(stop)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _why_not(error: OSError, host: str, port: int) -> str:
    place = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{place} is in use by another process. Stop that one (`lsof -i :{port}` names it), "
            "or choose another `server.port`."
        )
    if error.errno == errno.EACCES:
        return f"{place} is not allowed to this user. Choose a `server.port` above 1023."
    return f"Cannot listen on {place}: {error.strerror or error}. Correct `server.host`."
