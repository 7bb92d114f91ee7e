"""Where the control process is and what to say there: from options, else from the configuration.

The token of this machine is sent to this machine's own control process only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import ValidationError

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config
from tidegate.config.source import read
from tidegate.config.surroundings import Surroundings
from tidegate.control.admin.signin import TOKEN_FILE
from tidegate.net.door import find, url_of

_NEEDED = ("control", "spool")


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
    door = find(found.spool.directory)
    address = found.control
    where = door.url if door is not None else url_of(address.host, address.port)
    return Place(where, token or _left(found.spool.directory / TOKEN_FILE), local=True)


def _left(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise click.ClickException(
            f"There is no admin token in {file}. Its first start leaves one there: `tidegate "
            "serve`. Otherwise give --token or TIDEGATE_ADMIN_TOKEN."
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
