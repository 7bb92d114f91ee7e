"""The command line of the simulated provider: `tidegate simulate`, and the supervisor's sidecar."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final

import click
import uvloop

from tidegate.parent import end_with_parent
from tidegate.providers.simulated.server import start
from tidegate.providers.simulated.settings import Settings

_PARENT_POLL_S: Final = 0.5
_QUIET: Final = ("warning", "error", "critical")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same answers.")
@click.option("--ttft", default="0ms", show_default=True, help="Time to first token.")
@click.option("--gap", default="0ms", show_default=True, help="Time between two tokens.")
@click.option("--length", default="16", show_default=True, help="Tokens in an answer.")
@click.option("--key", default=None, help="Require this API key. Default: any caller may ask.")
@click.option("--models", default="", help="Models to know, by comma. Default: every name is one.")
@click.option("--name", default="", help="Part of the ids of its answers. Default: none.")
@click.option("--exit-with-parent", is_flag=True, help="End when the process that started it ends.")
@click.option("--log-level", default="info", hidden=True)
def simulate(
    *,
    host: str,
    port: int,
    seed: int,
    ttft: str,
    gap: str,
    length: str,
    key: str | None,
    models: str,
    name: str,
    exit_with_parent: bool,
    log_level: str,
) -> None:
    """Run a simulated provider that speaks every vendor's format, with faults on demand.

    TTFT, GAP and LENGTH are constants or distributions: 200ms, normal:200ms,50ms,
    uniform:100ms..300ms, lognormal:200ms,0.5, exp:25ms; lengths are tokens, without unit.
    """
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    try:
        settings = Settings(seed, ttft, gap, length, key, names, name)
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from wrong
    end_with_parent()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, host, port, log_level not in _QUIET, exit_with_parent))
    except OSError as refused:
        raise click.ClickException(f"cannot listen on {host}:{port}: {refused}") from refused


async def _serve(
    settings: Settings, host: str, port: int, says_where: bool, exit_with_parent: bool
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with await start(settings, host, port) as server:
        if says_where:
            click.echo(f"Simulated provider on {server.base_url} (seed {settings.seed})")
        if exit_with_parent:
            _end_without(os.getppid(), loop, stopped)
        await stopped.wait()


def _end_without(parent: int, loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    if os.getppid() == parent:
        loop.call_later(_PARENT_POLL_S, _end_without, parent, loop, stopped)
    else:
        stopped.set()
