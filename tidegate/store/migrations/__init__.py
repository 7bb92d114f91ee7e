"""The store's schema from version to version: `upgrade` brings a database to the newest one.

A database that an earlier Tidegate made without any versions is taken over as it is: the first
revision makes only what is not there.
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from tidegate.store.database import Database

_log = logging.getLogger("tidegate.store")
logging.getLogger("alembic").setLevel(logging.WARNING)  # says three lines where one tells more


class StoreTooNew(SQLAlchemyError):
    """The database was made by a later Tidegate than this one; nothing was changed."""


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring `database` to `revision`, wholly or not at all; only one process at a time does.

    Raises: `StoreTooNew`, `SQLAlchemyError`.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    with database.reading() as connection:
        if _current(connection, scripts) == scripts.get_current_head():
            return
    with database.writing("schema") as connection:
        before = _current(connection, scripts)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        after = _current(connection, scripts)
    _log.info("the store has a new schema", extra={"fields": {"before": before, "after": after}})


def _current(connection: Connection, scripts: ScriptDirectory) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreTooNew(
            f"The store is at version {current}, which this Tidegate does not know: a later one "
            "has been at work here. Run that version again, or restore a copy of the store from "
            "before its upgrade."
        )
    return current
