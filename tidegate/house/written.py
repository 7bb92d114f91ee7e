"""The configuration's file as the back of the house sees it: what it says now, and how to write it.

The supervisor checks the file and keeps what is good as a copy; what that says is in force. Where
there is no copy, it is the file itself, if it is good.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from tidegate.clock import SystemClock
from tidegate.config.kept import keepable
from tidegate.config.limits import Team
from tidegate.config.load import load, text_of, version_of
from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config
from tidegate.control.admin.configured import (
    Configured,
    ConfiguredKey,
    ConfiguredTarget,
    ConfiguredTeam,
    FileRefused,
    InForce,
)
from tidegate.guard.access import TeamRecords
from tidegate.house.explaining import explained
from tidegate.house.money import prices_of
from tidegate.store.database import Database
from tidegate.telemetry.explanation.shape import Explanation
from tidegate.telemetry.record import Record

REPLACED = ".replaced"
"""Ends the name of the file that keeps what a roll back has replaced."""
_MISTAKES_SHOWN = 3

Stamp = tuple[int, int, int]


class Written:
    """The file `path`, of which `copy` holds what was good last; used by many threads."""

    def __init__(self, path: Path, copy: Path | None, config: Config) -> None:
        self._path = path
        self._copy = copy
        self._seen = self._look()
        self._config, self._known = config, _known(config)
        self._in_force = self._noted(config)

    @property
    def path(self) -> Path:
        """Where it is; behind links, if there are some."""
        return self._path.resolve()

    def configured(self) -> Configured:
        """What it says of names, aliases and limits: what gateways must not know better than we."""
        self._refresh()
        return self._known

    def explained(self, record: Record, database: Database) -> Explanation:
        """Why the request of `record` went as it did. Raises: `SQLAlchemyError`."""
        self._refresh()
        return explained(record, database, self._config)

    def in_force(self) -> InForce | None:
        """What was taken over last; None when nothing could be."""
        self._refresh()
        return self._in_force

    def refusal(self) -> FileRefused | None:
        """Why the file cannot be written, if it cannot."""
        path, us = self.path, os.geteuid()
        try:
            owner = path.stat().st_uid
        except OSError as error:
            return FileRefused(
                f"{path} cannot be looked at: {error.strerror}.", "Put a file there first."
            )
        if us not in {owner, 0}:
            return FileRefused(
                f"{path} belongs to another user than the one that Tidegate runs as.",
                f"Get the text with `tidegate config show`, and put it there as user {owner}.",
            )
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK | os.X_OK):
            return FileRefused(
                f"{path} cannot be written from here: it is read-only.",
                "Put the text of `tidegate config show` where the file comes from: a ConfigMap, "
                "an image, a repository.",
            )
        return None

    def put(self, text: str) -> None:
        """Let the file say `text`, if it is good; what it said is kept beside it.

        It is replaced as a whole, with its owner and its permissions. Raises: `FileRefused`.
        """
        refused = self.refusal()
        if refused is not None:
            raise refused
        path = self.path
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            _write(fresh, text, like=path)
            load(self._path, copy=fresh)
            shutil.copy2(path, path.with_name(path.name + REPLACED))
            fresh.replace(path)
        except ConfigError as error:
            shown = "; ".join(
                f"{each.path or 'the file'}: {each.message}"
                for each in error.mistakes[:_MISTAKES_SHOWN]
            )
            raise FileRefused(
                f"This configuration cannot be used any more: {shown}.",
                "Put back what it needs, such as environment variables, files or certificates.",
            ) from error
        except OSError as error:
            raise FileRefused(
                f"{path} cannot be replaced: {error.strerror}.",
                "A file mounted alone cannot be: mount its directory, or write it yourself.",
            ) from error
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)

    def _refresh(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        with suppress(ConfigError):  # whoever changed it is told by the supervisor
            config = load(self._path, copy=self._copy)
            self._config, self._known = config, _known(config)
            self._in_force = self._noted(config) or self._in_force
        self._seen = seen

    def _noted(self, config: Config) -> InForce | None:
        try:
            text = text_of(self._copy or self._path)
        except ConfigError:
            return None
        if version_of(text) != config.version:  # it has just become another: the next look finds it
            return None
        kept = keepable(text, config)
        return InForce(config.version, kept.text, kept.hidden)

    def _look(self) -> Stamp | None:
        try:
            found = (self._copy or self._path).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _write(path: Path, text: str, *, like: Path) -> None:
    found = like.stat()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), found.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), found.st_uid, found.st_gid)
        os.fsync(file.fileno())


def _known(config: Config) -> Configured:
    return Configured(
        keys={
            key.name: ConfiguredKey(key.user, key.team, key.models, key.expires)
            for key in config.keys
        },
        users=frozenset(key.user for key in config.keys if key.user is not None),
        teams={name: _team(team) for name, team in config.teams.items()},
        organisations=frozenset(config.organisations),
        rules=config.rules,
        apart=config.server.workers > 1 and config.shared is None,
        aliases=_aliases(config),
        objectives={
            name: alias.slo.value()
            for name, alias in config.models.items()
            if alias.slo is not None
        },
    )


def _team(team: Team) -> ConfiguredTeam:
    said = team.records
    kept = TeamRecords(said.bodies, said.share, said.max_body)
    return ConfiguredTeam(team.organisation, team.weight, kept)


def _aliases(config: Config) -> dict[str, tuple[ConfiguredTarget, ...]]:
    prices, now_ns = prices_of(config), SystemClock().now_ns()
    return {
        name: tuple(
            ConfiguredTarget(
                f"{target.provider}/{target.model}",
                prices.of(target.provider, target.model, now_ns) is not None,
                target.weight,
            )
            for target in alias.targets
        )
        for name, alias in config.models.items()
    }
