"""Which processes a configuration asks for, and the command line of each."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.config.model import Config
from tidegate.config.provider import LocalProvider, SimulatedProvider

SIDECARS_VARIABLE = "TIDEGATE_SIDECARS"
"""JSON object: provider name to the loopback port of its process. Given to every child."""
WORKERS_VARIABLE = "TIDEGATE_WORKERS"
"""How many gateways there are, whatever the configuration says by now. Given to every child."""

Command = tuple[str, ...]

_AT_START = {
    "server": (
        "host",
        "port",
        "workers",
        "tls",
        "header_limit",
        "read_timeout",
        "keepalive",
        "max_lag",
    ),
    "control": ("host", "port", "url"),
    "spool": ("directory", "segment", "pending_limit"),
    "log": ("level",),
    "ledger": ("lost",),
    "retention": ("records", "bodies", "rollups", "audit"),
}
"""What a process takes from the configuration when it starts, and never again."""


def module_command(name: str) -> Command:
    """The command that runs the module `name` with the Python and the imports of this process."""
    # `-m` puts the working directory first on the path, where a user's own `secrets.py` would
    # stand before Python's. Only trust that directory if this process does (a bare checkout).
    trusted = "" in sys.path or str(Path.cwd()) in sys.path
    return (sys.executable, *(() if trusted else ("-P",)), "-m", name)


@dataclass(frozen=True, slots=True)
class Commands:
    """How each kind of child is started; the options that tell it what to do are appended."""

    gateway: Command = field(default_factory=lambda: module_command("tidegate.worker"))
    control: Command = field(default_factory=lambda: module_command("tidegate.control"))
    local: Command = field(default_factory=lambda: module_command("tidegate.providers.local"))
    simulated: Command = field(
        default_factory=lambda: module_command("tidegate.providers.simulated")
    )


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A provider that runs beside the gateway, on a port of the loopback interface."""

    provider: str
    port: int
    command: Command


def sidecars(config: Config, commands: Commands) -> list[Sidecar]:
    """A sidecar for each local and simulated provider; ports not configured are chosen free."""
    found: list[Sidecar] = []
    for name, provider in config.providers.items():
        if isinstance(provider, LocalProvider):
            command, options = commands.local, _local_options(provider)
        elif isinstance(provider, SimulatedProvider):
            command, options = commands.simulated, _simulated_options(provider)
        else:
            continue
        port = provider.port or free_port()
        options = {"port": port, **options}
        found.append(Sidecar(name, port, (*command, *_spelled(options))))
    return found


def gateway(commands: Commands, path: Path, copy: Path, worker: str, fd: int) -> Command:
    """The command of one gateway worker that accepts from the listening socket `fd`.

    It reads the configuration from `copy`, which always is a good one.
    """
    options = {"config": path, "copy": copy, "worker": worker, "fd": fd}
    return (*commands.gateway, *_spelled(options))


def control(commands: Commands, path: Path, copy: Path) -> Command:
    """The command of the control process."""
    return (*commands.control, *_spelled({"config": path, "copy": copy}))


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def needs_restart(running: Config, wanted: Config) -> list[str]:
    """The settings that differ and that only a restart of `tidegate serve` brings in."""
    changed = [
        f"{section}.{name}"
        for section, names in _AT_START.items()
        for name in names
        if getattr(getattr(running, section), name) != getattr(getattr(wanted, section), name)
    ]
    changed += [
        name
        for name in ("store", "shared", "alerts")
        if getattr(running, name) != getattr(wanted, name)
    ]
    before, after = _beside(running), _beside(wanted)
    names = sorted(before.keys() | after.keys())
    return changed + [f"providers.{n}" for n in names if before.get(n) != after.get(n)]


def _beside(config: Config) -> dict[str, LocalProvider | SimulatedProvider]:
    return {
        name: provider
        for name, provider in config.providers.items()
        if isinstance(provider, LocalProvider | SimulatedProvider)
    }


def _local_options(provider: LocalProvider) -> dict[str, object]:
    return {
        "model": provider.model,
        "weights": provider.weights,
        "threads": provider.threads,
        "context": provider.context,
        "parallel": provider.parallel,
    }


def _simulated_options(provider: SimulatedProvider) -> dict[str, object]:
    options: dict[str, object] = provider.model_dump(exclude={"kind", "port"})
    options["log-level"] = "warning"  # at `info` it says where it listens, and not as JSON
    return options


def _spelled(options: Mapping[str, object]) -> Command:
    """`{"port": 1}` as `("--port", "1")`; what is None is left out."""
    words: list[str] = []
    for name, value in options.items():
        if value is not None:
            words += (f"--{name.replace('_', '-')}", str(value))
    return tuple(words)
