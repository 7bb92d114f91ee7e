"""Configurations: what is in force is noted, two are compared, an earlier one is put back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from difflib import unified_diff
from typing import Final

from sqlalchemy import Connection

from tidegate.clock import Clock
from tidegate.control.admin.changes import Made, Work
from tidegate.control.admin.configured import ConfigurationFile, FileRefused, InForce
from tidegate.control.admin.problems import Conflict, NotFound
from tidegate.control.admin.shapes import Json, show_time
from tidegate.control.admin.trail import Change
from tidegate.store.configurations import Configuration, ConfigurationStore, ask
from tidegate.store.database import Database

SEEN_NS: Final = 60 * 10**9
"""How often it is noted that what is in force still is."""
MOST_LINES: Final = 20_000
"""Longer texts are not compared here."""

_log = logging.getLogger("tidegate.control")


class Keeping:
    """Notes what is in force, as long as somebody looks."""

    def __init__(self, database: Database, file: ConfigurationFile, clock: Clock) -> None:
        self._store = ConfigurationStore(database)
        self._file = file
        self._clock = clock
        self._last: InForce | None = None
        self._told_ns = 0

    def look(self) -> None:
        """Look whether something else is in force; note it. Raises: `SQLAlchemyError`."""
        found, now_ns = self._file.in_force(), self._clock.now_ns()
        if found is None:
            return
        if found != self._last:
            before = None if self._last is None else self._last.version
            self._store.take(found.version, found.text, found.hidden, now_ns, before=before)
            if found.text is None:
                where = ", ".join(found.hidden)
                _log.warning(
                    "a secret stands in the configuration, so its text is not kept: %s", where
                )
            self._last, self._told_ns = found, now_ns
        elif now_ns - self._told_ns >= SEEN_NS:
            self._store.seen(found.version, now_ns)
            self._told_ns = now_ns


class Configurations:
    """Those of `database`, and the file of this machine, if it is known."""

    def __init__(self, database: Database, file: ConfigurationFile | None) -> None:
        self._store = ConfigurationStore(database)
        self._file = file

    def all(self) -> Json:
        """Every one that is kept, what was in force last first, and whether one can be put back."""
        now = self._version()
        return {
            "file": None if self._file is None else str(self._file.path),
            "in_force": now,
            "refused": self._refused(),
            "items": [_shown(each, now) for each in self._store.all()],
        }

    def one(self, named: str) -> Json:
        """One with its text; `named` is its version, or the beginning of it. Raises: `NotFound`."""
        found = self._find(named)
        return _shown(found, self._version()) | {"text": self._store.text(found.version)}

    def difference(self, old: str, new: str | None) -> Json:
        """What changed from `old` to `new`, or to what is in force, as unified text.

        Raises: `NotFound`, `Conflict`.
        """
        first, second = self._find(old), self._find(new or self._version() or "none")
        texts = [self._text(each) for each in (first, second)]
        old_lines, new_lines = (text.splitlines(keepends=True) for text in texts)
        if max(len(old_lines), len(new_lines)) > MOST_LINES:
            raise Conflict(
                "These texts are too long to be compared here.",
                remedy="Get each with `tidegate config show`, and compare the files.",
            )
        return {
            "old": first.version,
            "new": second.version,
            "diff": "".join(
                _ended(unified_diff(old_lines, new_lines, first.version, second.version))
            ),
        }

    def roll_back(self, named: str, by: str) -> Work:
        """Puts an earlier one back into the file; the gateways take it over as by any reload.

        Raises, when it is done: `NotFound`, `Conflict`.
        """
        found, now = self._find(named), self._version()
        text = self._text(found)

        def work(connection: Connection, now_ns: int) -> Made:
            if found.version == now:
                raise Conflict("This configuration is in force.", param="version")
            if found.hidden:
                raise Conflict(
                    f"A secret stood in this configuration, and is hidden: {found.hidden[0]}.",
                    param="version",
                    remedy="Put secrets into the environment or a file, and refer to them.",
                )
            if self._file is None:
                raise Conflict("Which file the gateways read is not known here.")
            ask(connection, found.version, by, now_ns)
            try:
                self._file.put(text)
            except FileRefused as error:
                raise Conflict(error.message, param="version", remedy=error.remedy) from error
            before, after = {"version": now}, {"version": found.version}
            change = Change("configuration.rollback", "configuration", before, after)
            return Made(change, {"version": found.version, "before": now, "file": self._place()})

        return work

    def _place(self) -> str | None:
        return None if self._file is None else str(self._file.path)

    def _version(self) -> str | None:
        found = None if self._file is None else self._file.in_force()
        return None if found is None else found.version

    def _refused(self) -> str | None:
        if self._file is None:
            return "Which file the gateways read is not known here."
        error = self._file.refusal()
        return None if error is None else f"{error.message} {error.remedy}"

    def _find(self, named: str) -> Configuration:
        found = [each for each in self._store.all() if each.version.startswith(named)]
        exact = [each for each in found if each.version == named]
        if len(exact or found) != 1:
            how = "There is no such configuration" if not found else "Several begin like this"
            raise NotFound(
                f"{how}: {named}.",
                param="version",
                remedy="List what is kept: `tidegate config versions`.",
            )
        return (exact or found)[0]

    def _text(self, found: Configuration) -> str:
        text = self._store.text(found.version)
        if text is None:
            raise Conflict(
                f"The text of {found.version} is not kept: a secret stood in it that could not be "
                f"hidden ({', '.join(found.hidden)}).",
                param="version",
                remedy="Put secrets into the environment or a file, and refer to them.",
            )
        return text


def _ended(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _shown(each: Configuration, now: str | None) -> Json:
    return {
        "version": each.version,
        "in_force": each.version == now,
        "first_at": show_time(each.first_ns),
        "since": show_time(each.since_ns),
        "last_at": show_time(each.last_ns),
        "how": each.how,
        "by": each.by,
        "size_bytes": each.size_bytes,
        "hidden": list(each.hidden),
        "restorable": each.kept and not each.hidden,
    }
