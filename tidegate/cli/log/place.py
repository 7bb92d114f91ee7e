"""Where the records are: the store that a configuration names."""

from __future__ import annotations

import os
from pathlib import Path

import click
from pydantic import ValidationError

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config
from tidegate.config.source import read
from tidegate.config.surroundings import Surroundings
from tidegate.store.records import RecordStore, database_file


class NoStore(click.ClickException):
    """There is none yet."""

    exit_code = 2


def store_url(path: Path) -> str:
    """The URL of the store, as the file `path` says. Raises: `ConfigError`."""
    try:
        return load(path).store.reveal()
    except ConfigError as error:
        # Only `store` matters here: that this shell lacks a secret of the gateway's does not.
        if any(not each.path or each.path == "store" for each in error.mistakes):
            raise
        document = read(path.read_text(), str(path)).value
        try:
            named = {"store": document["store"]} if "store" in document else {}
            around = Surroundings(path.absolute().parent, os.environ)
            return Config.model_validate(named, context=around).store.reveal()
        except ValidationError:
            raise error from None


def open_store(url: str) -> RecordStore:
    """The store at `url`. Raises: `NoStore` when it is not there yet."""
    store = RecordStore(url)
    if not store.exists():
        raise NoStore(
            f"There is no store at {database_file(url)} yet. Start the gateway with "
            "`tidegate serve`, which makes it, and send a request."
        )
    return store
