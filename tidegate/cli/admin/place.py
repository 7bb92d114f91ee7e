"""Where the control process is and what to say there: from options, else from the configuration.

The token of this machine is sent to this machine's own control process only.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import ValidationError

from tidegate.cli.admin.starting import answers, await_start
from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config
from tidegate.config.source import read
from tidegate.config.surroundings import Surroundings
from tidegate.control.admin.signin import TOKEN_FILE
from tidegate.net.door import FILE, find, url_of

_NEEDED = ("control", "spool")
_LEAVES_S = 10.0
"""So long after its door hangs, a control process has left the first token, if it leaves one."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address, and the token to send."""

    url: str
    token: str
    local: bool
    """Whether it is this machine's own, as the configuration says."""


def place(config: Path, url: str | None, token: str | None) -> Place:
    """Where to ask. Raises: `ConfigError`, `click.ClickException`."""
    if url is not None:
        if token is None:
            raise click.UsageError("With --url, give --token or TIDEGATE_ADMIN_TOKEN too.")
        return Place(url.rstrip("/"), token, local=False)
    found = settings(config)
    return Place(here(found, token), token or _left(found.spool.directory / TOKEN_FILE), local=True)


def here(found: Config, token: str | None = None) -> str:
    """Where this machine's control process is; one that is just starting is waited for."""
    spool, address = found.spool.directory, found.control

    def where() -> str:
        door = find(spool)
        return door.url if door is not None else url_of(address.host, address.port)

    def is_there() -> bool:
        left = token is not None or (spool / TOKEN_FILE).exists()
        return answers(where()) and (left or _is_settled(spool))

    await_start(found.server.host, found.server.port, is_there)
    return where()


def _is_settled(spool: Path) -> bool:
    try:
        return time.time() - (spool / FILE).stat().st_mtime > _LEAVES_S
    except OSError:
        return False


def _left(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise click.ClickException(
            f"There is no admin token in {file}: the first `tidegate serve` leaves one there. "
            "Give another with --token or TIDEGATE_ADMIN_TOKEN, another machine's with --url."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"The admin token in {file} cannot be read: {error}.") from error


def settings(path: Path) -> Config:
    """The configuration, of which only the spool and the address matter here.

    Raises: `ConfigError` when the file does not say those.
    """
    try:
        return load(path)
    except ConfigError as error:
        if any(not each.path or each.path.startswith(_NEEDED) for each in error.mistakes):
            raise
        document = read(path.read_text(), str(path)).value
        try:
            named = {name: document[name] for name in _NEEDED if name in document}
            around = Surroundings(path.absolute().parent, os.environ)
            return Config.model_validate(named, context=around)
        except ValidationError:
            raise error from None
