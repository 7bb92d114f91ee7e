"""`tidegate serve`: run the gateway until told to stop."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tidegate.supervisor import run


@click.command
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default="tidegate.yaml",
    show_default=True,
    help="The configuration; read again whenever it changes.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Listen here instead of at `server.port`."
)
def serve(path: Path, port: int | None) -> None:
    """Run the gateway.

    The log goes to standard error, one JSON object a line. SIGHUP reads the configuration again;
    Ctrl-C or SIGTERM lets running requests finish, a second one does not.
    """
    sys.exit(run(path, port=port))
